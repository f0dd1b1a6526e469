"""Messages that the kernel tells to a group: in order, from it alone, and losses show."""

import socket
from errno import EAGAIN, EBADF, ENOBUFS

import pytest

from nsagent.errors import EventsUnavailable, ReadFailed, Reason
from nsagent.kernel.multicast import FromNetns, Message, Messages, Multicast, MulticastQueue
from nsagent.kernel.netlink import Received
from nsagent.kernel.proc_events import EventsLost

NOTHING_WAITS = OSError(EAGAIN, "nothing waits")
OVERRUN = OSError(ENOBUFS, "overrun")


def queue_of(*told: bytes | OSError | tuple[bytes, FromNetns], drops: tuple[int, ...] = ()) -> MulticastQueue:
    """A queue of what recvmsg(2) gives or raises, of this netns unless something else is given with it.

    `drops` are what is counted, one time after the other.
    """
    waiting, counted = iter(told), iter(drops)

    def receive(buffer: bytearray) -> FromNetns:
        found = next(waiting, NOTHING_WAITS)
        if isinstance(found, OSError):
            raise found
        data, received = found if isinstance(found, tuple) else (found, FromNetns(Received(len(found), 0, 0), None))
        buffer[: len(data)] = data
        return received

    return MulticastQueue(receive, lambda: next(counted), "a group")


def of_netns(data: bytes, nsid: int) -> tuple[bytes, FromNetns]:
    return data, FromNetns(Received(len(data), 0, 0), nsid)


def test_what_waits_is_told_in_order_with_the_id_of_its_netns_and_then_that_it_was_all() -> None:
    queue = queue_of(b"one", of_netns(b"two", 7), NOTHING_WAITS, b"three")
    assert [queue.read() for _ in range(3)] == [
        Messages((Message(None, b"one"), Message(7, b"two")), None, True),
        Messages((Message(None, b"three"),), None, True),
        Messages((), None, True),
    ]


def test_a_storm_is_taken_in_batches() -> None:
    queue = queue_of(*([b"one"] * 5000))
    read = [queue.read(), queue.read()]
    assert [(len(batch.messages), batch.drained) for batch in read] == [(4096, False), (904, True)]


def test_an_overrun_is_one_loss_with_as_many_as_the_kernel_has_dropped_until_all_is_read() -> None:
    storm = [b"one"] * 4096
    queue = queue_of(OVERRUN, *storm, NOTHING_WAITS, b"one", NOTHING_WAITS, OVERRUN, drops=(10, 12, 12, 12))
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
    queue = queue_of((b"forged", FromNetns(Received(6, 0, 664), None)), b"one")
    assert queue.read() == Messages((Message(None, b"one"),), None, True)


def test_what_is_cut_is_a_loss_of_one_and_the_next_is_read() -> None:
    queue = queue_of((b"cut", FromNetns(Received(3, socket.MSG_TRUNC, 0), None)), b"one")
    assert queue.read() == Messages((Message(None, b"one"),), EventsLost(1, True), True)


def test_any_other_error_is_told() -> None:
    with pytest.raises(ReadFailed, match="a group: EBADF"):
        queue_of(OSError(EBADF, "closed")).read()


def test_a_group_that_is_not_there_is_told(same_fds: None) -> None:
    with pytest.raises(EventsUnavailable, match="a group: E") as caught:
        Multicast(socket.NETLINK_ROUTE, (1 << 20,), "a group", 1 << 16, all_netns=False)
    assert caught.value.reason is Reason.FAILED


def test_a_protocol_that_this_kernel_lacks_is_told(same_fds: None) -> None:
    with pytest.raises(EventsUnavailable, match="a group: EPROTONOSUPPORT"):
        Multicast(31, (1,), "a group", 1 << 16, all_netns=False)
