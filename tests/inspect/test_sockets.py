"""The sockets of a process, with a real pass that reads only the netns that they are in."""

import os
import time

import pytest

from nsagent.inspect.sockets import Sockets
from nsagent.kernel.procfs import ProcFs
from nsagent.model.facts import HeldBy
from nsagent.model.ids import ContainerId, Fd, Pid, SocketInode, Tid
from nsagent.model.inspection import InspectedRow, InspectedSocket, Peer
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import Confidence, Owner, Snapshot
from nsagent.query.filter import Filter
from nsagent.runtimes.runtimes import Runtimes
from nsagent.scan.plan import TablesWanted
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import take_snapshot
from tests.inspect.inspecting import inspect, list_missing
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.live.capabilities import Capability, require
from tests.scan.snapshots import container, make_netns, snapshot
from tests.scan.snapshots import process as make_process
from tests.scan.snapshots import socket as make_socket

UP = "os.system('ip link set lo up'); "


def take(*pids: int) -> Snapshot:
    """A snapshot of a pass about these processes."""
    only = Filter(pids=tuple(map(Pid, pids)))
    request = SnapshotRequest("node", time.time_ns(), tables=TablesWanted(frozenset(Protocol)), only=only)
    return take_snapshot(request, Runtimes([], clock=time.monotonic), clock=time.monotonic).snapshot


def inspect_sockets(pid: int) -> tuple[Snapshot, dict[int, InspectedSocket]]:
    """A snapshot, and the sockets of a process by their first fd."""
    known = take(pid)
    return known, {each.fds[0]: each for each in inspect(pid, known=known).sockets}


@pytest.fixture
def in_netns() -> None:
    require(Capability.ROOT, Capability.NETNS, Capability.SETPRIV)


@pytest.mark.usefixtures("in_netns")
def test_bug_53_a_socket_stands_in_the_netns_that_it_is_in_not_in_that_of_its_process() -> None:
    """OpenSnitch reads the tables of its own netns for each of them."""
    program = (
        "inside = socket.create_server(('127.0.0.1', 80), family=socket.AF_INET); unbound = socket.socket()\n"
        "import ctypes; ctypes.CDLL(None).unshare(0x40000000)\n"
        f"{UP}outside = socket.create_server(('127.0.0.1', 80)); "
        "ready(f'{inside.fileno()} {unbound.fileno()} {outside.fileno()}'); wait()"
    )
    with start_child(UP + program, *IN_NEW_NETNS) as child:
        inside, unbound, outside = map(int, child.said.split())
        known, found = inspect_sockets(child.pid)
        own = os.stat(f"/proc/{child.pid}/ns/net").st_ino
    first, second = found[inside].owned, found[outside].owned
    assert first is not None
    assert second is not None
    assert second.netns == own != first.netns
    assert (first.row.local, first.row.state) == (second.row.local, SocketState.LISTEN)
    assert (found[unbound].owned, found[unbound].protocol) == (None, "TCP")
    # Nothing but these two was read.
    assert {one.number for one in known.netns if one.engine is not None} == {own, first.netns}


@pytest.mark.usefixtures("in_netns")
def test_who_holds_the_other_end_in_the_same_netns_is_known() -> None:
    program = (
        "server = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        " client = socket.create_connection(('127.0.0.1', 80)); ready(f'{os.getpid()} {client.fileno()}'); wait()\n"
        " os._exit(0)\n"
        "accepted, _ = server.accept(); os.waitpid(child, 0)"
    )
    with start_child(UP + program, *IN_NEW_NETNS) as parent:
        pid, client = map(int, parent.said.split())
        _, found = inspect_sockets(pid)
    assert found[client].peer == Peer((Pid(parent.pid),), None, None, Confidence.EXACT)


def test_a_unix_socket_has_a_protocol_and_no_row() -> None:
    with start_child("one, other = socket.socketpair(); again = os.dup(one.fileno()); ready(); wait()") as child:
        found = [each for each in inspect(child.pid).sockets if each.protocol.startswith("UNIX")]
    assert [len(each.fds) for each in found] == [2, 1]
    assert {each.owned for each in found} == {None}


@pytest.mark.usefixtures("in_netns")
def test_a_peer_in_another_netns_is_known_where_one_container_alone_has_its_address() -> None:
    """And where the other end stands in its table: the address alone is what anyone may give himself."""
    web = container("web")
    program = "os.system('ip link set lo up && ip addr add 10.9.8.7/32 dev lo'); ready(); wait()"
    with start_child(program, *IN_NEW_NETNS) as there:
        number = os.stat(f"/proc/{there.pid}/ns/net").st_ino
        holder = make_process(1)
        ends = Endpoint("10.9.8.1", 5), Endpoint("10.9.8.7", 80)
        row = make_socket(SocketState.ESTABLISHED, *ends, holder, netns=7, inode=99)
        resident = make_process(there.pid)
        known = snapshot(row, containers=(web,), netns=(make_netns(7), make_netns(number)))

        def find(*containers: ContainerId, remote: str = "10.9.8.7", port: int = 5) -> Peer | None:
            other = Endpoint(remote, 80)
            back = make_socket(SocketState.ESTABLISHED, other, Endpoint("10.9.8.1", port), netns=number, inode=98)
            told = known._replace(
                sockets=(row._replace(row=row.row._replace(remote=other)), back),
                processes=(resident._replace(netns=number),),
                netns=(make_netns(7), make_netns(number)._replace(containers=containers)),
            )
            with ProcFs().open_process(Pid(os.getpid())) as process:
                (one,) = Sockets(told, ProcFs()).find(process, [(Fd(0), "socket:[99]")])
            return one.peer

        assert find(web.id) == Peer((), web.id, None, Confidence.INFERRED)
        assert find(web.id, port=6) is None
        assert find(web.id, remote="127.0.0.1") is None
        assert find(web.id, ContainerId("b" * 64)) is None
        assert find() is None


@pytest.mark.usefixtures("in_netns")
def test_a_thread_with_sockets_in_a_table_of_its_own_is_a_gap() -> None:
    program = (
        "import ctypes, threading\n"
        "def hold():\n"
        "    ctypes.CDLL(None).unshare(0x400)\n"
        "    listener = socket.create_server(('127.0.0.1', 80))\n"
        "    ready(threading.get_native_id())\n"
        "    threading.Event().wait()\n"
        "threading.Thread(target=hold, daemon=True).start(); wait()"
    )
    with start_child(UP + program, *IN_NEW_NETNS) as child:
        told = inspect(child.pid, known=take(child.pid))
        assert list_missing(told) == {f"fd of thread {child.said.strip()}": "not_told"}


def test_all_rows_of_a_socket_are_told() -> None:
    """The subflows of an MPTCP connection have its inode."""
    client, server = make_process(1), make_process(2)
    first, second = (
        make_socket(
            SocketState.ESTABLISHED,
            Endpoint(f"10.8.{number}.1", 5),
            Endpoint("10.9.8.7", 80),
            client,
            netns=7,
            inode=99,
        )
        for number in range(2)
    )
    other_end = make_socket(SocketState.ESTABLISHED, second.row.remote, second.row.local, server, netns=7, inode=100)
    known = snapshot(first, second, other_end, netns=(make_netns(7),))
    with ProcFs().open_process(Pid(os.getpid())) as process:
        (one,) = Sockets(known, ProcFs()).find(process, [(Fd(0), "socket:[99]"), (Fd(1), "socket:[99]")])
    peer = Peer((Pid(2),), None, None, Confidence.EXACT)
    assert one == InspectedSocket((Fd(0), Fd(1)), SocketInode(99), "", first, None, (InspectedRow(second, peer),))


def test_sockets_that_only_a_ring_or_another_thread_holds_are_named() -> None:
    one, other = make_process(1), make_process(2)
    ring, thread = Owner(one, (Fd(5), Fd(6)), held_by=HeldBy.IO_URING), Owner(one, (Fd(7),), Tid(11))
    held = make_socket(SocketState.LISTEN, Endpoint("0.0.0.0", 80), netns=7)
    found = Sockets(
        snapshot(held._replace(owners=(ring, thread, Owner(other, (Fd(3),)))), netns=(make_netns(7),)), ProcFs()
    )
    rings = ["sockets of io_uring at fd 5", "sockets of io_uring at fd 6"]
    assert found.list_other_holds(one.key, 1) == ["fd of thread 11", *rings]
    assert found.list_other_holds(one.key, 11) == rings
    assert found.list_other_holds(other.key, 2) == []
