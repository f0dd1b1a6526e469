"""Entering netns: in a thread that ends, with nothing left behind."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from nsagent.errors import ReadFailed
from nsagent.kernel.netns import Entering, read_netns_id, read_own_netns
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.ids import NetnsId
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.kernel.inside import in_thread, make_inside
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until

HOLD = "ready(); wait()"


@pytest.fixture
def two_netns() -> Iterator[list[int]]:
    """Two new netns, open, kept by a child each."""
    require(Capability.ROOT, Capability.SETPRIV)
    with ExitStack() as children:
        pids = [children.enter_context(start_child(HOLD, *IN_NEW_NETNS)).pid for _ in range(2)]
        fds = [os.open(f"/proc/{pid}/ns/net", os.O_RDONLY) for pid in pids]
        yield fds
        for fd in fds:
            os.close(fd)


@pytest.fixture
def own_netns() -> Iterator[int]:
    """The own netns, open."""
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    yield fd
    os.close(fd)


def here() -> NetnsId:
    """The netns of the calling thread."""
    found = os.stat("/proc/thread-self/ns/net")
    return NetnsId(found.st_dev, found.st_ino)


def visit(fds: Sequence[int]) -> list[NetnsId]:
    """Where a thread is after it entered each of these netns."""

    def enter_all() -> list[NetnsId]:
        entering, seen = Entering("/proc"), []
        for fd in fds:
            entering.enter(fd)
            seen.append(here())
        return seen

    return in_thread(enter_all)


def read_sockstat(fd: int, proc_root: str = "/proc") -> str | None:
    """What entering a netns tells of it."""
    return in_thread(lambda: Entering(proc_root).enter(fd))


def read_net(name: str) -> bytes | None:
    """A file of the netns that the calling thread is in."""
    entering = Entering("/proc")
    with open("/proc/thread-self/ns/net") as here_file:
        entering.enter(here_file.fileno())
    return entering.read_net(name)


def test_the_own_netns_is_that_of_the_main_thread() -> None:
    assert read_own_netns() == here()


def test_a_thread_goes_from_netns_to_netns_and_may_come_back(two_netns: list[int], own_netns: int) -> None:
    fds = [two_netns[1], own_netns, two_netns[0], two_netns[1], two_netns[1]]
    assert visit(fds) == [read_netns_id(fd) for fd in fds]


def test_new_netns_are_told_apart(two_netns: list[int]) -> None:
    assert len({read_netns_id(fd) for fd in two_netns} | {here()}) == 3


def test_the_calling_thread_stays_where_it_was(two_netns: list[int]) -> None:
    before = here()
    visit(two_netns)
    assert here() == before


def test_a_thread_started_afterwards_is_in_the_own_netns(two_netns: list[int]) -> None:
    visit(two_netns)
    assert in_thread(here) == read_own_netns()


@pytest.mark.usefixtures("two_netns", "same_fds")
def test_no_fd_and_no_thread_is_left(two_netns: list[int]) -> None:
    threads = len(os.listdir("/proc/self/task"))
    visit(two_netns)
    # A thread that was joined may take a moment to leave the kernel's list.
    until(lambda: len(os.listdir("/proc/self/task")) <= threads, "the thread has ended")


def test_the_main_thread_enters_no_netns() -> None:
    with pytest.raises(RuntimeError, match="main thread"):
        Entering("/proc")


def test_a_socket_made_inside_stays_inside() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child(HOLD, *IN_NEW_NETNS) as child, make_inside(child.pid, SockDiag) as there, SockDiag() as own:
        assert there.read_netns_cookie() != own.read_netns_cookie()


def test_sockstat_is_that_of_the_netns_and_of_both_families() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.IPV6)
    program = "made = [socket.socket(socket.AF_INET6) for _ in range(3)]\n"
    program += "for one in made: one.bind(('::', 0)); one.listen()\nready(); wait()"
    with start_child(program, *IN_NEW_NETNS) as child:
        fd = os.open(f"/proc/{child.pid}/ns/net", os.O_RDONLY)
        try:
            sockstat = read_sockstat(fd)
        finally:
            os.close(fd)
    assert sockstat is not None
    assert "TCP: inuse 0 " in sockstat
    assert "TCP6: inuse 3\n" in sockstat


def test_the_files_of_a_netns_are_read_from_inside() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    program = "one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0); ready(os.fstat(one.fileno()).st_ino); wait()"
    with start_child(program, *IN_NEW_NETNS) as child:
        table = make_inside(child.pid, lambda: read_net("packet"))
        own = Path("/proc/self/net/packet").read_text()
    assert table is not None
    assert child.said in table.decode().split()
    assert child.said not in own.split()


def test_a_file_that_the_kernel_lacks_is_none() -> None:
    assert in_thread(lambda: read_net("no_such_table")) is None


def test_a_file_that_cannot_be_read_is_a_failure() -> None:
    with pytest.raises(ReadFailed, match="net/stat: EISDIR"):
        in_thread(lambda: read_net("stat"))


def test_without_a_procfs_there_is_no_sockstat(own_netns: int) -> None:
    assert read_sockstat(own_netns, "/nowhere") is None


def test_what_is_no_netns_is_not_entered_and_the_thread_stays(two_netns: list[int]) -> None:
    def enter_both(other: int) -> NetnsId:
        entering = Entering("/proc")
        entering.enter(two_netns[0])
        with pytest.raises(ReadFailed, match="setns: EINVAL"):
            entering.enter(other)
        return here()

    with socket.socket() as other:
        assert in_thread(lambda: enter_both(other.fileno())) == read_netns_id(two_netns[0])


def test_without_the_right_to_enter_every_netns_but_the_own_is_denied() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    program = """
from nsagent.errors import AccessDenied
from nsagent.kernel.netns import Entering
own = os.open("/proc/self/ns/net", os.O_RDONLY)
other = os.open(f"/proc/{os.getppid()}/ns/net", os.O_RDONLY)
said = []
def enter_both():
    entering = Entering("/proc")
    for fd in (other, own):
        try:
            entering.enter(fd)
            said.append("entered")
        except AccessDenied as err:
            said.append(err.errno or "")
thread = threading.Thread(target=enter_both); thread.start(); thread.join()
ready(" ".join(said)); wait()
"""
    without = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--")
    with start_child(program, *IN_NEW_NETNS, *without) as child:
        assert child.said == "EPERM entered"
