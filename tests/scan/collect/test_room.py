"""How many netns can be held open at a time."""

import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from nsagent.kernel.formats.raw_table import index_rows
from nsagent.model.facts import Facts
from nsagent.scan.collect.carried import Carried
from nsagent.scan.collect.room import Room
from tests.kernel.children import IN_NEW_NETNS, Child, start_child
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import run_pass
from tests.scan.collect.test_resting_tables import Bed, bed, come_to_rest

__all__ = ["bed"]

ATTEMPTS, FILLERS = 5, 8
LISTEN = """
def tell(listener):
    ready(f"{os.stat('/proc/self/ns/net').st_ino} {os.fstat(listener.fileno()).st_ino}")
tell(socket.create_server(("", 0)))
"""
"""Says the inodes of its netns and of a listener in it."""
MOVE = (
    LISTEN
    + """
wanted, libc = int(sys.stdin.readline()), __import__("ctypes").CDLL(None)
for _ in range(500):
    libc.unshare(0x40000000)
    if os.stat('/proc/self/ns/net').st_ino == wanted:
        break
moved = socket.create_server(("", 0))
tell(moved)
wait()
"""
)
"""Then moves to a new netns with the inode that it is told."""


class Succession:
    """Ends the first netns once the pass has let go of it, and has another one follow at its inode."""

    def __init__(self, first: Child, second: Child) -> None:
        self._first, self._second = first, second
        self.inode = int(first.said.split()[0])
        self.said = ""
        self._met = False

    def see(self, fd: int) -> None:
        """A netns was met."""
        self._met |= os.fstat(fd).st_ino == self.inode
        if self._met and not self.said and not self._is_held():
            self._first.end()
            self.said = self._second.say(str(self.inode))

    def _is_held(self) -> bool:
        fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        return f"net:[{self.inode}]" in [os.readlink(path) for path in fds if os.path.lexists(path)]


@contextmanager
def free_fds(count: int) -> Iterator[None]:
    """So many are left for netns, beside the reserve."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 64 + count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(("netns", "ample"), [(1, True), (5, True), (6, False)])
def test_room_is_ample_where_twice_as_many_can_be_held_with_a_socket_in_each(netns: int, ample: bool) -> None:
    with free_fds(22):
        assert Room(threading.Event()).is_ample_for(netns) is ample


def test_where_few_netns_can_be_held_those_at_rest_are_read_as_they_are_met(bed: Bed) -> None:
    come_to_rest(bed)
    with free_fds(8):
        assert bed.make_pass() == bed.look()


def test_a_netns_that_follows_one_that_was_let_go_at_its_inode_is_read() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    for _ in range(ATTEMPTS):  # Any namespace of the machine may get the inode that is free.
        with ExitStack() as children:
            first = children.enter_context(start_child(f"{LISTEN}wait()", *IN_NEW_NETNS))
            for _ in range(FILLERS):
                children.enter_context(start_child("ready(); wait()", *IN_NEW_NETNS))
            second = children.enter_context(start_child(MOVE, *IN_NEW_NETNS))
            succession = Succession(first, second)
            facts = run_with_few_fds(succession)
        inode, listener = map(int, succession.said.split())
        if inode == succession.inode:
            break
    (found,) = [one for one in facts.netns if one.id and one.id.inode == succession.inode]
    assert {each for table in found.tables for each in index_rows(table, sys.byteorder).inodes} == {listener}
    assert [one.pid for one in facts.processes if listener in dict(one.socket_fds or ()).values()] == [second.pid]


def run_with_few_fds(succession: Succession) -> Facts:
    """A pass that lets go of most netns that it has read."""
    carried = Carried()
    carried.netns_met = succession.see
    with free_fds(8):
        return run_pass(carried=carried)
