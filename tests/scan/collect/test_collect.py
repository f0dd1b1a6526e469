"""Passes over trees of files: exactly what is in them, and what is not a Gap."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from nsagent.errors import Aborted, AccessDenied, EngineUnavailable, NoProcfs, ReadFailed, Reason
from nsagent.kernel.formats.mountinfo import NetnsMounts
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.choices import EngineName
from nsagent.model.facts import Facts, ProcessCounts
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Pid
from nsagent.model.net import Protocol
from nsagent.model.plain import to_plain
from nsagent.scan.attribute import attribute
from nsagent.scan.capture import decode_capture, encode_capture
from nsagent.scan.collect.follow_mounts import follow_mounts
from tests.gaps import failed
from tests.kernel.proc_tree import (
    BOOT_ID,
    BUSY_SOCKSTAT,
    BUSY_SOCKSTAT6,
    EMPTY_SOCKSTAT6,
    HOST_NETNS,
    ROOT_MOUNT,
    TCP_HEADER,
    ProcTree,
    stat_line,
    text_row,
)
from tests.kernel.rows import FIXTURES
from tests.scan.collect.passes import STARTED_AT_NS, open_pass, run_pass
from tests.scan.facts import ANY, WEB_NETNS, listen_row

NODE = FIXTURES / "proc" / "node"
IDLE_NETNS = 4026532600
NET = {
    "sockstat": BUSY_SOCKSTAT,
    "sockstat6": EMPTY_SOCKSTAT6,
    "tcp": TCP_HEADER + listen_row(80, 7),
    "udp": TCP_HEADER,
}


def net(*rows: str) -> dict[str, str]:
    """The files of a netns with these TCP rows."""
    return NET | {"tcp": TCP_HEADER + "".join(rows)}


def owners_of(facts: Facts) -> dict[int, list[tuple[int, tuple[int, ...]]]]:
    """Inode to (pid, fds) of all rows."""
    return {
        socket.row.inode: [(owner.process.pid, owner.fds) for owner in socket.owners]
        for socket in attribute(facts).sockets
    }


def comparable(facts: Facts) -> Facts:
    """Without how long it took, and without keys: in a tree each process has a net/dev of its own."""
    return facts._replace(duration_seconds=0, netns=tuple(one._replace(key=None) for one in facts.netns))


@pytest.fixture(scope="module")
def node() -> Facts:
    """The facts of the node in fixtures/proc."""
    return run_pass(str(NODE))


def end_of(endpoint: Any) -> str:
    address, port, raw = endpoint
    return f"{address} {port}" + (f" {raw}" if raw else "")


def test_every_row_of_the_node_is_there_with_its_owners(node: Facts) -> None:
    rows = [
        (
            socket.netns,
            f"{socket.row.protocol} {socket.row.state} {end_of(socket.row.local)} - {end_of(socket.row.remote)}",
            socket.row.inode,
            [(owner.process.pid, list(owner.fds)) for owner in socket.owners],
            socket.verdict.kind if socket.verdict else ",".join(socket.flags),
        )
        for socket in attribute(node).sockets
    ]
    any4, any6 = "0.0.0.0 0", ":: 0"
    assert rows == [
        (HOST_NETNS, f"tcp listen 0.0.0.0 22 - {any4}", 7000, [(100, [3])], ""),
        (HOST_NETNS, f"tcp listen :: 22 - {any6}", 7001, [(100, [4])], ""),
        (HOST_NETNS, f"udp close 0.0.0.0 68 - {any4}", 7002, [(110, [5])], ""),
        (HOST_NETNS, "tcp established 127.0.0.1 22 - 127.0.0.1 50000", 0, [], "accept_queue"),
        (HOST_NETNS, "tcp time_wait 127.0.0.1 50001 - 127.0.0.1 22", 0, [], "time_wait"),
        (WEB_NETNS, f"tcp listen :: 80 - {any6}", 7732, [(200, [3, 9]), (201, [3])], ""),
        (WEB_NETNS, f"tcp listen ::1 8080 - {any6}", 7750, [(400, [3])], "netns_mismatch,holder_outside"),
        (
            WEB_NETNS,
            "tcp established 10.0.0.2 80 ::ffff:10.0.0.2 - 10.0.0.1 50000 ::ffff:10.0.0.1",
            7740,
            [(201, [12])],
            "",
        ),
        (WEB_NETNS, "tcp syn_recv 2001:db8::1 443 - 2001:db8::2 6000", 0, [], "syn_recv"),
    ]


def test_every_netns_of_the_node_is_there(node: Facts) -> None:
    container = "c0ffee" + "0" * 58
    nothing = {key: list[str]() for key in ("names", "mounts", "foreign_mounts", "broadcasts")}
    untold = {"key": None, "cookie": None, "client_ports": None, "own_addresses": None, "linked": None}
    common = {**untold, **nothing, "engine": "proc", "found_by": ["process"]}
    assert [to_plain(one._asdict()) for one in attribute(node).netns] == [
        {
            **common,
            "inode": HOST_NETNS,
            "is_host": True,
            "is_init": False,
            "processes": 3,
            "containers": [],
            "interfaces": None,
            "pods": [],
            "rows": [["tcp", 3, 3], ["time_wait", 1, 1], ["udp", 1, 1]],
            "own_addresses": [],
        },
        {
            **common,
            "inode": WEB_NETNS,
            "is_host": False,
            "is_init": False,
            "processes": 2,
            "containers": [container],
            "interfaces": None,
            "pods": [],
            "rows": [["tcp", 3, 3], ["time_wait", 0, 0], ["udp", 0, 0]],
            "own_addresses": [],
        },
        {
            **common,
            "inode": IDLE_NETNS,
            "is_host": False,
            "is_init": False,
            "processes": 1,
            "containers": [],
            "interfaces": None,
            "pods": [],
            "rows": [["tcp", 0, 0], ["time_wait", 0, 0], ["udp", 0, 0]],
        },
    ]


def test_every_process_of_the_node_is_there(node: Facts) -> None:
    processes = [
        (one.pid, one.start_ticks, one.comm, one.netns, one.unit, one.kernel_thread)
        for one in attribute(node).processes
    ]
    assert processes == [
        (2, 1, "kthreadd", None, None, True),
        (100, 500, "sshd", HOST_NETNS, "ssh.service", False),
        (110, 510, "dhclient", HOST_NETNS, "networking.service", False),
        (200, 900, "nginx", WEB_NETNS, None, False),
        (201, 901, "nginx: w) R 1", WEB_NETNS, None, False),
        (300, 950, "defunct", None, None, False),
        (400, 960, "moved", HOST_NETNS, None, False),
        (500, 970, "sleep", IDLE_NETNS, None, False),
    ]
    assert {reading.uid for reading in node.processes} == {NODE.stat().st_uid}


def test_the_node_was_seen_whole(node: Facts) -> None:
    coverage = attribute(node).coverage
    assert coverage.complete
    assert coverage.processes == ProcessCounts(seen=8, ok=8, vanished=0, denied=0, skipped=0)
    assert (coverage.netns.seen, coverage.netns.read, coverage.netns.empty) == (3, 2, 1)
    assert (coverage.socket_fds_unlisted, coverage.gaps) == (1, ())


def test_the_head_of_the_facts_is_what_the_pass_was_told(node: Facts) -> None:
    assert (node.host, node.taken_at_ns, node.boot_id) == ("node-1", STARTED_AT_NS, BOOT_ID)
    assert (node.engine, node.containers) == (EngineName.AUTO, ())
    assert node.duration_seconds >= 0


def test_two_passes_over_the_same_tree_give_the_same_facts(node: Facts) -> None:
    assert comparable(run_pass(str(NODE))) == comparable(node)


def test_the_facts_of_the_node_survive_a_capture(node: Facts) -> None:
    assert decode_capture(encode_capture(node), "node") == node


def test_the_engine_proc_reads_the_tree_as_auto_does(node: Facts) -> None:
    by_proc = run_pass(str(NODE), EngineName.PROC)
    assert comparable(by_proc)._replace(engine=EngineName.AUTO) == comparable(node)


def test_the_engine_sock_diag_cannot_read_a_tree() -> None:
    with pytest.raises(EngineUnavailable, match=r"engine sock_diag: .*node is no procfs.*--engine proc"):
        run_pass(str(NODE), EngineName.SOCK_DIAG)


def test_a_root_that_is_not_there_is_a_failed_read(tmp_path: Path) -> None:
    with pytest.raises(ReadFailed, match="nowhere: ENOENT"):
        run_pass(str(tmp_path / "nowhere"))


def test_a_directory_without_a_process_is_no_procfs(tree: ProcTree) -> None:
    with pytest.raises(NoProcfs, match="no procfs, nor a copy of one"):
        run_pass(tree.path)


@pytest.mark.usefixtures("nothing_left")
def test_a_pass_that_was_told_to_stop_is_aborted_and_leaves_nothing() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Aborted):
        run_pass(str(NODE), stop=stop)


@pytest.mark.usefixtures("nothing_left")
def test_a_pass_over_a_tree_leaves_nothing() -> None:
    run_pass(str(NODE))


def test_a_netns_is_read_through_the_next_process_when_the_first_has_no_tables(tree: ProcTree) -> None:
    tree.process(10, netns=WEB_NETNS, net={"sockstat": BUSY_SOCKSTAT})
    tree.process(11, netns=WEB_NETNS, fds={3: "socket:[7]"}, net=NET)
    assert owners_of(run_pass(tree.path)) == {7: [(11, (3,))]}


def test_a_netns_whose_tables_nobody_shows_though_it_counts_sockets_is_a_gap(tree: ProcTree) -> None:
    tree.process(10, netns=WEB_NETNS, net={"sockstat": BUSY_SOCKSTAT})
    facts = run_pass(tree.path)
    assert [(gap.stage, gap.subject) for gap in facts.gaps] == [(Stage.NETNS, Subject(Kind.NETNS, str(WEB_NETNS)))]
    assert facts.netns[0].engine is None


def test_a_table_is_read_once_however_many_processes_are_in_the_netns(tree: ProcTree) -> None:
    for pid in range(10, 20):
        tree.process(pid, netns=WEB_NETNS, fds={3: "socket:[7]"}, net=NET)
    facts = run_pass(tree.path)
    assert len(facts.netns) == 1
    assert owners_of(facts) == {7: [(pid, (3,)) for pid in range(10, 20)]}


def test_text_tables_are_read_twice_as_one_reading_may_lose_rows(tree: ProcTree) -> None:
    tree.process(10, net=NET)
    table = run_pass(tree.path).netns[0].tables[0]
    assert table.data == listen_row(80, 7).encode() * 2


def test_a_table_whose_counters_are_zero_is_not_read(tree: ProcTree) -> None:
    tree.process(10, net=NET | {"sockstat": BUSY_SOCKSTAT.replace("inuse 2", "inuse 0").replace("tw 1", "tw 0")})
    facts = run_pass(tree.path)
    assert {table.protocol for table in facts.netns[0].tables} == {Protocol.UDP}


def test_tables_without_counters_are_read(tree: ProcTree) -> None:
    tree.process(10, fds={3: "socket:[7]"}, net=NET)
    for name in ("sockstat", "sockstat6"):
        (tree.root / "10/net" / name).unlink()
    assert owners_of(run_pass(tree.path)) == {7: [(10, (3,))]}


def test_a_damaged_row_leaves_the_other_rows_and_is_a_gap(tree: ProcTree) -> None:
    tree.process(10, fds={3: "socket:[8]"}, net=net(listen_row(80, 7), "rubbish\n", listen_row(81, 8)))
    tree.write("10/net/sockstat", BUSY_SOCKSTAT.replace("UDP: inuse 1", "UDP: inuse 0"))
    snapshot = attribute(run_pass(tree.path))
    assert [socket.row.inode for socket in snapshot.sockets] == [7, 8]
    assert [gap.stage for gap in snapshot.coverage.gaps] == [Stage.TABLES]


def test_a_damaged_stat_line_skips_that_process_alone(tree: ProcTree) -> None:
    tree.process(10, fds={3: "socket:[7]"}, net=NET)
    tree.process(11)
    tree.write("11/stat", "11 (damaged")
    facts = run_pass(tree.path)
    assert facts.process_counts == ProcessCounts(seen=2, ok=1, vanished=0, denied=0, skipped=1)
    assert [(gap.stage, gap.subject) for gap in facts.gaps] == [(Stage.PROCESSES, Subject(Kind.PROCESS, "11"))]
    assert [reading.pid for reading in facts.processes] == [10]


def test_nothing_vanishes_from_a_copied_tree(tree: ProcTree) -> None:
    tree.process(10)
    (tree.root / "11").mkdir()
    facts = run_pass(tree.path)
    assert facts.process_counts == ProcessCounts(seen=2, ok=1, vanished=0, denied=0, skipped=1)
    assert facts.gaps == (Gap(Stage.PROCESSES, Subject(Kind.PROCESS, "11"), Reason.GONE),)


@pytest.mark.parametrize("missing", ["cgroup", "ns/mnt", "net/dev", "net/udp", "net/sockstat", "mountinfo"])
def test_a_file_that_this_kernel_or_this_tree_lacks_costs_nothing_else(tree: ProcTree, missing: str) -> None:
    tree.process(10, fds={3: "socket:[7]"}, net=NET)
    (tree.root / "10" / missing).unlink()
    facts = run_pass(tree.path)
    assert owners_of(facts) == {7: [(10, (3,))]}
    assert facts.process_counts == ProcessCounts(seen=1, ok=1, vanished=0, denied=0, skipped=0)
    assert facts.gaps == ()


def test_a_netns_whose_mounts_are_denied_late_has_one_name(tree: ProcTree) -> None:
    """ns/net was read by then: what is denied afterwards makes no netns of it that is known by key alone."""
    mountinfo = f"412 30 0:4 net:[{WEB_NETNS}] /run/netns/covered rw - nsfs nsfs rw\n"
    path = tree.process(10, fds={3: "socket:[7]"}, net=NET, mountinfo=mountinfo)
    with open_pass(ProcFs(tree.path)) as context, DeniedLate.open(path) as process:
        context.registry.see_process(process, Pid(10))
        context.registry.see_mounts(process)
        follow_mounts(context)
        assert [(met.inode, met.path) for met in context.registry.list_met()] == [(HOST_NETNS, "")]


class DeniedLate(ProcessDir):
    """A process whose mounts may be read once."""

    reads = 0

    @classmethod
    def open(cls, path: Path) -> "DeniedLate":
        return cls(os.open(path, os.O_RDONLY), 10, "pid 10", str(path))

    def read_netns_mounts(self, most_path_bytes: int, *, trusted: bool = False) -> NetnsMounts:
        self.reads += 1
        if self.reads > 1:
            raise AccessDenied(self.subject, "EACCES")
        return super().read_netns_mounts(most_path_bytes, trusted=trusted)


def test_a_dead_leader_whose_thread_has_no_netns_any_more_is_left(tree: ProcTree) -> None:
    """A thread that is exiting, or stuck in D on its way out."""
    tree.process(10, "dead", state="Z", threads=2, netns=None)
    tree.thread("10/task/10", stat_line(10, state="Z"), netns=None)
    tree.thread("10/task/12", stat_line(12, "exiting", state="D"), netns=None)
    facts = run_pass(tree.path)
    assert (facts.process_counts.seen, facts.process_counts.ok, facts.processes) == (1, 0, ())


def test_a_zombie_leader_has_the_fds_and_the_netns_of_its_live_thread(tree: ProcTree) -> None:
    tree.process(10, "dead", state="Z", threads=2, netns=None)
    tree.thread("10/task/10", stat_line(10, state="Z"), netns=None)
    tree.thread("10/task/12", stat_line(12, "live"), netns=WEB_NETNS, fds={3: "socket:[7]"})
    tree.write("10/task/12/cgroup", "0::/\n")
    tree.write("10/task/12/mountinfo", ROOT_MOUNT)
    tree.process(20, netns=WEB_NETNS, net=NET)
    facts = run_pass(tree.path)
    assert owners_of(facts) == {7: [(10, (3,))]}
    dead = facts.processes[0]
    assert (dead.pid, dead.comm, dead.netns_inode) == (10, "dead", WEB_NETNS)


def test_a_thread_in_a_netns_of_its_own_leads_to_it(tree: ProcTree) -> None:
    tree.process(10, threads=2, fds={3: "socket:[7]"})
    tree.thread("10/task/10", stat_line(10))
    tree.thread("10/task/11", stat_line(11), netns=WEB_NETNS)
    tree.process(20, netns=WEB_NETNS, net=NET)
    assert owners_of(run_pass(tree.path)) == {7: [(10, (3,))]}


def test_a_netns_held_by_an_fd_alone_costs_its_holder_nothing(tree: ProcTree) -> None:
    tree.process(10, fds={3: "socket:[7]", 4: f"net:[{WEB_NETNS}]"}, net=NET)
    facts = run_pass(tree.path)
    assert owners_of(facts) == {7: [(10, (3,))]}
    assert facts.process_counts.vanished == 0


def test_a_mount_of_a_netns_that_cannot_be_reached_costs_its_process_nothing(tree: ProcTree) -> None:
    mountinfo = f"412 30 0:4 net:[{WEB_NETNS}] /run/netns/covered rw - nsfs nsfs rw\n"
    tree.process(10, fds={3: "socket:[7]"}, net=NET, mountinfo=mountinfo)
    facts = run_pass(tree.path)
    assert owners_of(facts) == {7: [(10, (3,))]}
    assert facts.process_counts.vanished == 0


def test_a_mount_that_was_replaced_by_a_plain_file_is_no_netns(tree: ProcTree) -> None:
    mountinfo = f"412 30 0:4 net:[{WEB_NETNS}] /run/netns/stale rw - nsfs nsfs rw\n"
    tree.process(10, fds={3: "socket:[7]"}, net=NET, mountinfo=mountinfo)
    tree.write("10/root/run/netns/stale", "")
    assert [reading.id and reading.id.inode for reading in run_pass(tree.path).netns] == [HOST_NETNS]


@pytest.mark.parametrize(
    "mountinfo", ["rubbish - nsfs nsfs rw\n", "1 2 0:4 net:[x] /run/netns/web rw - nsfs nsfs rw\n", "\r\n\0 - nsfs "]
)
def test_a_damaged_mountinfo_costs_its_process_nothing(tree: ProcTree, mountinfo: str) -> None:
    tree.process(10, fds={3: "socket:[7]"}, net=NET, mountinfo=mountinfo)
    facts = run_pass(tree.path)
    assert owners_of(facts) == {7: [(10, (3,))]}


def test_a_row_without_an_owner_is_still_told(tree: ProcTree) -> None:
    tree.process(10, net=NET)
    assert owners_of(run_pass(tree.path)) == {7: []}


def test_a_process_without_fd_right_is_denied_and_a_gap(tree: ProcTree) -> None:
    tree.process(10, fds={3: "socket:[7]"}, net=NET)
    (tree.root / "10/fd/3").unlink()
    (tree.root / "10/fd").rmdir()
    tree.write("10/fd", "no directory: ENOTDIR")
    facts = run_pass(tree.path)
    assert facts.process_counts == ProcessCounts(seen=1, ok=0, vanished=0, denied=1, skipped=0)
    assert facts.gaps == (failed(Stage.FDS, Kind.PROCESS, 10, "ENOTDIR"),)
    assert facts.processes[0].socket_fds is None


def test_the_host_netns_is_that_of_the_kernels_threads(tree: ProcTree) -> None:
    tree.process(2, "kthreadd", flags=2129984, netns=HOST_NETNS)
    tree.process(10, netns=HOST_NETNS)
    tree.process(11, netns=WEB_NETNS)
    tree.process(1, netns=WEB_NETNS)
    facts = run_pass(tree.path)
    assert [(one.id.inode, one.is_host) for one in facts.netns if one.id] == [(HOST_NETNS, True), (WEB_NETNS, False)]


def test_a_kernel_without_ipv6_is_read(tree: ProcTree) -> None:
    tree.process(10, fds={3: "socket:[7]"}, net=NET)
    (tree.root / "10/net/sockstat6").unlink()
    facts = run_pass(tree.path)
    assert (owners_of(facts), facts.gaps) == ({7: [(10, (3,))]}, ())


def test_both_families_of_both_protocols_are_read(tree: ProcTree) -> None:
    any6 = "0" * 32 + ":0000"
    rows = {
        "tcp": text_row(ANY, ANY, 10, 7),
        "tcp6": text_row(any6, any6, 10, 8),
        "udp": text_row(ANY, ANY, 7, 9),
        "udp6": text_row(any6, any6, 7, 10),
    }
    tables = {name: TCP_HEADER + row for name, row in rows.items()}
    tree.process(10, net=tables | {"sockstat": BUSY_SOCKSTAT, "sockstat6": BUSY_SOCKSTAT6})
    assert sorted(owners_of(run_pass(tree.path))) == [7, 8, 9, 10]
