"""Which rows an expression selects: held against a second, plain reading of what each condition means."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import EXIT_NOT_FOUND, Ambiguous, NotFound
from nsagent.model.ids import Pid, tell_netns
from nsagent.model.net import Endpoint, Protocol, SocketRow, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.query.evaluate import check_names, take_unknown_for_nothing
from nsagent.query.expression import Autobound, Between, Every, Expression, Not, Number, Some
from nsagent.query.filter import Filter
from nsagent.query.grammar import parse_expression
from nsagent.query.network import Network, parse_network
from nsagent.query.select import select_snapshot
from nsagent.scan.attribute import attribute
from nsagent.scan.capture_file import read_capture
from tests.query.expressions import LAST, conditions, trees, write_network
from tests.scan.facts import facts, listen_row, netns, reading, tcp_text

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"
SNAPSHOTS = [
    attribute(read_capture(CAPTURES / f"{name}.json.gz")) for name in ("docker", "pods", "plain", "equal-addresses")
]
WITH_PORTS = {Protocol.TCP, Protocol.UDP, Protocol.UDPLITE, Protocol.SCTP, Protocol.VSOCK}
WEB_ID = next(one.id for one in SNAPSHOTS[0].containers if one.name == "web")


def select(snapshot: Snapshot, expression: Expression) -> list[OwnedSocket]:
    return list(select_snapshot(snapshot, Filter(expression=expression)).sockets)


def select_text(snapshot: Snapshot, text: str) -> list[str]:
    """The local ends of the rows that an expression selects."""
    return [
        f"{socket.row.local.address}:{socket.row.local.port}" for socket in select(snapshot, parse_expression(text))
    ]


def meets(socket: OwnedSocket, expression: Expression, snapshot: Snapshot) -> bool:
    """Whether a row meets an expression, by its words."""
    if isinstance(expression, Not):
        return not meets(socket, expression.part, snapshot)
    if isinstance(expression, Every):
        return all(meets(socket, part, snapshot) for part in expression.parts)
    if isinstance(expression, Some):
        return any(meets(socket, part, snapshot) for part in expression.parts)
    if isinstance(expression, Autobound):
        return socket.row.local.port in range(32768, 61000)
    if isinstance(expression, Between):
        return number_of(socket, expression.number) in range(expression.first, expression.last + 1)
    return all(meets_filter(socket, expression, snapshot))


def number_of(socket: OwnedSocket, number: Number) -> int | None:
    row = socket.row
    return {
        Number.LOCAL_PORT: row.local.port,
        Number.REMOTE_PORT: row.remote.port,
        Number.UID: row.uid,
    }[number]


def meets_filter(socket: OwnedSocket, wanted: Filter, snapshot: Snapshot) -> Iterator[bool]:
    """An answer for each field that asks for anything."""
    row, owners = socket.row, socket.owners
    if wanted.local:
        yield is_in(row.local, wanted.local[0])
    if wanted.remote:
        yield is_in(row.remote, wanted.remote[0])
    if wanted.states:
        yield row.state in wanted.states
    if wanted.protocols:
        yield row.protocol in wanted.protocols
    if wanted.pids:
        yield wanted.pids[0] in {owner.process.pid for owner in owners}
    if wanted.comms:
        yield not set(wanted.comms).isdisjoint(owner.process.comm for owner in owners)
    if wanted.units:
        yield not set(wanted.units).isdisjoint(owner.process.unit for owner in owners)
    if wanted.ownerless:
        yield socket.verdict is not None
    if wanted.interfaces:
        yield str(socket.interface) in wanted.interfaces or str(row.interface) in wanted.interfaces
    if wanted.netns:
        yield tell_netns(socket.netns) == wanted.netns[0]
    named = {socket.container_id, *(owner.process.container_id for owner in owners)}
    if wanted.containers:
        yield wanted.containers[0] in named
    if wanted.pods:
        pods = {one.id: one.pod and one.pod.uid for one in (*snapshot.containers, *snapshot.folded)}
        yield wanted.pods[0] in {pods.get(id_) for id_ in named if id_} | {socket.pod and socket.pod.uid}


def is_in(end: Endpoint, network: Network) -> bool:
    prefix = ip_network(write_network(network))
    return any(ip_address(text) in prefix for text in (end.address, end.raw_address) if text)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Snapshot, Expression]:
    """A recorded host, and an expression of what is there, as far as it has any of it."""
    snapshot = draw(st.sampled_from(SNAPSHOTS))
    rows = [socket.row for socket in snapshot.sockets]
    ends = [end for row in rows for end in (row.local, row.remote)]
    containers = [str(one.id) for one in snapshot.containers] or [""]
    pods = [str(pod.uid) for one in snapshot.containers if (pod := one.pod) and pod.uid] or [""]
    leaves = conditions(
        ports=st.sampled_from([end.port for end in ends]),
        uids=st.sampled_from([row.uid for row in rows if row.uid is not None]),
        pids=st.sampled_from([process.pid for process in snapshot.processes]),
        containers=st.sampled_from(containers),
        pods=st.sampled_from(pods),
        netns=st.sampled_from([tell_netns(one.number) for one in snapshot.netns]),
        comms=st.sampled_from([process.comm for process in snapshot.processes]),
        within=st.builds(
            shorten, st.sampled_from([end.raw_address or end.address for end in ends]), st.integers(0, 128)
        ),
    )
    known = leaves.filter(lambda leaf: not (isinstance(leaf, Filter) and "" in (*leaf.containers, *leaf.pods)))
    return snapshot, draw(trees(known))


def shorten(address: str, length: int) -> Network:
    bits = 128 if ":" in address else 32
    return parse_network(f"{address}/{min(length, bits)}", "")


@given(case=cases())
def test_an_expression_selects_the_rows_that_meet_it(case: tuple[Snapshot, Expression]) -> None:
    snapshot, expression = case
    assert select(snapshot, expression) == [
        socket for socket in snapshot.sockets if meets(socket, expression, snapshot)
    ]


def with_rows(*rows: SocketRow) -> Snapshot:
    sample = SNAPSHOTS[0].sockets[0]
    return attribute(facts())._replace(sockets=tuple(sample._replace(row=row) for row in rows))


def test_what_has_no_ports_meets_no_comparison_of_ports() -> None:
    row = SNAPSHOTS[0].sockets[0].row._replace(local=Endpoint("10.0.0.1", 6))
    rows = with_rows(*(row._replace(protocol=protocol) for protocol in Protocol))
    for text in ("sport = 6", "sport < 7", "sport > 5", "port = 6", "autobound or sport = 6"):
        found = {socket.row.protocol for socket in select(rows, parse_expression(text))}
        assert found == WITH_PORTS, text
    found = {socket.row.protocol for socket in select(rows, parse_expression("sport != 6"))}
    assert found == set(Protocol) - WITH_PORTS


def test_a_row_without_a_uid_meets_no_comparison_of_uids() -> None:
    row = SNAPSHOTS[0].sockets[0].row
    rows = with_rows(row._replace(uid=None), row._replace(uid=LAST))
    assert [socket.row.uid for socket in select(rows, parse_expression("uid >= 0"))] == [LAST]
    assert [socket.row.uid for socket in select(rows, parse_expression("not uid >= 0"))] == [None]


def test_autobound_is_what_the_netns_gives_to_clients() -> None:
    snapshot = SNAPSHOTS[0]
    listener = next(socket for socket in snapshot.sockets if socket.row.local.port == 9090)
    changed = [
        one._replace(client_ports=(9090, 9090)) if one.number == listener.netns else one for one in snapshot.netns
    ]
    assert listener not in select(snapshot, Autobound())
    assert listener in select(snapshot._replace(netns=tuple(changed)), Autobound())


def test_an_interface_goes_by_its_name_and_its_index() -> None:
    sample = SNAPSHOTS[0].sockets[0]
    bound = sample._replace(interface="eth0", row=sample.row._replace(interface=7))
    snapshot = SNAPSHOTS[0]._replace(sockets=(sample, bound))
    for text in ("dev = eth0", "dev 7", "dev != lo and not dev = 0"):
        assert select(snapshot, parse_expression(text)) == [bound], text


def test_a_unit_is_that_of_a_process_that_holds_the_socket() -> None:
    sshd = reading(10, {3: 1}, comm="sshd", cgroup="0::/system.slice/ssh.service\n")
    cron = reading(11, {3: 2}, comm="ssh.service", cgroup="0::/system.slice/cron.service\n")
    snapshot = attribute(facts([sshd, cron], [netns(tcp_text(listen_row(22, 1), listen_row(23, 2)))]))
    assert select_text(snapshot, "unit = ssh.service,x.service") == ["127.0.0.1:22"]
    assert select_text(snapshot, "unit != ssh.service") == ["127.0.0.1:23"]


def test_conditions_select_what_the_options_select() -> None:
    snapshot = SNAPSHOTS[0]
    for text, wanted in (
        ("container = web", Filter(containers=("web",))),
        (f"container = {WEB_ID[:12]}", Filter(containers=(WEB_ID[:12],))),
        ("netns = host", Filter(netns=("host",))),
        ("pid = 145", Filter(pids=(Pid(145),))),
        ("state = listen", Filter(states=frozenset((SocketState.LISTEN,)))),
        ("src 10.213.0.2", Filter(local=(parse_network("10.213.0.2", ""),))),
    ):
        selected = select_snapshot(snapshot, wanted)
        assert select_snapshot(snapshot, Filter(expression=parse_expression(text))) == selected, text
        assert 0 < len(selected.sockets) < len(snapshot.sockets), text


def test_an_expression_and_options_must_both_be_met() -> None:
    wanted = Filter(netns=("host",), expression=parse_expression("container = exporter or container = web"))
    assert [socket.row.local.port for socket in select_snapshot(SNAPSHOTS[0], wanted).sockets] == [9100]


@pytest.mark.parametrize("text", ["container = wep", "sport = 1 and not pod = x", "pid = 9", "src * or netns = blue"])
def test_a_name_that_nothing_has_is_an_error_wherever_it_stands(text: str) -> None:
    with pytest.raises(NotFound) as caught:
        select_text(SNAPSHOTS[0], text)
    assert caught.value.exit_status == EXIT_NOT_FOUND


def test_a_name_that_several_have_is_an_error_even_where_names_may_be_unknown() -> None:
    wanted = Filter(expression=parse_expression("container = nginx"))
    twins = [one._replace(name="nginx") for one in SNAPSHOTS[0].containers]
    with pytest.raises(Ambiguous):
        take_unknown_for_nothing(wanted, SNAPSHOTS[0]._replace(containers=tuple(twins)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("container = gone", 0),
        ("not container = gone", 7),
        ("container = gone,web", 2),
        ("container = gone or port = 9100", 1),
        ("container = gone and port = 9100", 0),
        ("not pid = 9", 7),
        ("not netns = gone", 7),
        ("port = 9100", 1),
    ],
)
def test_whoever_looks_again_and_again_takes_a_name_that_is_not_there_for_nothing(text: str, expected: int) -> None:
    wanted = take_unknown_for_nothing(Filter(expression=parse_expression(text)), SNAPSHOTS[0])
    assert len(select_snapshot(SNAPSHOTS[0], wanted).sockets) == expected


def test_without_an_expression_a_filter_stays_what_it_is() -> None:
    wanted = Filter(containers=("gone",))
    assert take_unknown_for_nothing(wanted, SNAPSHOTS[0]) is wanted


def test_a_name_may_be_known_to_one_of_several_snapshots() -> None:
    docker, plain, _, other = SNAPSHOTS
    check_names(parse_expression("container = web and not netns = host"), (docker, plain))
    check_names(parse_expression("container = web"), (plain, docker))
    with pytest.raises(NotFound, match="no container 'web'"):
        check_names(parse_expression("container = web or sport = 1"), (plain, other))


def test_a_filter_tells_what_is_named_anywhere_in_it() -> None:
    text = "not (proto = sctp or container = a) and (proto = tcp or container = b,c)"
    wanted = Filter(containers=("d",), protocols=frozenset((Protocol.RAW,)), expression=parse_expression(text))
    assert wanted.named_protocols == {Protocol.SCTP, Protocol.TCP, Protocol.RAW}
    assert sorted(wanted.named_containers) == ["a", "b", "c", "d"]
    assert not wanted.asks_for_owners
    for word in ("pid = 1", "comm = x", "unit = x", "owner = none"):
        assert Filter(expression=parse_expression(f"sport = 1 or not {word}")).asks_for_owners
    assert Filter(pids=(Pid(1),)).asks_for_owners
