"""The process connector: the kernel tells of each thread that begins, ends, runs another program or gets other ids.

Subscribed to in the netns of the host alone, from the first PID and user namespace. What was lost on the way shows:
by ENOBUFS, and by numbers that are missing. What the messages say is kernel.formats.cn_proc's.

Source: drivers/connector/cn_proc.c, drivers/connector/connector.c; netlink(7), net/netlink/af_netlink.c
netlink_overrun(); socket(7) SO_RCVBUFFORCE; include/linux/proc_ns.h.
"""

import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, ECONNREFUSED, ENOBUFS, EPERM, EPROTONOSUPPORT, errorcode
from functools import partial
from typing import Final, NamedTuple

from nsagent.errors import EventsUnavailable, FormatError, NotRead, Reason
from nsagent.kernel.files import translate_failure
from nsagent.kernel.formats.cn_proc import (
    CN_IDX_PROC,
    PROC_CN_MCAST_IGNORE,
    PROC_CN_MCAST_LISTEN,
    Ack,
    Event,
    decode_message,
    encode_operation,
)
from nsagent.kernel.host_netns import make_in_host_netns
from nsagent.kernel.netlink import Received, open_listener, receive_from
from nsagent.kernel.procfs import ProcFs

RECEIVE_BYTES: Final = 32 << 20
"""Room for 40,000 events and more; the default of 208 KiB holds 256."""

_NETLINK_CONNECTOR: Final = 11
_ACK_SECONDS: Final = 1.0
_MOST_EVENTS: Final = 4096
_DATAGRAM_BYTES: Final = 8192
_NAMESPACES: Final = (
    ("pid", 0xEFFFFFFC, Reason.PID_NAMESPACE, "the kernel ignores who is in a PID namespace of its own"),
    ("user", 0xEFFFFFFD, Reason.DENIED, "the kernel ignores who is in a user namespace of its own"),
    ("time", 0xEFFFFFFA, Reason.MISMATCH, "events are told by another clock than this time namespace has"),
)
"""Kind, inode of the first one (include/linux/proc_ns.h), and why nothing is to be had in another.

The kernel says nothing itself: cn_proc_mcast_ctl() returns without an answer.
"""


class Timed(NamedTuple):
    """An event of a thread, and when it happened, by CLOCK_MONOTONIC."""

    timestamp_ns: int
    event: Event


class EventsLost(NamedTuple):
    """Events that did not arrive. Whoever keeps a state looks at /proc anew."""

    number: int
    """How many, as far as that is known: after ENOBUFS it shows with the next event of each CPU."""
    afresh: bool
    """Whether no earlier EventsLost has told of this loss, of which this one is but the number."""


class Batch(NamedTuple):
    """What has come since the last one."""

    events: tuple[Timed, ...]
    """Those of threads too, whose `pid` is not their `tgid`: they tell when the last thread of a process ends."""
    lost: EventsLost | None
    drained: bool
    """Whether nothing is left; else more waits already."""


class EventQueue:
    """Takes events from any `receive`, which fills a buffer with the next datagram or raises what recvmsg(2) does.

    EAGAIN is that nothing waits. ProcConnector brings that of a socket; a function can stand for the kernel instead.
    """

    def __init__(self, receive: Callable[[bytearray], Received]) -> None:
        self._receive = receive
        self._buffer = bytearray(_DATAGRAM_BYTES)
        self._next: dict[int, int] = {}
        """The number that the next event of each CPU has."""
        self._behind: set[int] = set()
        """CPUs that may show a gap which an overrun has told of."""
        self._overrun = False
        """Whether the queue has not been empty since an overrun: until then the kernel lets more go by."""

    def read(self) -> Batch:
        """What waits, of that at most 4096 datagrams; never waits itself. Raises NotRead. Takes 8 us an event."""
        events: list[Timed] = []
        missing, afresh, drained = 0, False, False
        for _ in range(_MOST_EVENTS):
            try:
                length, _, sender = self._receive(self._buffer)
                if sender:
                    continue  # Whoever has CAP_NET_ADMIN may send to the group, too.
                message = decode_message(memoryview(self._buffer)[:length])
            except FormatError:
                afresh = True
                continue
            except OSError as err:
                if err.errno == EAGAIN:
                    drained, self._overrun = True, False
                    break
                if err.errno != ENOBUFS:
                    raise translate_failure(err, "process events") from err
                afresh, self._overrun, self._behind = True, True, set(self._next)
                continue
            if message is None:
                continue
            gap = self._count_gap(message.cpu, message.sequence)
            missing += gap
            afresh |= bool(gap) and message.cpu not in self._behind
            if gap or not self._overrun:
                self._behind.discard(message.cpu)
            if message.event is not None:
                events.append(Timed(message.timestamp_ns, message.event))
        return Batch(tuple(events), EventsLost(missing, afresh) if missing or afresh else None, drained)

    def _count_gap(self, cpu: int, sequence: int) -> int:
        expected = self._next.get(cpu, sequence)
        self._next[cpu] = sequence + 1 & 0xFFFFFFFF
        return sequence - expected & 0xFFFFFFFF


class ProcConnector(EventQueue):
    """A subscription in the netns that the calling thread is in; raises EventsUnavailable. See open_connector().

    `clock` is monotonic, in seconds. `receive_bytes` may wait at once; without CAP_NET_ADMIN no more than
    net.core.rmem_max does.
    """

    def __init__(self, clock: Callable[[], float], receive_bytes: int = RECEIVE_BYTES) -> None:
        self._socket = _open_socket(receive_bytes)
        self._owner = os.getpid()
        super().__init__(partial(receive_from, self._socket))
        try:
            self._subscribe(clock)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The fd that can be read from when events wait."""
        return self._socket.fileno()

    def close(self) -> None:
        """Tell the kernel that nobody listens, which before Linux 6.6 would make events for nobody, and close.

        A child that has the socket by fork(2) only closes it.
        """
        if os.getpid() == self._owner:
            with suppress(OSError):
                self._socket.send(encode_operation(PROC_CN_MCAST_IGNORE, 0))
        with suppress(OSError):
            self._socket.close()

    def _subscribe(self, clock: Callable[[], float]) -> None:
        """Ask for events, and wait for the answer, among those of others that every listener gets."""
        number = int.from_bytes(os.urandom(4), "little")
        try:
            self._socket.send(encode_operation(PROC_CN_MCAST_LISTEN, number))
        except OSError as err:
            raise _translate(err) from err
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        until = clock() + _ACK_SECONDS
        while (left := until - clock()) > 0:
            poll.poll(left * 1000)
            try:
                events = self.read().events
            except NotRead as err:
                raise EventsUnavailable(str(err), err.reason, err.errno) from err
            for ack in (each.event for each in events if isinstance(each.event, Ack)):
                if ack.number == number and ack.errno:
                    raise _translate(OSError(ack.errno, os.strerror(ack.errno)))
                if ack.number == number:
                    return
        raise EventsUnavailable("no answer: this kernel tells no process events (CONFIG_PROC_EVENTS)", Reason.NO_ANSWER)


def open_connector(procfs: ProcFs, clock: Callable[[], float], *, receive_bytes: int = RECEIVE_BYTES) -> ProcConnector:
    """A subscription in the netns of the host, into which a thread goes if this program is in another one.

    The pids of its events are those of `procfs`. Going there needs CAP_SYS_PTRACE and CAP_SYS_ADMIN; subscribing
    needs CAP_NET_ADMIN before Linux 6.6. Raises EventsUnavailable.
    """
    if not procfs.shows_own_pids():
        raise EventsUnavailable(f"{procfs.root} has the pids of another PID namespace", Reason.PID_NAMESPACE)
    for kind, first, reason, why in _NAMESPACES:
        if not _is_in_first(kind, first):
            raise EventsUnavailable(why, reason)
    try:
        return ProcConnector(clock, receive_bytes)
    except EventsUnavailable as err:
        if err.reason is not Reason.UNREACHABLE:
            raise
    return make_in_host_netns(procfs, lambda: ProcConnector(clock, receive_bytes))


def _open_socket(receive_bytes: int) -> socket.socket:
    """A socket in the group of process events, which nobody sends to before it subscribes."""
    try:
        netlink = open_listener(_NETLINK_CONNECTOR, receive_bytes)
    except OSError as err:
        raise _translate(err) from err
    try:
        netlink.bind((0, 1 << CN_IDX_PROC - 1))
    except OSError as err:
        netlink.close()
        raise _translate(err) from err
    return netlink


def _translate(err: OSError) -> EventsUnavailable:
    name = errorcode.get(err.errno or 0, str(err))
    if err.errno == EPROTONOSUPPORT:
        return EventsUnavailable("this kernel has no connector (CONFIG_CONNECTOR)", Reason.ABSENT, name)
    if err.errno == ECONNREFUSED:
        return EventsUnavailable("the kernel listens in the host's netns alone", Reason.UNREACHABLE, name)
    if err.errno == EPERM:
        return EventsUnavailable("process events need CAP_NET_ADMIN before Linux 6.6", Reason.DENIED, name)
    return EventsUnavailable(f"process events: {name}", Reason.FAILED, name)


def _is_in_first(kind: str, inode: int) -> bool:
    """Whether this program is in the first namespace of a kind; True where this kernel has no others."""
    try:
        return os.stat(f"/proc/self/ns/{kind}").st_ino == inode
    except OSError:
        return True
