"""Notices of sock_diag: TCP and UDP sockets that die, in the netns in which it is listened, and in others.

What the messages say is kernel.formats.socket_destroy's; which netns an id is of, kernel.netns_ids'. The kernel
sends them when nobody has the socket any more: its TIME_WAIT is another one, of which nothing is told. Listening
makes the closing of every socket of the host dearer (10 -> 13.5 us).

Source: net/core/sock_diag.c sock_diag_broadcast_destroy(); net/netlink/af_netlink.c do_one_broadcast(),
netlink_overrun(), netlink_cmsg_listen_all_nsid(); netlink(7), socket(7) SO_MEMINFO.
"""

import socket
import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from errno import EACCES, EAGAIN, ENOBUFS, EPERM, errorcode
from functools import partial
from typing import Final, NamedTuple

from nsagent.errors import EventsUnavailable, FormatError, NotRead, Reason
from nsagent.kernel.files import translate_failure
from nsagent.kernel.formats.socket_destroy import (
    SKNLGRP_INET6_UDP_DESTROY,
    SKNLGRP_INET_TCP_DESTROY,
    Destroyed,
    decode_destroyed,
)
from nsagent.kernel.host_netns import make_in_host_netns
from nsagent.kernel.netlink import Received, make_buffer, open_listener
from nsagent.kernel.netns import read_netns_id, read_thread_netns
from nsagent.kernel.netns_ids import IdNoticeGroup, IdNotices, NetnsIds
from nsagent.kernel.proc_events import EventsLost
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.sock_diag import NETLINK_SOCK_DIAG

RECEIVE_BYTES: Final = 32 << 20
"""Room for 52,000 notices; the default of 208 KiB holds 166."""

_SUBJECT: Final = "socket events"
_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_NETLINK_LISTEN_ALL_NSID: Final = 8
_SO_MEMINFO: Final = 55
_MEMORY: Final = struct.Struct("=9I")
"""Of it the last one is how many messages were dropped (SK_MEMINFO_DROPS)."""
_DATAGRAM_BYTES: Final = 8192
_MOST_NOTICES: Final = 4096
_NSID: Final = struct.Struct("=i")


class FromNetns(NamedTuple):
    """What one recvmsg(2) gave, and the id of the netns that it is about, None for that of the listener."""

    received: Received
    nsid: int | None


class Ended(NamedTuple):
    """A socket that has died, and the id of its netns, None for that of the listener."""

    nsid: int | None
    socket: Destroyed


class EndedBatch(NamedTuple):
    """What has come since the last one."""

    ended: tuple[Ended, ...]
    lost: EventsLost | None
    drained: bool
    """Whether nothing is left; else more waits already."""


class DestroyQueue:
    """Takes notices from any `receive`, which fills a buffer with the next datagram or raises what recvmsg(2) does.

    `count_drops` is how many did not arrive since the beginning, modulo 2^32. DestroyGroups brings both of a socket;
    functions can stand for the kernel instead.
    """

    def __init__(self, receive: Callable[[bytearray], FromNetns], count_drops: Callable[[], int]) -> None:
        self._receive = receive
        self._count_drops = count_drops
        self._drops = 0
        self._overrun = False
        """Whether the queue has not been empty since an overrun: until then the kernel lets more go by."""
        self._buffer = bytearray(_DATAGRAM_BYTES)

    def read(self) -> EndedBatch:
        """What waits, of that at most 4096 datagrams; never waits itself. Raises NotRead."""
        messages: list[bytes] = []
        nsids: list[int | None] = []
        cut, afresh, drained = 0, False, False
        for _ in range(_MOST_NOTICES):
            try:
                (length, flags, sender), nsid = self._receive(self._buffer)
            except OSError as err:
                if err.errno == EAGAIN:
                    drained = True
                    break
                if err.errno != ENOBUFS:
                    raise translate_failure(err, _SUBJECT) from err
                afresh = self._overrun = True
                continue
            if sender:
                continue  # Whoever has CAP_NET_ADMIN may send to a group, too.
            if flags & socket.MSG_TRUNC:
                cut += 1
                continue
            messages.append(bytes(self._buffer[:length]))
            nsids.append(nsid)
        told = decode_destroyed(messages, sys.byteorder)
        ended = [Ended(nsid, one) for nsid, one in zip(nsids, told, strict=True) if not isinstance(one, FormatError)]
        cut += len(told) - len(ended)
        number = cut + self._count_new_drops(drained=drained)
        lost = EventsLost(number, afresh or cut > 0) if number or afresh else None
        return EndedBatch(tuple(ended), lost, drained)

    def _count_new_drops(self, *, drained: bool) -> int:
        """How many were dropped of which none was told yet."""
        if not self._overrun:
            return 0
        drops, self._overrun = self._count_drops(), not drained
        new, self._drops = drops - self._drops & 0xFFFFFFFF, drops
        return new


class DestroyGroups(DestroyQueue):
    """Those of the netns that the calling thread is in now; raises EventsUnavailable. See open_socket_notices().

    `receive_bytes` may wait at once; without CAP_NET_ADMIN no more than net.core.rmem_max does.
    """

    def __init__(self, receive_bytes: int = RECEIVE_BYTES) -> None:
        self.limit: EventsUnavailable | None = None
        """Why it tells of no other netns; None if it does."""
        try:
            self._socket = open_listener(NETLINK_SOCK_DIAG, receive_bytes)
        except OSError as err:
            raise _translate(err) from err
        super().__init__(partial(_receive_from, self._socket), partial(_count_drops, self._socket))
        try:
            self._join()
        except OSError as err:
            self.close()
            raise _translate(err) from err

    def fileno(self) -> int:
        """The fd that can be read from when notices wait."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more."""
        with suppress(OSError):
            self._socket.close()

    def _join(self) -> None:
        try:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_LISTEN_ALL_NSID, 1)
        except OSError as err:
            name = errorcode.get(err.errno or 0, str(err))
            reason = Reason.DENIED if err.errno == EPERM else Reason.FAILED
            self.limit = EventsUnavailable("sockets of other netns need CAP_NET_BROADCAST", reason, name)
        # Without an address of its own a socket can join a group, and hears nothing.
        self._socket.bind((0, 0))
        for group in range(SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_UDP_DESTROY + 1):
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)


class SocketNotices:
    """What is heard in the netns that the calling thread is in now, and what tells netns apart there.

    Raises EventsUnavailable. Any one thread may read, and another one ask for ids.
    """

    def __init__(self, receive_bytes: int = RECEIVE_BYTES) -> None:
        with ExitStack() as made:
            self._groups = made.enter_context(closing(DestroyGroups(receive_bytes)))
            self.limit = self._groups.limit
            """Why it tells of no other netns than the one in which it listens; None if it does."""
            try:
                self.home = read_thread_netns().inode
                """The netns in which it listens."""
                self._ids = made.enter_context(NetnsIds())
                self._id_notices = made.enter_context(closing(IdNoticeGroup()))
            except NotRead as err:
                raise EventsUnavailable(str(err), err.reason, err.errno) from err
            self._made = made.pop_all()
        self._buffer = make_buffer()

    def filenos(self) -> tuple[int, ...]:
        """The fds one of which can be read from when something waits."""
        return self._groups.fileno(), self._id_notices.fileno()

    def read(self) -> EndedBatch:
        """As DestroyQueue.read."""
        return self._groups.read()

    def read_ids(self) -> IdNotices:
        """As IdNoticeQueue.read."""
        return self._id_notices.read()

    def give_nsid(self, netns_fd: int) -> int | None:
        """By which id it tells of a netns; None if it is that in which it listens. Raises NotRead and FormatError."""
        if read_netns_id(netns_fd).inode == self.home:
            return None
        return self._ids.give_nsid(netns_fd, self._buffer)

    def close(self) -> None:
        """Hear no more."""
        self._made.close()


def open_socket_notices(procfs: ProcFs, *, receive_bytes: int = RECEIVE_BYTES) -> SocketNotices:
    """Those of the netns of the host, into which a thread goes if this program is in another one.

    Nearly every netns has an id there. Where the host's cannot be entered, those of the netns that the calling thread
    is in, in which it takes CAP_NET_ADMIN to give ids to others. Raises EventsUnavailable where nothing is to be heard.
    """
    with suppress(EventsUnavailable):
        return make_in_host_netns(procfs, lambda: SocketNotices(receive_bytes))
    return SocketNotices(receive_bytes)


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


def _translate(err: OSError) -> EventsUnavailable:
    name = errorcode.get(err.errno or 0, str(err))
    reason = Reason.DENIED if err.errno in (EPERM, EACCES) else Reason.FAILED
    return EventsUnavailable(f"{_SUBJECT}: {name}", reason, name)
