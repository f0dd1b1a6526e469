"""Who holds which row, from facts by hand."""

import pytest
from hypothesis import given

from nsagent.model.choices import EngineName
from nsagent.model.facts import Facts, FoundBy, Interface
from nsagent.model.ids import ContainerId, Fd, Pid
from nsagent.model.net import Protocol, SocketState
from nsagent.model.process import Process
from nsagent.model.snapshot import (
    Attribution,
    Confidence,
    Flag,
    Netns,
    OwnedSocket,
    Owner,
    RowCount,
    Snapshot,
    Verdict,
    VerdictKind,
)
from nsagent.scan.attribute import attribute
from nsagent.scan.verdicts import REASONS
from tests.kernel.diag_message import make_message
from tests.kernel.proc_tree import HOST_NETNS, text_row
from tests.kernel.rows import TCP_ROWS, as_text_shows, four, make_row, read_recorded, stop_timer
from tests.scan.facts import (
    ANY,
    BARE,
    LOOPBACK,
    WEB_CGROUP,
    WEB_ID,
    WEB_NETNS,
    diag_table,
    facts,
    listen_row,
    netns,
    reading,
    tcp_text,
    udp6_text,
)
from tests.scan.strategies import FACTS


def process(pid: int, *, comm: str = "app", start_ticks: int = 100, in_netns: int | None = HOST_NETNS) -> Process:
    """What attribute makes of a reading by hand."""
    return Process(Pid(pid), start_ticks, comm, 0, in_netns, None, None)


def owners_of(snapshot: Snapshot) -> list[list[tuple[int, tuple[int, ...]]]]:
    """(pid, fds) of the owners of each row."""
    return [[(owner.process.pid, owner.fds) for owner in socket.owners] for socket in snapshot.sockets]


def kinds_of(snapshot: Snapshot) -> list[VerdictKind | None]:
    return [socket.verdict.kind if socket.verdict else None for socket in snapshot.sockets]


def test_a_row_belongs_to_the_process_with_an_fd_on_its_inode() -> None:
    snapshot = attribute(facts([reading(10, {3: 7})], [netns(tcp_text(listen_row(80, 7)))]))
    row = as_text_shows(make_row(SocketState.LISTEN, four(80), inode=7))
    owner = Owner(process(10), (Fd(3),))
    assert snapshot.sockets == (
        OwnedSocket(HOST_NETNS, row, None, (owner,), None, Attribution.FD, Confidence.EXACT, (), None),
    )


def test_a_row_that_nobody_holds_has_no_owner_and_a_reason() -> None:
    snapshot = attribute(facts([reading(10, {3: 8})], [netns(tcp_text(listen_row(80, 7)))]))
    row = as_text_shows(make_row(SocketState.LISTEN, four(80), inode=7))
    verdict = Verdict(VerdictKind.UNKNOWN, None, REASONS[VerdictKind.UNKNOWN])
    assert snapshot.sockets == (
        OwnedSocket(HOST_NETNS, row, None, (), None, Attribution.NONE, Confidence.NONE, (), verdict),
    )


def test_all_rows_of_a_recorded_dump_are_there_with_their_verdicts() -> None:
    snapshot = attribute(facts([], [netns(diag_table(read_recorded("tcp")))]))
    assert {stop_timer(socket.row) for socket in snapshot.sockets} == set(TCP_ROWS)
    assert len(snapshot.sockets) == len(TCP_ROWS)
    assert [kind for kind in kinds_of(snapshot) if kind is not VerdictKind.UNKNOWN] == [
        VerdictKind.ACCEPT_QUEUE,
        VerdictKind.SYN_RECV,
        VerdictKind.TIME_WAIT,
        VerdictKind.ORPHAN,
    ]


def test_all_owners_of_a_shared_socket_are_named_the_earliest_first() -> None:
    readings = [
        reading(10, {3: 7}, start_ticks=300),
        reading(11, {9: 7, 4: 7}, start_ticks=200),
        reading(12, {5: 7}, start_ticks=200),
    ]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)))]))
    assert owners_of(snapshot) == [[(11, (4, 9)), (12, (5,)), (10, (3,))]]


def test_the_container_of_a_row_is_that_of_its_earliest_owner() -> None:
    readings = [reading(10, {3: 7}, start_ticks=300), reading(11, {3: 7}, start_ticks=200, cgroup=WEB_CGROUP)]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)))]))
    assert snapshot.sockets[0].container_id == ContainerId(WEB_ID)


def test_a_later_reading_adds_its_fds_to_the_same_owner() -> None:
    readings = [reading(10, {9: 7}), reading(10, {3: 7})]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)))]))
    assert owners_of(snapshot) == [[(10, (3, 9))]]


def test_an_fd_that_two_readings_saw_is_one() -> None:
    readings = [reading(10, {3: 7}), reading(10, {3: 7})]
    assert owners_of(attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)))]))) == [[(10, (3,))]]


def test_a_process_that_was_read_twice_is_listed_once() -> None:
    assert attribute(facts([reading(10), reading(10)], [])).processes == (process(10),)


def test_two_processes_that_had_the_same_pid_keep_their_own_sockets() -> None:
    readings = [reading(10, {3: 7}, comm="old", start_ticks=100), reading(10, {3: 8}, comm="new", start_ticks=200)]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7), listen_row(81, 8)))]))
    assert [socket.owners[0].process.comm for socket in snapshot.sockets] == ["old", "new"]


def test_two_processes_with_the_same_pid_and_tick_are_never_one_owner() -> None:
    readings = [reading(10, {3: 7}, comm="old"), reading(10, {4: 7}, comm="new")]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)))]))
    assert sorted((owner.process.comm, owner.fds) for owner in snapshot.sockets[0].owners) == [
        ("new", (4,)),
        ("old", (3,)),
    ]


def test_every_owner_is_a_process_of_the_snapshot() -> None:
    readings = [reading(10, {3: 7}, comm="old"), reading(10, {3: 8}, comm="new")]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7), listen_row(81, 8)))]))
    assert {owner.process for socket in snapshot.sockets for owner in socket.owners} <= set(snapshot.processes)


@pytest.mark.parametrize("state", [3, 6])
def test_a_row_without_inode_is_joined_to_nobody(state: int) -> None:
    table = tcp_text(text_row(f"{LOOPBACK}:0050", f"{LOOPBACK}:C350", state, 0))
    snapshot = attribute(facts([reading(10, {3: 0})], [netns(table)]))
    assert owners_of(snapshot) == [[]]


def test_the_netns_of_a_row_is_that_of_its_table_and_not_of_its_holder() -> None:
    holder = reading(10, {3: 7}, netns=HOST_NETNS)
    snapshot = attribute(facts([holder], [netns(), netns(tcp_text(listen_row(80, 7)), inode=WEB_NETNS)]))
    assert [(socket.netns, socket.flags) for socket in snapshot.sockets] == [(WEB_NETNS, (Flag.NETNS_MISMATCH,))]


def test_one_owner_in_another_netns_is_enough_to_be_told() -> None:
    readings = [reading(10, {3: 7}, netns=WEB_NETNS), reading(11, {3: 7}, netns=HOST_NETNS)]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)), inode=WEB_NETNS)]))
    assert snapshot.sockets[0].flags == (Flag.NETNS_MISMATCH,)


def test_an_owner_whose_netns_is_not_known_is_no_mismatch() -> None:
    snapshot = attribute(facts([reading(10, {3: 7}, netns=None)], [netns(tcp_text(listen_row(80, 7)))]))
    assert snapshot.sockets[0].flags == ()


def test_equal_addresses_in_two_netns_belong_to_two_processes() -> None:
    readings = [reading(10, {3: 7}), reading(11, {3: 8}, netns=WEB_NETNS)]
    both = [netns(tcp_text(listen_row(80, 7))), netns(tcp_text(listen_row(80, 8)), inode=WEB_NETNS)]
    snapshot = attribute(facts(readings, both))
    assert [(socket.netns, socket.owners[0].process.pid) for socket in snapshot.sockets] == [
        (HOST_NETNS, 10),
        (WEB_NETNS, 11),
    ]


def test_a_key_leads_to_the_netns_whose_inode_others_may_read() -> None:
    readings = [reading(10, {3: 7}, netns=None, key=900), reading(11, netns=WEB_NETNS)]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)), inode=WEB_NETNS, key=900)]))
    assert [one.netns for one in snapshot.processes] == [WEB_NETNS, WEB_NETNS]
    assert (snapshot.netns[0].number, snapshot.netns[0].processes) == (WEB_NETNS, 2)
    assert snapshot.sockets[0].flags == ()


def test_a_netns_that_only_a_key_tells_apart_is_numbered_by_it() -> None:
    snapshot = attribute(
        facts([reading(10, netns=None, key=900)], [netns(tcp_text(listen_row(80, 7)), inode=None, key=900)])
    )
    assert (snapshot.netns[0].inode, snapshot.netns[0].key, snapshot.netns[0].number) == (None, 900, -900)
    assert (snapshot.sockets[0].netns, snapshot.processes[0].netns) == (-900, -900)


def test_rows_that_closed_during_the_pass_are_dropped() -> None:
    table = tcp_text(listen_row(80, 7), listen_row(81, 8))
    snapshot = attribute(facts([], [netns(table, closed=[7])]))
    assert [socket.row.inode for socket in snapshot.sockets] == [8]


def test_an_interface_is_named_by_the_netns_of_the_row() -> None:
    bound = diag_table(make_message(interface=2, inode=7) + make_message(interface=3, inode=8, cookie=2))
    snapshot = attribute(facts([], [netns(bound, interface_names=((2, "eth0"),))]))
    assert [socket.interface for socket in snapshot.sockets] == ["eth0", "if3"]


def test_a_row_bound_to_no_interface_names_none() -> None:
    snapshot = attribute(facts([], [netns(diag_table(make_message()), interface_names=((0, "x"),))]))
    assert snapshot.sockets[0].interface is None


def test_tables_of_several_protocols_and_families_are_all_decoded() -> None:
    udp = udp6_text(text_row("0" * 32 + ":0035", "0" * 32 + ":0000", 7, 9))
    snapshot = attribute(facts([], [netns(tcp_text(listen_row(80, 7)), udp)]))
    assert [(socket.row.protocol, socket.row.inode) for socket in snapshot.sockets] == [
        (Protocol.UDP, 9),
        (Protocol.TCP, 7),
    ]


def test_rows_are_those_of_the_host_first_then_of_other_netns_what_listens_before_what_does_not_by_port() -> None:
    def at(state: int, port: int, inode: int) -> str:
        return text_row(f"{LOOPBACK}:{port:04X}", ANY if state in (7, 10) else f"{LOOPBACK}:0009", state, inode)

    udp = tcp_text(at(1, 53, 5), at(7, 67, 6))._replace(protocol=Protocol.UDP)
    host = netns(tcp_text(at(1, 22, 1), at(10, 443, 2), at(7, 23, 3), at(10, 22, 4)), udp, is_host=True)
    other = netns(tcp_text(at(10, 80, 8)), inode=77)
    snapshot = attribute(facts([], [other, host, netns(tcp_text(at(10, 1, 9)), inode=None, key=76)]))
    assert [socket.row.inode for socket in snapshot.sockets] == [4, 6, 2, 1, 3, 5, 8, 9]
    assert [one.number for one in snapshot.netns] == [HOST_NETNS, 77, -76]


def test_a_key_that_is_the_inode_of_another_netns_is_not_taken_for_it() -> None:
    by_key = netns(tcp_text(listen_row(81, 8)), inode=None, key=WEB_NETNS)
    readings = [reading(10, {3: 7}, netns=WEB_NETNS), reading(11, {3: 8}, netns=None, key=WEB_NETNS)]
    snapshot = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)), inode=WEB_NETNS), by_key]))
    assert [(one.number, one.processes) for one in snapshot.netns] == [(WEB_NETNS, 1), (-WEB_NETNS, 1)]
    assert [(socket.netns, socket.flags) for socket in snapshot.sockets] == [(WEB_NETNS, ()), (-WEB_NETNS, ())]


def test_tables_of_a_big_endian_host_are_read_as_such() -> None:
    table = diag_table(make_message(byteorder="big", inode=7))
    text = tcp_text(text_row("7F000001:0050", ANY, 10, 8))
    snapshot = attribute(facts([], [netns(table, text)])._replace(byteorder="big"))
    assert [(socket.row.inode, socket.row.local.address) for socket in snapshot.sockets] == [
        (8, "127.0.0.1"),
        (7, "127.0.0.1"),
    ]


def test_a_process_is_in_its_container_and_unit() -> None:
    readings = [
        reading(10, cgroup=WEB_CGROUP, comm="\udcff", uid=33),
        reading(11, cgroup="0::/system.slice/ssh.service\n"),
        reading(2, kernel_thread=True, netns=None, cgroup=""),
    ]
    assert attribute(facts(readings, [])).processes == (
        Process(Pid(10), 100, "\udcff", 33, HOST_NETNS, ContainerId(WEB_ID), None),
        Process(Pid(11), 100, "app", 0, HOST_NETNS, None, "ssh.service"),
        Process(Pid(2), 100, "app", 0, None, None, None, kernel_thread=True),
    )


def test_a_netns_counts_its_processes_and_names_their_containers() -> None:
    readings = [
        reading(10, netns=WEB_NETNS, cgroup=WEB_CGROUP),
        reading(11, netns=WEB_NETNS, cgroup=WEB_CGROUP),
        reading(12),
        reading(2, kernel_thread=True, netns=None, cgroup=""),
    ]
    loopback = Interface(1, "lo", None, True, None, ("127.0.0.1/8",))
    mounts = ("/run/docker/netns/x", "/run/netns/web", "/var/run/netns/w2", "/tmp/run/netns/no")
    web = netns(inode=WEB_NETNS, mounts=mounts, is_host=True, empty=True)._replace(cookie=5, interfaces=(loopback,))
    assert attribute(facts(readings, [web])).netns == (
        Netns(
            inode=WEB_NETNS,
            key=None,
            cookie=5,
            names=("w2", "web"),
            mounts=mounts,
            is_host=True,
            engine=EngineName.PROC,
            found_by=(FoundBy.PROCESS,),
            processes=2,
            containers=(ContainerId(WEB_ID),),
            interfaces=(loopback,),
            rows=(RowCount("tcp", 0, 0), RowCount("time_wait", 0, 0), RowCount("udp", 0, 0)),
            client_ports=(32768, 60999),
            own_addresses=("10.0.0.1/32", "127.0.0.0/8", "::1/128"),
        ),
    )


def test_the_head_of_a_snapshot_is_that_of_its_facts() -> None:
    snapshot = attribute(BARE._replace(boot_id="f3f1", sources=("cgroup", "docker")))
    assert (snapshot.host, snapshot.boot_id, snapshot.sources) == ("node-1", "f3f1", ("cgroup", "docker"))
    assert (snapshot.taken_at, snapshot.duration_seconds) == ("2026-01-02T03:04:05.678Z", 0.25)


@pytest.mark.parametrize(
    ("engines", "expected"),
    [
        ((), EngineName.AUTO),
        ((EngineName.PROC,), EngineName.PROC),
        ((EngineName.SOCK_DIAG, EngineName.SOCK_DIAG), EngineName.SOCK_DIAG),
        ((EngineName.SOCK_DIAG, None), EngineName.SOCK_DIAG),
        ((EngineName.SOCK_DIAG, EngineName.PROC), EngineName.AUTO),
    ],
)
def test_the_engine_is_the_one_that_read_every_netns(
    engines: tuple[EngineName | None, ...], expected: EngineName
) -> None:
    read = [netns(inode=4026532000 + i, engine=engine) for i, engine in enumerate(engines)]
    assert attribute(facts([], read)).engine is expected


@given(FACTS)
def test_any_facts_have_a_snapshot_in_which_rows_without_owner_have_a_verdict(given_facts: Facts) -> None:
    snapshot = attribute(given_facts)
    assert [socket for socket in snapshot.sockets if (socket.verdict is None) != bool(socket.owners)] == []


def test_the_same_facts_give_the_same_snapshot() -> None:
    given = facts([reading(10, {3: 7}), reading(11, {3: 7})], [netns(tcp_text(listen_row(80, 7)))])
    assert attribute(given) == attribute(given)
