"""Sockets that die: what the kernel tells of them and of whose netns, what it does not tell, and that losses show."""

import socket
from errno import EAGAIN, EBADF, ENOBUFS

import pytest

from nsagent.errors import ReadFailed
from nsagent.kernel.destroy_events import (
    DestroyQueue,
    Ended,
    EndedBatch,
    FromNetns,
)
from nsagent.kernel.netlink import Received
from nsagent.kernel.proc_events import EventsLost
from tests.kernel.formats.test_socket_destroy import RECORDED, TOLD

NOTHING_WAITS = OSError(EAGAIN, "nothing waits")
OVERRUN = OSError(ENOBUFS, "overrun")
FIRST, SECOND = Ended(None, TOLD[0]), Ended(7, TOLD[1])


def queue_of(
    *told: bytes | OSError | FromNetns | tuple[bytes, int | None], drops: tuple[int, ...] = ()
) -> DestroyQueue:
    """A queue of what recvmsg(2) gives or raises, with the netns that it is of; `drops` are what is counted."""
    waiting, counted = iter(told), iter(drops)

    def receive(buffer: bytearray) -> FromNetns:
        found = next(waiting, NOTHING_WAITS)
        if isinstance(found, OSError):
            raise found
        if isinstance(found, FromNetns):
            buffer[: found.received.length] = RECORDED[0]
            return found
        data, nsid = found if isinstance(found, tuple) else (found, None)
        buffer[: len(data)] = data
        return FromNetns(Received(len(data), 0, 0), nsid)

    return DestroyQueue(receive, lambda: next(counted))


def test_what_waits_is_told_in_order_with_the_id_of_its_netns_and_then_that_it_was_all() -> None:
    queue = queue_of(RECORDED[0], (RECORDED[1], 7), NOTHING_WAITS, RECORDED[0])
    assert [queue.read() for _ in range(3)] == [
        EndedBatch((FIRST, SECOND), None, True),
        EndedBatch((FIRST,), None, True),
        EndedBatch((), None, True),
    ]


def test_a_storm_is_taken_in_batches() -> None:
    queue = queue_of(*([RECORDED[0]] * 5000))
    assert [(len(batch.ended), batch.drained) for batch in (queue.read(), queue.read())] == [(4096, False), (904, True)]


def test_an_overrun_is_one_loss_with_as_many_as_the_kernel_has_dropped_until_all_is_read() -> None:
    storm = [RECORDED[0]] * 4096
    queue = queue_of(OVERRUN, *storm, NOTHING_WAITS, RECORDED[0], NOTHING_WAITS, OVERRUN, drops=(10, 12, 12, 12))
    assert [queue.read().lost for _ in range(4)] == [
        EventsLost(10, True),
        EventsLost(2, False),
        None,
        EventsLost(0, True),
    ]


def test_the_count_of_what_was_dropped_begins_anew_behind_the_largest() -> None:
    queue = queue_of(OVERRUN, NOTHING_WAITS, OVERRUN, drops=(0xFFFFFFFF, 4))
    assert [queue.read().lost for _ in range(2)] == [EventsLost(0xFFFFFFFF, True), EventsLost(5, True)]


def test_only_the_kernel_is_believed() -> None:
    length = len(RECORDED[0])
    queue = queue_of(FromNetns(Received(length, 0, 664), None), FromNetns(Received(length, 0, 0), None))
    assert queue.read() == EndedBatch((FIRST,), None, True)


def test_what_is_cut_or_damaged_is_a_loss_of_one_and_the_next_is_read() -> None:
    cut = FromNetns(Received(len(RECORDED[0]), socket.MSG_TRUNC, 0), None)
    assert queue_of(cut, b"short", RECORDED[0]).read() == EndedBatch((FIRST,), EventsLost(2, True), True)


def test_any_other_error_is_told() -> None:
    with pytest.raises(ReadFailed, match="EBADF"):
        queue_of(OSError(EBADF, "closed")).read()
