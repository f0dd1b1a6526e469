"""NETLINK_SOCK_DIAG: tables of one netns as the kernel's own records.

A netlink socket stays in the netns it was made in, whatever its thread does afterwards. What the
records say is kernel.formats.raw_table's; which netns a socket is in, kernel.netns's.

Source: sock_diag(7), netlink(7), net/core/sock_diag.c, net/ipv4/inet_diag.c,
net/netlink/af_netlink.c netlink_dump().
"""

import os
import socket
import struct
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from errno import EINVAL, ENOENT, ESTALE, errorcode
from fcntl import ioctl
from functools import partial
from typing import Final, NamedTuple, Self

from nsagent.errors import DumpUnavailable, ReadFailed
from nsagent.kernel.formats import inet_diag_request as inet_request
from nsagent.kernel.formats import netlink_diag, packet_diag, vsock_diag
from nsagent.kernel.formats.inet_diag_parts import ROW_BYTES
from nsagent.kernel.formats.netlink import (
    NLM_F_REQUEST,
    decode_status,
    find_status,
)
from nsagent.kernel.formats.raw_table import index_rows
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.netlink import Dialogue, Received, make_failure, open_netlink, receive_from
from nsagent.kernel.netns import read_socket_cookie
from nsagent.model.facts import RawTable, TableFormat
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol

NETLINK_SOCK_DIAG: Final = 4
_SUBJECT: Final = "sock_diag"

SIOCGIFNAME: Final = 0x8910

LOOKUP_COST: Final = 16
"""One lookup takes as long as so many rows of a dump."""

_NO_SUCH_PROTOCOL = 254
_NO_ROW = (ENOENT, ESTALE)
"""No such tuple, or another cookie."""

_BOTH_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_BY_FAMILY = (Protocol.RAW, Protocol.SCTP)
"""Only a dump of one family finds their tables."""

_OTHER_FAMILIES = {
    Protocol.PACKET: (TableFormat.PACKET_DIAG, packet_diag.encode_dump),
    Protocol.NETLINK: (TableFormat.NETLINK_DIAG, netlink_diag.encode_dump),
    Protocol.VSOCK: (TableFormat.VSOCK_DIAG, vsock_diag.encode_dump),
}

_BOUND_STATES = (7, 13)
"""What the state of a bound TCP socket that does nothing is in its row: CLOSE, or its own number."""


class Dump(NamedTuple):
    """A table and how many rows it has, those counted that the kernel repeated."""

    table: RawTable
    rows: int


class DiagDialogue(Dialogue):
    """Asks sock_diag and listens to what it answers, over any `send` and `receive`. Not for two threads at once.

    `send` takes one request; `receive` fills a buffer with the next datagram, and raises the OSError
    of recvmsg(2). SockDiag brings those of a socket; a function can stand for the kernel instead.
    `knows_protocol` is what another one found out about this kernel: it saves a dump to ask again.
    """

    def __init__(
        self,
        send: Callable[[bytes], object],
        receive: Callable[[bytearray], Received],
        knows_protocol: bool | None = None,
    ) -> None:
        super().__init__(send, receive, _SUBJECT)
        self.knows_protocol = knows_protocol

    def dump(self, protocol: Protocol, buffer: bytearray, *, deep: bool = False, tcp_info: bool = False) -> Dump:
        """The raw table of a protocol, all families in one; `buffer` is scratch space.

        For TCP alone, `deep` adds the sockets that are bound and do nothing, for which the kernel
        walks one more table (1.5 times as long), and `tcp_info` what it knows about each connection.

        Raises DumpUnavailable where the kernel has no such table, DumpInterrupted if it changed
        under each of three dumps, another NotRead for any other errno and for silence, and FormatError
        for damage.
        """
        if protocol in _OTHER_FAMILIES:
            format_, encode = _OTHER_FAMILIES[protocol]
            data, rows = self._dump_steadily(inet_request.SOCK_DIAG_BY_FAMILY, encode(), buffer)
            return Dump(RawTable(format_, protocol, socket.AF_UNSPEC, data), rows)
        if protocol not in inet_request.NUMBERS:
            raise DumpUnavailable("no netlink table")
        is_tcp = protocol is Protocol.TCP
        states = inet_request.ALL_STATES | (inet_request.BOUND_ONLY if deep and is_tcp else 0)
        return self._dump_inet(protocol, states, inet_request.WITH_INFO if tcp_info and is_tcp else 0, buffer)

    def dump_mptcp(self, buffer: bytearray) -> RawTable:
        """The table that tells which TCP rows are MPTCP: it has their inodes. Costs three dumps of TCP.

        Raises as dump() does; the kernel has it from Linux 5.9.
        """
        if not self._understands_protocol(buffer):
            raise DumpUnavailable("ENOENT")
        request = inet_request.encode_dump_both(inet_request.IPPROTO_MPTCP)
        data, _ = self._dump_steadily(inet_request.TCPDIAG_GETSOCK, request, buffer)
        return RawTable(TableFormat.MPTCP_DIAG, Protocol.TCP, socket.AF_UNSPEC, data)

    def dump_udp_memory(self, buffer: bytearray) -> bytes:
        """The UDP rows of both families, each with what the memory of its socket is. Raises as dump() does."""
        requests = [
            (
                inet_request.SOCK_DIAG_BY_FAMILY,
                inet_request.encode_dump_family(
                    family, socket.IPPROTO_UDP, inet_request.ALL_STATES, inet_request.WITH_SKMEMINFO
                ),
            )
            for family in _BOTH_FAMILIES
        ]
        return b"".join(data for data, _ in self._dump_parts(requests, buffer))

    def find_closed(self, table: RawTable, places: Collection[RowPlace], buffer: bytearray) -> frozenset[SocketInode]:
        """Which of these rows of a table of dump() the kernel has no more, or has without an inode.

        Where several rows have one inode, as the subflows of an MPTCP connection, all of them are gone.

        A few TCP connections are looked up one by one. Everything else is dumped again: listeners
        may share a port, the lookup of UDP sockets matches by score, a connection is looked up as
        dear as 16 rows are dumped. Raises as dump() does.
        """
        if table.protocol is not Protocol.TCP or table.format is not TableFormat.INET_DIAG:
            return _find_absent(self.dump(table.protocol, buffer).table, places) if places else frozenset()
        bound = [place for place in places if table.data[place.offset + 17] in _BOUND_STATES]
        if len(places) * LOOKUP_COST > len(table.data) // ROW_BYTES:
            states = inet_request.ALL_STATES | (inet_request.BOUND_ONLY if bound else 0)
            return self._find_undumped(places, states, buffer)
        listeners = [place for place in places if place.listening]
        others = {place.offset for place in (*bound, *listeners)}
        connections = [place for place in places if place.offset not in others]
        there = {place.inode for place in connections if self._has_row(table.data, place, buffer)}
        gone = {place.inode for place in connections}
        gone |= self._find_undumped(listeners, inet_request.LISTEN_ONLY, buffer)
        gone |= self._find_undumped(bound, inet_request.BOUND_ONLY, buffer)
        return frozenset(gone - there)

    def _find_undumped(self, places: Collection[RowPlace], states: int, buffer: bytearray) -> frozenset[SocketInode]:
        """Which of these TCP rows a new dump of such states does not show."""
        if not places:
            return frozenset()
        return _find_absent(self._dump_inet(Protocol.TCP, states, 0, buffer).table, places)

    def _dump_inet(self, protocol: Protocol, states: int, extensions: int, buffer: bytearray) -> Dump:
        number = inet_request.NUMBERS[protocol]
        if protocol is Protocol.TCP or (protocol not in _BY_FAMILY and self._understands_protocol(buffer)):
            requests = [(inet_request.TCPDIAG_GETSOCK, inet_request.encode_dump_both(number, states, extensions))]
        else:
            requests = [
                (inet_request.SOCK_DIAG_BY_FAMILY, inet_request.encode_dump_family(family, number, states))
                for family in _BOTH_FAMILIES
            ]
        parts = self._dump_parts(requests, buffer)
        table = RawTable(TableFormat.INET_DIAG, protocol, socket.AF_UNSPEC, b"".join(data for data, _ in parts))
        return Dump(table, sum(rows for _, rows in parts))

    def _dump_parts(self, requests: Sequence[tuple[int, bytes]], buffer: bytearray) -> list[tuple[bytes, int]]:
        """The answers to these requests; a kernel without IPv6 lacks the second family only."""
        parts = [self._dump_steadily(*requests[0], buffer)]
        for type_, request in requests[1:]:
            with suppress(DumpUnavailable):
                parts.append(self._dump_steadily(type_, request, buffer))
        return parts

    def _has_row(self, table: bytes, place: RowPlace, buffer: bytearray) -> bool:
        """Whether the connection of this row is still there with the same inode."""
        request = inet_request.encode_lookup(table, place, socket.IPPROTO_TCP)
        self._send(inet_request.SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, request)
        view = self._receive(buffer)
        end = find_status(view).end
        if end is not None:
            status = decode_status(view, end)
            if status not in _NO_ROW:
                raise make_failure(status, _SUBJECT)
            return False
        answer = RawTable(TableFormat.INET_DIAG, Protocol.TCP, socket.AF_UNSPEC, bytes(view))
        return not _find_absent(answer, (place,))

    def _understands_protocol(self, buffer: bytearray) -> bool:
        """Whether TCPDIAG_GETSOCK looks at its protocol attribute (Linux 5.9): it then has no table of protocol 254.

        A kernel that passes over the attribute answers with TCP, which may be no row; one before Linux 5.7 takes
        any attribute for a filter that is damaged.
        """
        if self.knows_protocol is None:
            request = inet_request.encode_dump_both(_NO_SUCH_PROTOCOL)
            try:
                self._dump_steadily(inet_request.TCPDIAG_GETSOCK, request, buffer)
                self.knows_protocol = False
            except DumpUnavailable as err:
                self.knows_protocol = err.errno == errorcode[ENOENT]
            except ReadFailed as err:
                if err.errno != errorcode[EINVAL]:
                    raise
                self.knows_protocol = False
        return self.knows_protocol


class SockDiag(DiagDialogue):
    """A sock_diag socket in the netns that the calling thread is in now; a context manager.

    Raises NotRead if it cannot be made.
    """

    def __init__(self, knows_protocol: bool | None = None) -> None:
        self._socket = open_netlink(NETLINK_SOCK_DIAG, _SUBJECT)
        super().__init__(self._socket.send, partial(receive_from, self._socket), knows_protocol)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the socket, and so of its netns."""
        with suppress(OSError):
            self._socket.close()

    def read_netns_cookie(self) -> int | None:
        """The cookie of its netns, unique since boot; None before Linux 5.14."""
        return read_socket_cookie(self._socket)

    def read_interface_name(self, index: int) -> str | None:
        """The name of an interface of its netns; None if it is gone. See netdevice(7)."""
        try:
            # Unsigned, as inet_diag has it: whoever connects may name any scope, which stays the socket's device
            # where there is no such interface (net/ipv6/datagram.c, tcp_ipv6.c).
            answer = ioctl(self._socket, SIOCGIFNAME, struct.pack("=16sI20x", b"", index))
        except OSError:
            return None
        return answer[:16].partition(b"\0")[0].decode("utf-8", "surrogateescape")

    def read_default_room(self) -> int:
        """How many bytes a socket may have waiting to be sent that nobody asked more for: net.core.wmem_default."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    def read_inode(self) -> SocketInode:
        """Its own inode: a table of netlink sockets shows it."""
        return SocketInode(os.fstat(self._socket.fileno()).st_ino)


def _find_absent(table: RawTable, places: Collection[RowPlace]) -> frozenset[SocketInode]:
    return frozenset(place.inode for place in places) - index_rows(table, sys.byteorder).inodes
