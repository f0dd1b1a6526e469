"""Ids of netns: given, told of, and free when the netns is gone."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from errno import EAGAIN, EBADF, ENOBUFS

import pytest

from nsagent.errors import AccessDenied, ReadFailed
from nsagent.kernel.capabilities import Capability as Right
from nsagent.kernel.capabilities import give_back_capabilities
from nsagent.kernel.netlink import Received, make_buffer
from nsagent.kernel.netns_ids import IdNoticeGroup, IdNoticeQueue, IdNotices, NetnsIds
from tests.kernel.apart import run_apart
from tests.kernel.children import IN_NEW_NETNS, Child, start_child
from tests.kernel.formats.test_route_link import GIVEN, TAKEN, make_notice
from tests.kernel.inside import make_inside
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until


def queue_of(
    *told: bytes | OSError, received: Callable[[int], Received] = lambda size: Received(size, 0, 0)
) -> IdNoticeQueue:
    """A queue of what recvmsg(2) gives or raises."""
    waiting = iter(told)

    def receive(buffer: bytearray) -> Received:
        found = next(waiting, OSError(EAGAIN, "nothing waits"))
        if isinstance(found, OSError):
            raise found
        buffer[: len(found)] = found
        return received(len(found))

    return IdNoticeQueue(receive)


def test_notices_are_told_in_their_order_and_others_passed_over() -> None:
    assert queue_of(TAKEN, make_notice(16), GIVEN).read() == IdNotices(((7, False), (7, True)), False)


def test_a_notice_that_was_lost_or_damaged_is_a_loss_and_the_next_one_is_read() -> None:
    for lost in (OSError(ENOBUFS, "overrun"), b"short"):
        assert queue_of(lost, GIVEN).read() == IdNotices(((7, True),), True)
    assert queue_of(GIVEN, received=lambda size: Received(size, socket.MSG_TRUNC, 0)).read() == IdNotices((), True)


def test_only_the_kernel_is_believed() -> None:
    assert queue_of(GIVEN, received=lambda size: Received(size, 0, 664)).read() == IdNotices((), False)


def test_more_than_are_read_at_once_count_as_lost() -> None:
    assert queue_of(*[GIVEN] * 5000).read() == IdNotices(((7, True),) * 4096, True)


def test_any_other_error_is_told() -> None:
    with pytest.raises(ReadFailed, match="EBADF"):
        queue_of(OSError(EBADF, "closed")).read()


@contextmanager
def open_netns(child: Child) -> Iterator[int]:
    fd = os.open(f"/proc/{child.pid}/ns/net", os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def test_an_id_is_given_once_and_free_when_nobody_is_in_the_netns(same_fds: None) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child("ready(); wait()", *IN_NEW_NETNS) as here, start_child("ready(); wait()", *IN_NEW_NETNS) as there:
        notices = make_inside(here.pid, IdNoticeGroup)
        with make_inside(here.pid, NetnsIds) as ids, closing(notices):
            with open_netns(there) as fd:
                asked = [ids.read_nsid(fd, make_buffer()), *(ids.give_nsid(fd, make_buffer()) for _ in range(2))]
                assert asked == [None, 0, 0]
                assert ids.read_nsid(fd, make_buffer()) == 0
            assert notices.read() == IdNotices(((0, True),), False)
            there.end()
            assert until(lambda: notices.read().ids, "the netns is gone") == ((0, False),)


def test_who_may_not_give_an_id_is_told_so_and_may_read_one(same_fds: None) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with (
        start_child("ready(); wait()", *IN_NEW_NETNS) as here,
        start_child("ready(); wait()", *IN_NEW_NETNS) as there,
        make_inside(here.pid, NetnsIds) as ids,
        open_netns(there) as fd,
    ):

        def give() -> None:
            give_back_capabilities((Right.SYS_PTRACE, Right.SYS_ADMIN, Right.DAC_READ_SEARCH))
            with pytest.raises(AccessDenied, match="EPERM"):
                ids.give_nsid(fd, make_buffer())

        run_apart(give)
        assert ids.give_nsid(fd, make_buffer()) == 0
