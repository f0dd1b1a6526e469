"""NETLINK_SOCK_DIAG: tables of one netns as the kernel's own records.

A netlink socket stays in the netns it was made in, whatever its thread does afterwards. What the
records say is kernel.formats.inet_diag's; which netns a socket is in, kernel.netns's.

Source: sock_diag(7), netlink(7), net/ipv4/inet_diag.c, net/netlink/af_netlink.c netlink_dump().
"""

import socket
import struct
import sys
from collections.abc import Collection
from contextlib import suppress
from errno import EAGAIN, EINTR, ENOENT, ENOTSUP, EOPNOTSUPP, errorcode
from fcntl import ioctl
from typing import Final, Self

from nsagent.errors import DumpInterrupted, DumpUnavailable, FormatError, ReadFailed
from nsagent.kernel.formats import inet_diag
from nsagent.kernel.formats.netlink import (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    decode_status,
    encode_message,
    find_status,
    read_sequence,
)
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.model.ids import SocketInode

NETLINK_SOCK_DIAG: Final = 4
SO_NETNS_COOKIE: Final = 71
SIOCGIFNAME: Final = 0x8910

_BUFFER_BYTES = 1 << 16
"""A dump comes in chunks of at most 32,364 bytes."""

_ANSWER_SECONDS = 10
"""An answer comes from kernel memory; one that takes longer than this never comes."""

LOOKUP_COST: Final = 16
"""One lookup takes as long as so many rows of a dump."""

_ATTEMPTS = 3
_NO_SUCH_PROTOCOL = 254
_NO_TABLE = (ENOENT, EOPNOTSUPP, ENOTSUP)


class SockDiag:
    """A sock_diag socket in the netns that the calling thread is in now; a context manager.

    Raises ReadFailed if it cannot be made. Not for two threads at once.
    """

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
        except OSError as err:
            raise ReadFailed("sock_diag", errorcode.get(err.errno or 0, str(err))) from err
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _ANSWER_SECONDS, 0))
        self._sequence = 0
        self._knows_protocol: bool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the socket, and so of its netns."""
        self._socket.close()

    def read_netns_cookie(self) -> int | None:
        """The cookie of its netns, unique since boot; None before Linux 5.14."""
        try:
            cookie: int = struct.unpack("=Q", self._socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0]
        except OSError:
            return None
        return cookie

    def read_interface_name(self, index: int) -> str | None:
        """The name of an interface of its netns; None if it is gone. See netdevice(7)."""
        try:
            answer = ioctl(self._socket, SIOCGIFNAME, struct.pack("=16si20x", b"", index))
        except OSError:
            return None
        return answer[:16].partition(b"\0")[0].decode("utf-8", "surrogateescape")

    def dump(self, protocol: int, buffer: bytearray, states: int = inet_diag.ALL_STATES) -> bytes:
        """The raw table of `protocol` (an IPPROTO number), IPv4 and IPv6; `buffer` is scratch space.

        Raises DumpUnavailable where the kernel has no such table, DumpInterrupted if it changed
        under each of three dumps, ReadFailed for any other errno and FormatError for damage.
        """
        if protocol == socket.IPPROTO_TCP or self._understands_protocol(buffer):
            request = inet_diag.encode_dump_both(protocol, states)
            return self._dump_steadily(inet_diag.TCPDIAG_GETSOCK, request, buffer)
        return b"".join(
            self._dump_steadily(
                inet_diag.SOCK_DIAG_BY_FAMILY, inet_diag.encode_dump_family(family, protocol, states), buffer
            )
            for family in (socket.AF_INET, socket.AF_INET6)
        )

    def find_closed(
        self, protocol: int, table: bytes, places: Collection[RowPlace], buffer: bytearray
    ) -> frozenset[SocketInode]:
        """Which of these rows of `table` the kernel has no more, or has without an inode.

        A few TCP connections are looked up one by one. Listeners, which may share a port, UDP
        sockets, whose lookup matches by score, and many connections are dumped again.
        """
        several = len(places) * LOOKUP_COST > len(table) // inet_diag.ROW_BYTES
        if protocol != socket.IPPROTO_TCP or several:
            return self._find_undumped(protocol, places, inet_diag.ALL_STATES, buffer)
        listeners = [place for place in places if place.listening]
        connections = [place for place in places if not place.listening]
        gone = frozenset(place.inode for place in connections if not self._has_row(table, place, protocol, buffer))
        return gone | self._find_undumped(protocol, listeners, inet_diag.LISTEN_ONLY, buffer)

    def _find_undumped(
        self, protocol: int, places: Collection[RowPlace], states: int, buffer: bytearray
    ) -> frozenset[SocketInode]:
        """Which of these rows a new dump does not show."""
        if not places:
            return frozenset()
        there: set[int] = set()
        inet_diag.list_unheld(self.dump(protocol, buffer, states), (), there, sys.byteorder)
        return frozenset(place.inode for place in places) - there

    def _has_row(self, table: bytes, place: RowPlace, protocol: int, buffer: bytearray) -> bool:
        """Whether the socket of this row is still there with the same inode."""
        request = inet_diag.encode_lookup(table, place, protocol)
        self._send(inet_diag.SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, request)
        view = self._receive(buffer)
        error, _ = find_status(view)
        if error is not None:
            return False
        there: set[int] = set()
        inet_diag.list_unheld(bytes(view), (), there, sys.byteorder)
        return place.inode in there

    def _understands_protocol(self, buffer: bytearray) -> bool:
        """Whether TCPDIAG_GETSOCK looks at its protocol attribute (Linux 5.9): no protocol 254 is then no rows."""
        if self._knows_protocol is None:
            try:
                self._knows_protocol = not self._dump_steadily(
                    inet_diag.TCPDIAG_GETSOCK, inet_diag.encode_dump_both(_NO_SUCH_PROTOCOL), buffer
                )
            except DumpUnavailable:
                self._knows_protocol = True
        return self._knows_protocol

    def _dump_steadily(self, type_: int, request: bytes, buffer: bytearray) -> bytes:
        for _ in range(_ATTEMPTS):
            with suppress(DumpInterrupted):
                return self._dump_once(type_, request, buffer)
        raise DumpInterrupted(f"the table changed under {_ATTEMPTS} dumps")

    def _dump_once(self, type_: int, request: bytes, buffer: bytearray) -> bytes:
        """One dump. Its errors come inside NLMSG_DONE as well as in NLMSG_ERROR: both are looked at."""
        self._send(type_, NLM_F_REQUEST | NLM_F_DUMP, request)
        chunks: list[bytes] = []
        interrupted = False
        while True:
            view = self._receive(buffer)
            end, changed = find_status(view)
            interrupted |= changed
            if end is None:
                chunks.append(bytes(view))
                continue
            chunks.append(bytes(view[: end.offset]))
            status = decode_status(view, end)
            if status in _NO_TABLE:
                raise DumpUnavailable(errorcode[status])
            if status:
                raise ReadFailed("sock_diag", errorcode.get(status, str(status)))
            break
        if interrupted:
            raise DumpInterrupted("the table changed during the dump")
        return b"".join(chunks)

    def _send(self, type_: int, flags: int, payload: bytes) -> None:
        self._sequence += 1
        self._socket.send(encode_message(type_, flags, self._sequence, payload))

    def _receive(self, buffer: bytearray) -> memoryview:
        """The next datagram from the kernel; raises ReadFailed when none comes, FormatError for a cut one."""
        while True:
            try:
                count, _, flags, sender = self._socket.recvmsg_into([buffer])
            except OSError as err:
                if err.errno == EINTR:
                    continue
                reason = "no answer" if err.errno == EAGAIN else errorcode.get(err.errno or 0, str(err))
                raise ReadFailed("sock_diag", reason) from err
            if flags & socket.MSG_TRUNC:
                raise FormatError("a datagram that fits", bytes(buffer[:64]))
            view = memoryview(buffer)[:count]
            # Only the kernel's word counts, and not the rest of an answer that was given up.
            if sender[0] == 0 and read_sequence(view) == self._sequence:
                return view


def make_buffer() -> bytearray:
    """Scratch space for dumps: one for each thread that dumps."""
    return bytearray(_BUFFER_BYTES)
