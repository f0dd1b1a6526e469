"""Passes over this host: exact owners of the sockets that the test opens, and nothing left behind."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsagent.errors import Aborted
from nsagent.model.choices import EngineName
from nsagent.model.facts import FoundBy
from nsagent.model.snapshot import Flag, Netns, OwnedSocket, Snapshot, VerdictKind
from nsagent.scan.attribute import attribute
from tests.kernel.children import IN_NEW_NETNS, Child, start_child
from tests.kernel.test_procfs_live import DEAD_LEADER
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import run_pass

SOCKETS = """
os.system("ip link set lo up")
listener = socket.create_server(("127.0.0.1", 8080))
twice = os.dup(listener.fileno())
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); udp.bind(("::1", 5353))
client = socket.create_connection(("127.0.0.1", 8080), source_address=("127.0.0.1", 40000))
server, _ = listener.accept()
waiting = socket.create_connection(("127.0.0.1", 8080), source_address=("127.0.0.1", 40001))
another = socket.create_connection(("127.0.0.1", 8080), source_address=("127.0.0.1", 40002))
never_bound = socket.socket()
child = os.fork()
if child == 0:
    sys.stdin.read(); os._exit(0)
inodes = [os.fstat(one.fileno()).st_ino for one in (listener, udp, client, server, waiting, another)]
ready(f"{child} {listener.fileno()} {twice} {udp.fileno()} {' '.join(map(str, inodes))}")
wait()
os.waitpid(child, 0)
"""


def take(engine: EngineName = EngineName.AUTO, *, interfaces: bool = False) -> Snapshot:
    return attribute(run_pass(engine=engine, interfaces=interfaces))


def netns_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def find_row(snapshot: Snapshot, inode: int) -> OwnedSocket:
    """The only row with this inode."""
    (row,) = [one for one in snapshot.sockets if one.row.inode == inode]
    return row


def owners_of(found: OwnedSocket) -> list[tuple[int, tuple[int, ...]]]:
    return [(owner.process.pid, owner.fds) for owner in found.owners]


def find_netns(snapshot: Snapshot, inode: int) -> Netns | None:
    return next((one for one in snapshot.netns if one.inode == inode), None)


@contextmanager
def start_room(program: str) -> Iterator[Child]:
    """A child in a netns of its own."""
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS, Capability.IPV6)
    with start_child(program, *IN_NEW_NETNS) as child:
        yield child


class StopAfter(threading.Event):
    """An event that is set when it has been looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        if self._looks < 0:
            self.set()
        return super().is_set()


@pytest.mark.parametrize("engine", EngineName)
def test_every_row_of_a_netns_has_exactly_its_owners(engine: EngineName) -> None:
    with start_room(SOCKETS) as child:
        fork, fd, twice, udp_fd, listener, udp, *others = map(int, child.said.split())
        snapshot = take(engine)
        rows: dict[int, OwnedSocket] = {
            one.row.inode: one for one in snapshot.sockets if one.netns == netns_of(child.pid) and one.row.inode
        }
    both = sorted((child.pid, fork))
    assert sorted(owners_of(rows[listener])) == [(pid, tuple(sorted((fd, twice)))) for pid in both]
    assert sorted(owners_of(rows[udp])) == [(pid, (udp_fd,)) for pid in both]
    assert [sorted(pid for pid, _ in owners_of(rows[inode])) for inode in others] == [both] * len(others)
    assert rows.keys() == {listener, udp, *others}


@pytest.mark.parametrize("engine", EngineName)
def test_connections_that_nobody_accepted_have_no_owner_and_say_why(engine: EngineName) -> None:
    with start_room(SOCKETS) as child:
        snapshot = take(engine)
        ownerless = [one for one in snapshot.sockets if one.netns == netns_of(child.pid) and not one.owners]
    assert sorted((one.row.remote.port, one.verdict and one.verdict.kind) for one in ownerless) == [
        (40001, VerdictKind.ACCEPT_QUEUE),
        (40002, VerdictKind.ACCEPT_QUEUE),
    ]


def test_the_engines_agree_on_the_rows_of_a_netns() -> None:
    with start_room(SOCKETS) as child:
        seen = []
        for engine in (EngineName.SOCK_DIAG, EngineName.PROC):
            rows = [one for one in take(engine).sockets if one.netns == netns_of(child.pid)]
            seen.append(
                sorted(
                    (
                        one.row.local,
                        one.row.remote,
                        one.row.protocol,
                        one.row.uid,
                        one.row.inode,
                        sorted(owners_of(one)),
                    )
                    for one in rows
                )
            )
    assert seen[0] == seen[1]
    assert len(seen[0]) == 8


def test_a_netns_tells_how_it_was_found_and_read() -> None:
    with start_room(SOCKETS) as child:
        found = find_netns(take(), netns_of(child.pid))
        assert found is not None
        assert FoundBy.PROCESS in found.found_by
        assert (found.engine, found.is_host) == (EngineName.SOCK_DIAG, False)
        assert (found.processes, found.cookie is not None, found.interfaces) == (2, True, None)


def test_an_empty_netns_is_there_and_empty() -> None:
    with start_room("ready(); wait()") as child:
        facts = run_pass()
        (found,) = [one for one in facts.netns if one.id and one.id.inode == netns_of(child.pid)]
        assert (found.empty, found.tables, found.engine) == (True, (), EngineName.SOCK_DIAG)


def test_interfaces_are_read_when_they_are_asked_for() -> None:
    with start_room("ready(); wait()") as child:
        found = find_netns(take(interfaces=True), netns_of(child.pid))
        assert found is not None
        assert [interface.name for interface in found.interfaces or ()][:1] == ["lo"]


def test_the_name_of_the_interface_that_a_socket_is_bound_to_is_found() -> None:
    program = """
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\\0"); made.bind(("0.0.0.0", 53))
ready(os.fstat(made.fileno()).st_ino); wait()
"""
    with start_room(program) as child:
        assert find_row(take(EngineName.SOCK_DIAG), int(child.said)).interface == "lo"


def test_a_socket_whose_holder_moved_to_another_netns_keeps_its_own() -> None:
    require(Capability.ROOT)
    program = """
import ctypes
made = socket.create_server(("127.0.0.1", 0))
assert ctypes.CDLL(None).unshare(0x40000000) == 0
ready(os.fstat(made.fileno()).st_ino); wait()
"""
    with start_child(program) as child:
        found = find_row(take(), int(child.said))
        assert (found.netns, found.flags) == (netns_of(os.getpid()), (Flag.NETNS_MISMATCH,))
        assert [pid for pid, _ in owners_of(found)] == [child.pid]


THREAD_IN_NETNS = """
import ctypes
def move():
    assert ctypes.CDLL(None).unshare(0x40000000) == 0
    made = socket.create_server(("0.0.0.0", 7070))
    ready(f"{os.fstat(made.fileno()).st_ino} {os.stat('/proc/thread-self/ns/net').st_ino}")
    wait()
thread = threading.Thread(target=move); thread.start(); thread.join()
"""


def test_a_socket_of_a_thread_in_a_netns_of_its_own_has_its_owner() -> None:
    require(Capability.ROOT)
    with start_child(THREAD_IN_NETNS) as child:
        inode, netns = map(int, child.said.split())
        found = find_row(take(), inode)
        assert (found.netns, [pid for pid, _ in owners_of(found)]) == (netns, [child.pid])


def test_a_socket_of_a_dead_leader_has_its_owner() -> None:
    with start_room(DEAD_LEADER) as child:
        found = find_row(take(), int(child.said))
        assert (found.netns, [pid for pid, _ in owners_of(found)]) == (
            os.stat(f"/proc/{child.pid}/task/{live_thread(child.pid)}/ns/net").st_ino,
            [child.pid],
        )


def live_thread(pid: int) -> int:
    return next(tid for tid in map(int, os.listdir(f"/proc/{pid}/task")) if tid != pid)


def test_a_netns_that_only_an_fd_holds_is_found() -> None:
    require(Capability.ROOT)
    program = """
import ctypes
old = os.open("/proc/self/ns/net", os.O_RDONLY)
assert ctypes.CDLL(None).unshare(0x40000000) == 0
made = socket.create_server(("0.0.0.0", 7071))
held = os.open("/proc/self/ns/net", os.O_RDONLY)
assert ctypes.CDLL(None).setns(old, 0x40000000) == 0
ready(f"{os.fstat(made.fileno()).st_ino} {os.fstat(held).st_ino}"); wait()
"""
    with start_child(program) as child:
        inode, netns = map(int, child.said.split())
        snapshot = take()
        found = find_netns(snapshot, netns)
        assert found is not None
        assert FoundBy.FD in found.found_by
        assert (find_row(snapshot, inode).netns, find_row(snapshot, inode).flags) == (netns, (Flag.NETNS_MISMATCH,))


MOUNTED = """
import subprocess
directory = sys.argv[1]
place = os.path.join(directory, "netns")
def run(*command): subprocess.run(command, check=True)
run("mount", "-t", "tmpfs", "none", directory)
open(place, "w").close()
run("unshare", "--net=" + place, "true")
made = socket.create_server(("127.0.0.1", 0))
inode = os.stat(place).st_ino
"""


def test_a_netns_that_only_a_mount_holds_is_found(tmp_path: Path) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    program = MOUNTED.replace("sys.argv[1]", repr(str(tmp_path))) + "ready(inode); wait()"
    with start_child(program, "unshare", "--mount", "--"):
        mounted = [one for one in take().netns if str(tmp_path / "netns") in one.foreign_mounts]
    assert [(FoundBy.MOUNT in one.found_by, one.processes) for one in mounted] == [(True, 0)]


def test_a_process_in_a_chroot_hides_no_mount_of_those_outside(tmp_path: Path) -> None:
    """Its mountinfo shows the mounts below its own root alone, and it is read first: it is the elder one."""
    require(Capability.ROOT, Capability.SETPRIV)
    program = MOUNTED.replace("sys.argv[1]", repr(str(tmp_path))) + (
        "jail = os.path.join(directory, 'jail'); os.mkdir(jail)\n"
        "outside = os.fork()\n"
        "if outside: os.chroot(jail); ready(inode)\n"
        "wait()\n"
        "if outside: os.waitpid(outside, 0)\n"
    )
    with start_child(program, "unshare", "--mount", "--"):
        mounted = [one for one in take().netns if str(tmp_path / "netns") in one.foreign_mounts]
    assert [FoundBy.MOUNT in one.found_by for one in mounted] == [True]


def test_a_mount_of_a_netns_that_another_mount_covers_hides_no_process(tmp_path: Path) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    cover = f"made.close(); run('mount', '-t', 'tmpfs', 'none', {str(tmp_path)!r}); ready(); wait()"
    program = MOUNTED.replace("sys.argv[1]", repr(str(tmp_path))) + cover
    with start_child(program, "unshare", "--mount", "--") as child:
        assert child.pid in [process.pid for process in take().processes]


def test_an_own_socket_that_closes_before_the_pass_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as made:
        inode = os.fstat(made.fileno()).st_ino
        assert find_row(take(), inode).owners[0].process.pid == os.getpid()
    assert [one for one in take().sockets if one.row.inode == inode] == []


def test_the_own_netns_outside_of_a_container_or_within_is_there() -> None:
    snapshot = take()
    assert find_netns(snapshot, netns_of(os.getpid())) is not None
    assert [one.is_host for one in snapshot.netns].count(True) == 1


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("engine", EngineName)
def test_a_pass_leaves_no_fd_no_thread_and_its_own_netns(engine: EngineName) -> None:
    with start_room(SOCKETS):
        run_pass(engine=engine)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("looks", [0, 1, 2, 5, 10, 30, 60])
def test_a_pass_that_is_told_to_stop_between_two_reads_is_aborted_and_leaves_nothing(looks: int) -> None:
    with start_room(SOCKETS), pytest.raises(Aborted):
        run_pass(stop=StopAfter(looks))


def test_the_counts_of_processes_add_up() -> None:
    counts = run_pass().process_counts
    assert counts.seen == counts.ok + counts.vanished + counts.denied + counts.skipped
    assert counts.ok > 0
