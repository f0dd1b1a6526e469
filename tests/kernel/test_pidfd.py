"""Netns of foreign sockets, and threads with an fd table of their own: with live children."""

import os
import signal
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from nsagent.errors import Gone, ReadFailed
from nsagent.kernel.netns import read_netns_id, read_own_netns
from nsagent.kernel.pidfd import close_aside, open_netns_of_socket, shares_fd_table
from nsagent.model.ids import NetnsId
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.live.capabilities import Capability, require

HOLD_SOCKET = "made = socket.socket(); ready(f'{made.fileno()} {os.fstat(made.fileno()).st_ino}'); wait()"
TWO_THREADS = """
import ctypes
CLONE_FILES = 0x400
tids = []
def own_table():
    assert ctypes.CDLL(None).unshare(CLONE_FILES) == 0
    tids.append(threading.get_native_id())
    time.sleep(60)
def shared_table():
    tids.append(threading.get_native_id())
    time.sleep(60)
for run in (own_table, shared_table):
    threading.Thread(target=run, daemon=True).start()
    while len(tids) < (1 if run is own_table else 2): time.sleep(0.001)
ready(f"{tids[0]} {tids[1]}"); wait()
"""
DENIED = """
from nsagent.errors import AccessDenied
from nsagent.kernel.pidfd import open_netns_of_socket, shares_fd_table
try:
    open_netns_of_socket({pid}, {fd}, {inode})
except AccessDenied as err:
    ready(f"{{err}} {{shares_fd_table(os.getpid(), {pid})}}"); wait()
"""
WITHOUT_PTRACE = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", "--")
WITHOUT_NET_ADMIN = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--")


def netns_of(pid: int, fd: int, inode: int) -> NetnsId:
    """The netns of a socket, opened and let go."""
    netns = open_netns_of_socket(pid, fd, inode)
    try:
        return read_netns_id(netns)
    finally:
        os.close(netns)


def netns_of_process(pid: int) -> NetnsId:
    found = os.stat(f"/proc/{pid}/ns/net")
    return NetnsId(found.st_dev, found.st_ino)


@pytest.mark.usefixtures("same_fds")
def test_the_netns_of_a_socket_is_that_in_which_it_was_made() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child(HOLD_SOCKET, *IN_NEW_NETNS) as child:
        fd, inode = map(int, child.said.split())
        assert netns_of(child.pid, fd, inode) == netns_of_process(child.pid) != read_own_netns()


def test_a_socket_whose_process_moved_on_leads_to_a_netns_without_a_process() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    move = "made = socket.socket(); before = os.stat('/proc/self/ns/net').st_ino\n"
    move += "import ctypes; assert ctypes.CDLL(None).unshare(0x40000000) == 0\n"
    move += "ready(f'{made.fileno()} {os.fstat(made.fileno()).st_ino} {before}'); wait()"
    with start_child(move, *IN_NEW_NETNS) as child:
        fd, inode, before = map(int, child.said.split())
        assert netns_of(child.pid, fd, inode).inode == before
        assert netns_of_process(child.pid).inode != before


@pytest.mark.usefixtures("same_fds")
def test_another_socket_at_that_fd_is_gone() -> None:
    require(Capability.ROOT)
    with start_child(HOLD_SOCKET) as child:
        fd, inode = map(int, child.said.split())
        with pytest.raises(Gone, match=f"fd {fd} of pid {child.pid}: EBADF"):
            open_netns_of_socket(child.pid, fd, inode + 1)


@pytest.mark.usefixtures("same_fds")
def test_a_file_with_the_number_of_the_socket_is_gone() -> None:
    require(Capability.ROOT)
    with start_child("made = os.open('/dev/null', 0); ready(f'{made} {os.fstat(made).st_ino}'); wait()") as child:
        fd, inode = map(int, child.said.split())
        with pytest.raises(Gone):
            open_netns_of_socket(child.pid, fd, inode)


@pytest.mark.usefixtures("same_fds")
def test_the_file_of_a_unix_socket_opened_as_a_path_is_gone(tmp_path: Path) -> None:
    require(Capability.ROOT)
    path = f"{tmp_path}/s"
    program = f"made = os.open({path!r}, os.O_PATH); ready(f'{{made}} {{os.fstat(made).st_ino}}'); wait()"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        with start_child(program) as child:
            fd, inode = map(int, child.said.split())
            with pytest.raises(Gone):
                open_netns_of_socket(child.pid, fd, inode)


@pytest.mark.usefixtures("same_fds")
def test_a_closed_fd_is_gone() -> None:
    require(Capability.ROOT)
    with start_child("ready(); wait()") as child, pytest.raises(Gone):
        open_netns_of_socket(child.pid, 999, 1)


@pytest.mark.usefixtures("same_fds")
def test_a_process_that_ended_is_gone() -> None:
    with start_child("ready(); wait()") as child:
        pass
    with pytest.raises(Gone, match="ESRCH"):
        open_netns_of_socket(child.pid, 3, 1)
    with pytest.raises(Gone, match="ESRCH"):
        shares_fd_table(child.pid, os.getpid())


def test_a_zombie_holds_nothing() -> None:
    with start_child("ready(); wait()") as child:
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(Gone):
            open_netns_of_socket(child.pid, 3, 1)
        child.kill()


@pytest.mark.usefixtures("same_fds")
def test_what_the_kernel_refuses_for_another_reason_is_a_failed_read() -> None:
    with pytest.raises(ReadFailed, match="EINVAL"):
        open_netns_of_socket(0, 3, 1)


def test_without_the_right_over_the_process_it_is_denied_and_tables_cannot_be_compared() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child(HOLD_SOCKET) as child:
        fd, inode = map(int, child.said.split())
        with start_child(DENIED.format(pid=child.pid, fd=fd, inode=inode), *WITHOUT_PTRACE) as reader:
            assert reader.said == f"fd {fd} of pid {child.pid}: EACCES None"


def test_without_the_right_over_the_netns_it_is_denied() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child(HOLD_SOCKET, *WITHOUT_NET_ADMIN) as child:
        fd, inode = map(int, child.said.split())
        with start_child(DENIED.format(pid=child.pid, fd=fd, inode=inode), *WITHOUT_NET_ADMIN) as reader:
            assert reader.said == f"fd {fd} of pid {child.pid}: EPERM False"


def test_a_thread_with_an_fd_table_of_its_own_is_told_from_one_that_shares() -> None:
    require(Capability.ROOT)
    with start_child(TWO_THREADS) as child:
        tids = map(int, child.said.split())
        assert [shares_fd_table(child.pid, tid) for tid in tids] == [False, True]


def test_a_process_shares_its_own_table() -> None:
    assert shares_fd_table(os.getpid(), os.getpid()) is True


@pytest.mark.usefixtures("same_fds")
def test_a_socket_that_lingers_holds_nobody_up() -> None:
    """Its process closed it, and wants close(2) to wait until the other end has taken all that was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
        sender.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sender.send(bytes(1 << 16))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
        before = set(threading.enumerate())
        close_aside(sender.detach())
        (closing,) = set(threading.enumerate()) - before
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        receiver.close()
    closing.join(60)
    assert not closing.is_alive()
