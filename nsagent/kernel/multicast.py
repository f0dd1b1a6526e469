"""Multicast groups of netlink: what the kernel tells to all who listen, in the netns of the listener and in others.

What the messages say is kernel.formats'. Who has CAP_NET_ADMIN may send to a group, too: only the kernel's word counts.

Source: netlink(7), net/netlink/af_netlink.c do_one_broadcast(), netlink_overrun(), netlink_cmsg_listen_all_nsid();
socket(7) SO_MEMINFO, SO_RCVBUFFORCE.
"""

import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import EACCES, EAGAIN, ENOBUFS, EPERM, errorcode
from functools import partial
from typing import Final, NamedTuple

from nsagent.errors import EventsUnavailable, Reason
from nsagent.kernel.files import translate_failure
from nsagent.kernel.netlink import Received, open_listener
from nsagent.kernel.proc_events import EventsLost

_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_NETLINK_LISTEN_ALL_NSID: Final = 8
_SO_MEMINFO: Final = 55
_MEMORY: Final = struct.Struct("=9I")
"""Of it the last one is how many messages were dropped (SK_MEMINFO_DROPS)."""
_DATAGRAM_BYTES: Final = 8192
_MOST_MESSAGES: Final = 4096
_NSID: Final = struct.Struct("=i")


class FromNetns(NamedTuple):
    """What one recvmsg(2) gave, and the id of the netns that it is about, None for that of the listener."""

    received: Received
    nsid: int | None


class Message(NamedTuple):
    """One datagram, and the id of the netns that it is about, None for that of the listener."""

    nsid: int | None
    data: bytes


class Messages(NamedTuple):
    """What has come since the last ones."""

    messages: tuple[Message, ...]
    lost: EventsLost | None
    drained: bool
    """Whether nothing is left; else more waits already."""


class MulticastQueue:
    """Takes messages from any `receive`, which fills a buffer with the next datagram or raises what recvmsg(2) does.

    `count_drops` is how many did not arrive since the beginning, modulo 2^32. Multicast brings both of a socket;
    functions can stand for the kernel instead. `subject` is what errors call it.
    """

    def __init__(self, receive: Callable[[bytearray], FromNetns], count_drops: Callable[[], int], subject: str) -> None:
        self._receive = receive
        self._count_drops = count_drops
        self._subject = subject
        self._drops = 0
        self._overrun = False
        """Whether the queue has not been empty since an overrun: until then the kernel lets more go by."""
        self._buffer = bytearray(_DATAGRAM_BYTES)

    def read(self) -> Messages:
        """What waits, of that at most 4096 datagrams; never waits itself. Raises NotRead."""
        messages: list[Message] = []
        cut, afresh, drained = 0, False, False
        for _ in range(_MOST_MESSAGES):
            try:
                (length, flags, sender), nsid = self._receive(self._buffer)
            except OSError as err:
                if err.errno == EAGAIN:
                    drained = True
                    break
                if err.errno != ENOBUFS:
                    raise translate_failure(err, self._subject) from err
                afresh = self._overrun = True
                continue
            if sender:
                continue
            if flags & socket.MSG_TRUNC:
                cut += 1
            else:
                messages.append(Message(nsid, bytes(self._buffer[:length])))
        number = cut + self._count_new_drops(drained=drained)
        lost = EventsLost(number, afresh or cut > 0) if number or afresh else None
        return Messages(tuple(messages), lost, drained)

    def _count_new_drops(self, *, drained: bool) -> int:
        """How many were dropped of which none was told yet."""
        if not self._overrun:
            return 0
        drops, self._overrun = self._count_drops(), not drained
        new, self._drops = drops - self._drops & 0xFFFFFFFF, drops
        return new


class Multicast(MulticastQueue):
    """Groups of a netlink protocol in the netns that the calling thread is in now. Raises EventsUnavailable.

    `receive_bytes` may wait at once; without CAP_NET_ADMIN no more than net.core.rmem_max does. With `all_netns` those
    that have an id in this netns are heard, too.
    """

    def __init__(
        self, protocol: int, groups: Iterable[int], subject: str, receive_bytes: int, *, all_netns: bool
    ) -> None:
        self.limit: EventsUnavailable | None = None
        """Why no other netns is heard, though it was asked for."""
        try:
            self._socket = open_listener(protocol, receive_bytes)
        except OSError as err:
            raise _translate(err, subject) from err
        super().__init__(partial(_receive_from, self._socket), partial(_count_drops, self._socket), subject)
        try:
            if all_netns:
                self._listen_everywhere()
            # Without an address of its own a socket can join a group, and hears nothing.
            self._socket.bind((0, 0))
            for group in groups:
                self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
        except OSError as err:
            self.close()
            raise _translate(err, subject) from err

    def fileno(self) -> int:
        """The fd that can be read from when messages wait."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more."""
        with suppress(OSError):
            self._socket.close()

    def _listen_everywhere(self) -> None:
        try:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_LISTEN_ALL_NSID, 1)
        except OSError as err:
            self.limit = _translate(err, "other netns, which need CAP_NET_BROADCAST")


def join_losses(one: EventsLost | None, damaged: int) -> EventsLost | None:
    """The same with messages that could not be read."""
    if not damaged:
        return one
    return EventsLost(damaged + (one.number if one else 0), afresh=True)


def _receive_from(netlink: socket.socket, buffer: bytearray) -> FromNetns:
    length, ancillary, flags, sender = netlink.recvmsg_into([buffer], socket.CMSG_SPACE(_NSID.size))
    nsid = None
    for level, kind, data in ancillary:
        if (level, kind) == (_SOL_NETLINK, _NETLINK_LISTEN_ALL_NSID) and len(data) == _NSID.size:
            nsid = _NSID.unpack(data)[0]
    return FromNetns(Received(length, flags, sender[0]), nsid)


def _count_drops(netlink: socket.socket) -> int:
    """How many messages found no room since the beginning, modulo 2^32; 0 before Linux 4.12, which does not tell."""
    try:
        return int(_MEMORY.unpack(netlink.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMORY.size))[-1])
    except (OSError, struct.error):
        return 0


def _translate(err: OSError, subject: str) -> EventsUnavailable:
    name = errorcode.get(err.errno or 0, str(err))
    reason = Reason.DENIED if err.errno in (EPERM, EACCES) else Reason.FAILED
    return EventsUnavailable(f"{subject}: {name}", reason, name)
