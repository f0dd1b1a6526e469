"""NETLINK_SOCK_DIAG for inet sockets: requests, and the rows of a dump.

A raw table is the messages of a dump one after the other, with their netlink headers, in the
byte order of the machine whose kernel wrote them.

Source: sock_diag(7), include/uapi/linux/inet_diag.h, net/ipv4/inet_diag.c inet_sk_diag_fill().
"""

import struct
from collections.abc import Callable, Container
from operator import itemgetter
from socket import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from typing import Any, Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.inet_address import Ipv4Texts, Ipv6Texts, is_mapped, mapped_endpoint
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.formats.socket_state import SOCKET_STATES, is_mini_socket
from nsagent.model.ids import SocketInode
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow, SocketState

TCPDIAG_GETSOCK: Final = 18
SOCK_DIAG_BY_FAMILY: Final = 20

ALL_STATES: Final = 0x1FFF
"""Every state of include/net/tcp_states.h but bound_inactive, which makes the kernel walk one more table."""
LISTEN_ONLY: Final = 1 << 10

NUMBERS: Final = {Protocol.TCP: IPPROTO_TCP, Protocol.UDP: IPPROTO_UDP}
"""The IPPROTO numbers by which tables are dumped."""

_ATTRIBUTE_PROTOCOL = 3
_ATTRIBUTE_SKV6ONLY = 11
_ATTRIBUTE_CGROUP_ID = 21

_PAYLOADS = {(_ATTRIBUTE_CGROUP_ID, 12): "Q", (_ATTRIBUTE_SKV6ONLY, 5): "B"}
"""The attributes whose value a row keeps, by type and length, as a struct format."""

ROW_BYTES: Final = 16 + 72
"""A netlink header and struct inet_diag_msg: a row without its attributes."""

_new = tuple.__new__


def encode_dump_both(protocol: int, states: int = ALL_STATES) -> bytes:
    """Payload of the TCPDIAG_GETSOCK that dumps IPv4 and IPv6 in one walk of the kernel's tables.

    The header's family is ignored there. Kernels before 5.9 do not know the protocol attribute
    and answer with TCP rows.
    """
    request = struct.pack("=BBBB48xII", AF_INET, 0, 0, 0, states, 0)
    if protocol != IPPROTO_TCP:
        request += struct.pack("=HHI", 8, _ATTRIBUTE_PROTOCOL, protocol)
    return request


def encode_dump_family(family: int, protocol: int, states: int = ALL_STATES) -> bytes:
    """Payload of the SOCK_DIAG_BY_FAMILY that dumps one family: for kernels before 5.9."""
    return struct.pack("=BBBBI48x", family, protocol, 0, 0, states)


def encode_lookup(data: bytes, place: RowPlace, protocol: int) -> bytes:
    """Payload of the SOCK_DIAG_BY_FAMILY that asks for the very socket of a TCP row, by tuple and cookie.

    The kernel answers with the row, or ENOENT when the socket is gone. Not for listeners that
    share their port: it may find another of the group.
    """
    message = place.offset + 16
    return struct.pack("=BBBBI", data[message], protocol, 0, 0, ALL_STATES) + data[message + 4 : message + 52]


def list_unheld(
    data: bytes, held: Container[int], listed: set[int], byteorder: ByteOrder
) -> tuple[list[RowPlace], set[int]]:
    """The rows of a raw table that some fd should hold and none in `held` does, and all ifindexes it names.

    Adds every inode to `listed`. Costs about 0.3 us a row. Stops at a damaged length, which
    decode_table reports.
    """
    unheld: list[RowPlace] = []
    interfaces: set[int] = set()
    offset, view = 0, memoryview(data)
    while len(data) - offset >= ROW_BYTES:
        length = int.from_bytes(data[offset : offset + 4], byteorder)
        size = (length + 3) & ~3
        count = (len(data) - offset) // size if length >= ROW_BYTES else 0
        if not count:
            break
        # nlmsg_len, idiag_state, idiag_if, idiag_uid and idiag_inode of struct inet_diag_msg.
        layout = struct.Struct(f"{_order(byteorder)}I13xB38xI20xII{size - ROW_BYTES}x")
        for row_length, state, interface, uid, inode in layout.iter_unpack(view[offset : offset + count * size]):
            if row_length != length:
                break
            listed.add(inode)
            if inode and inode not in held:
                unheld.append(RowPlace(offset, SocketInode(inode), uid, state == 10))
            if interface:
                interfaces.add(interface)
            offset += size
    return unheld, interfaces


def decode_table(data: bytes, protocol: Protocol, byteorder: ByteOrder) -> tuple[list[SocketRow], list[FormatError]]:
    """All rows of a raw table, each once, and one error for each damaged one.

    A damaged length hides the rest of the table: one error. A row is known by its cookie together
    with its inode and tuple (an accepted MPTCP subflow has the cookie of its listener).
    """
    decoder = _Decoder(protocol, byteorder)
    offset = 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], byteorder)
        if length < ROW_BYTES or offset + length > len(data):
            decoder.errors.append(FormatError("an inet_diag message", data[offset : offset + ROW_BYTES]))
            break
        offset = decoder.decode_run(data, offset, length)
    return decoder.rows, decoder.errors


class _Layout(NamedTuple):
    """How the messages of one run are laid out: as many bytes, and the same attributes.

    `struct` gives nlmsg_len and the fixed fields, then a header for each attribute, and the
    payloads of cgroup id and v6only at the places so named (0: absent). `headers` picks the
    length and the attribute headers, which must equal `expected`.
    """

    struct: struct.Struct
    headers: Callable[[tuple[Any, ...]], object]
    expected: object
    cgroup_id: int
    v6only: int


class _Kind(NamedTuple):
    """What the first four bytes of a row say; `mini`: the zeros of a mini-socket mean nothing."""

    ipv4: bool
    state: SocketState
    mini: bool


class _Kinds(dict[bytes, _Kind | None]):
    """Kinds by those four bytes: family, state, timer, retransmits; None for what no kernel prints."""

    def __missing__(self, head: bytes) -> _Kind | None:
        family, number, timer, _ = head
        state = SOCKET_STATES.get(number)
        known = state is not None and family in (AF_INET, AF_INET6)
        kind = _Kind(family == AF_INET, state, is_mini_socket(state, timer)) if state and known else None
        self[head] = kind
        return kind


class _Decoder:
    """Decodes one table, run by run; remembers layouts, address texts and cookies between them."""

    def __init__(self, protocol: Protocol, byteorder: ByteOrder) -> None:
        self.rows: list[SocketRow] = []
        self.errors: list[FormatError] = []
        self._protocol = protocol
        self._order = _order(byteorder)
        self._layouts: dict[int, _Layout] = {}
        self._kinds = _Kinds()
        self._first: dict[int, SocketRow] = {}
        self._others: set[tuple[object, ...]] = set()
        self._ipv4 = Ipv4Texts()
        self._ipv6 = Ipv6Texts()

    def decode_run(self, data: bytes, offset: int, length: int) -> int:
        """Decode the row of `length` at `offset` and those laid out alike after it; where the next one starts.

        Costs about 1.6 us a row, most of it in making its three tuples.
        """
        try:
            layout = self._find_layout(data, offset, length)
        except FormatError as err:
            self.errors.append(err)
            return offset + ((length + 3) & ~3)
        headers, expected, cgroup_place, v6only_place = layout[1:]
        size, protocol, kinds, ipv4, first = layout.struct.size, self._protocol, self._kinds, self._ipv4, self._first
        count = (len(data) - offset) // size
        run = memoryview(data)[offset : offset + count * size] if count else data[offset:].ljust(size, b"\0")
        for values in layout.struct.iter_unpack(run):
            if headers(values) != expected:
                break
            (
                _, head, local_high, local_low, remote_high, remote_low, local_bytes, remote_bytes,
                interface, cookie_low, cookie_high, rx_queue, tx_queue, uid, inode,
            ) = values[:15]  # fmt: skip
            kind = kinds[head]
            if kind is None:
                self.errors.append(FormatError("a known family and state", data[offset : offset + length]))
                offset += size
                continue
            is_ipv4, state, is_mini = kind
            local_port, remote_port = local_high << 8 | local_low, remote_high << 8 | remote_low
            if is_ipv4:
                shown, mapped = Family.IPV4, False
                local = _new(Endpoint, (ipv4[local_bytes], local_port, None))
                remote = _new(Endpoint, (ipv4[remote_bytes], remote_port, None))
            else:
                shown, mapped, local, remote = self._read_ipv6(local_bytes, local_port, remote_bytes, remote_port)
            cookie = cookie_high << 32 | cookie_low
            row = _new(SocketRow, (
                protocol, shown, mapped, state, local, remote, interface, inode,
                cookie, None if is_mini else uid, rx_queue, tx_queue,
                values[cgroup_place] if cgroup_place else None,
                bool(values[v6only_place]) if v6only_place else None, None, None,
            ))  # fmt: skip
            if first.setdefault(cookie, row) is row or self._is_new(row):
                self.rows.append(row)
            offset += size
        return offset

    def _is_new(self, row: SocketRow) -> bool:
        """Whether a row whose cookie was met before is another socket: its inode or an end differs."""
        key = row.cookie, row.inode, row.local, row.remote
        first = self._first[row.cookie or 0]
        if key == (first.cookie, first.inode, first.local, first.remote) or key in self._others:
            return False
        self._others.add(key)
        return True

    def _read_ipv6(
        self, local: bytes, local_port: int, remote: bytes, remote_port: int
    ) -> tuple[Family, bool, Endpoint, Endpoint]:
        """The family shown, whether it is IPv4-mapped, and both ends of an IPv6 row."""
        if is_mapped(local, remote):
            return Family.IPV4, True, mapped_endpoint(local, local_port), mapped_endpoint(remote, remote_port)
        texts = self._ipv6
        return (
            Family.IPV6,
            False,
            _new(Endpoint, (texts[local], local_port, None)),
            _new(Endpoint, (texts[remote], remote_port, None)),
        )

    def _find_layout(self, data: bytes, offset: int, length: int) -> _Layout:
        """The layout that fits the message at `offset`; raises FormatError as _learn_layout does."""
        layout = self._layouts.get(length)
        if layout is not None and offset + layout.struct.size <= len(data):
            values = layout.struct.unpack_from(data, offset)
            if layout.headers(values) == layout.expected:
                return layout
        layout = self._layouts[length] = self._learn_layout(data, offset, length)
        return layout

    def _learn_layout(self, data: bytes, offset: int, length: int) -> _Layout:
        """The layout of the message at `offset`; raises FormatError if an attribute leads outside of it."""
        layout_format = self._order + "I12x4sBBBB16s16sIII4xIIII"
        headers, fields = [0], 15
        places: dict[int, int] = {}
        position, end = offset + ROW_BYTES, offset + length
        while position + 4 <= end:
            size, type_ = struct.unpack_from(self._order + "HH", data, position)
            if size < 4 or position + size > end:
                raise FormatError("a netlink attribute within its message", data[offset:end])
            headers.append(fields)
            payload = _PAYLOADS.get((type_, size), "")
            layout_format += f"I{payload}{((size + 3) & ~3) - 4 - struct.calcsize('=' + payload)}x"
            fields += 1
            if payload:
                places[type_] = fields
                fields += 1
            position += (size + 3) & ~3
        padding = ((length + 3) & ~3) - struct.calcsize(layout_format)
        layout = struct.Struct(f"{layout_format}{max(padding, 0)}x")
        pick = itemgetter(*headers)
        return _Layout(
            struct=layout,
            headers=pick,
            expected=pick(layout.unpack(data[offset : offset + layout.size].ljust(layout.size, b"\0"))),
            cgroup_id=places.get(_ATTRIBUTE_CGROUP_ID, 0),
            v6only=places.get(_ATTRIBUTE_SKV6ONLY, 0),
        )


def _order(byteorder: ByteOrder) -> str:
    return "<" if byteorder == "little" else ">"
