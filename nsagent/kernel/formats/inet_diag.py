"""NETLINK_SOCK_DIAG for inet sockets: the rows of a dump.

A raw table is the messages of a dump one after the other, with their netlink headers, in the
byte order of the machine whose kernel wrote them.

Source: sock_diag(7), include/uapi/linux/inet_diag.h, net/ipv4/inet_diag.c inet_sk_diag_fill().
"""

import struct
from collections.abc import Callable, Container
from operator import itemgetter
from socket import AF_INET, AF_INET6
from typing import Any, Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.inet_address import Ipv4Texts, Ipv6Texts, MappedTexts, is_mapped
from nsagent.kernel.formats.row_place import RowIndex, RowPlace
from nsagent.kernel.formats.socket_options import OptionsByByte
from nsagent.kernel.formats.socket_state import (
    NO_CONNECTION,
    SCTP_ASSOCIATION_STATES,
    SOCKET_STATES,
    TIMERS,
    is_mini_socket,
)
from nsagent.kernel.formats.tcp_info import decode_tcp_info
from nsagent.model.ids import SocketInode
from nsagent.model.net import (
    ByteOrder,
    Endpoint,
    Family,
    Protocol,
    SocketRow,
    SocketState,
    Timer,
    TimerKind,
)

_MOST_ATTRIBUTES = 256
"""In a message: the kernel knows 24 of them, and a layout is learned in as many steps as it has attributes."""

_ATTRIBUTE_INFO = 2
_ATTRIBUTE_SKV6ONLY = 11
_ATTRIBUTE_PEERS = 13
_ATTRIBUTE_CGROUP_ID = 21
_ATTRIBUTE_SOCKOPT = 22

_LISTEN = 10
"""TCP_LISTEN of include/net/tcp_states.h."""

_PAYLOADS = {(_ATTRIBUTE_CGROUP_ID, 12): "Q", (_ATTRIBUTE_SKV6ONLY, 5): "B", (_ATTRIBUTE_SOCKOPT, 6): "B"}
"""Attributes of one length whose value a row keeps, by type and length, as a struct format."""

ROW_BYTES: Final = 16 + 72
"""A netlink header and struct inet_diag_msg: a row without its attributes."""

_ATTRIBUTE_HEADERS: Final = {"<": struct.Struct("<HH"), ">": struct.Struct(">HH")}
_UIDS: Final = {"<": struct.Struct("<I"), ">": struct.Struct(">I")}

_new = tuple.__new__


def index_rows(data: bytes, byteorder: ByteOrder) -> RowIndex:
    """What the rows of a raw table name.

    Costs about 0.1 us a row. Stops at a damaged length, which decode_table reports.
    """
    inodes: set[SocketInode] = set()
    interfaces: set[int] = set()
    cgroup_ids: set[int] = set()
    offset, view, order = 0, memoryview(data), _order(byteorder)
    strides: dict[int, _Stride] = {}
    while run := _measure_run(data, offset, byteorder):
        length, size, count = run
        stride = strides.get(length)
        if stride is None or not data.startswith(stride.header, offset + stride.place):
            stride = strides[length] = _learn_stride(data, offset, length, order)
        layout, _, header = stride
        last = None
        for row_length, interface, inode, mark in layout.iter_unpack(view[offset : offset + count * size]):
            if row_length != length:
                break
            if mark != last:  # Most rows are of the cgroup of the row before.
                if mark[:4] != header:
                    break
                if len(mark) > 4:
                    cgroup_ids.add(int.from_bytes(mark[4:], byteorder))
                last = mark
            inodes.add(inode)
            if interface:
                interfaces.add(interface)
            offset += size
    bare = 0 in inodes
    inodes.discard(SocketInode(0))
    return RowIndex(inodes, interfaces, cgroup_ids, bare)


def find_rows(data: bytes, inodes: Container[int], byteorder: ByteOrder) -> list[RowPlace]:
    """The places of the rows with one of these inodes, as they stand in a raw table.

    Costs about 0.05 us a row, and 0.3 us more for a row it finds. Stops at a damaged length, which
    decode_table reports.
    """
    places: list[RowPlace] = []
    offset, view, order = 0, memoryview(data), _order(byteorder)
    read_uid = _UIDS[order].unpack_from
    while run := _measure_run(data, offset, byteorder):
        length, size, count = run
        layout = struct.Struct(f"{order}I80xI{size - ROW_BYTES}x")  # nlmsg_len and idiag_inode.
        for row_length, inode in layout.iter_unpack(view[offset : offset + count * size]):
            if row_length != length:
                break
            if inode in inodes and inode:
                # idiag_uid and idiag_state of struct inet_diag_msg: of so few rows that they are not unpacked above.
                listening = data[offset + 17] == _LISTEN
                places.append(_new(RowPlace, (offset, inode, read_uid(data, offset + 80)[0], listening)))
            offset += size
    return places


def decode_table(
    data: bytes, protocol: Protocol, byteorder: ByteOrder, *, mptcp: bool | None = None
) -> tuple[list[SocketRow], list[FormatError]]:
    """All rows of a raw table, each once, and one error for each damaged one.

    `mptcp` is what every row says of it: the table itself does not tell.

    A damaged length hides the rest of the table: one error. A row is known by its cookie together
    with its inode and tuple (an accepted MPTCP subflow has the cookie of its listener).
    """
    decoder = _Decoder(protocol, byteorder, mptcp=mptcp)
    offset = 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], byteorder)
        if length < ROW_BYTES or offset + length > len(data):
            decoder.errors.append(FormatError("an inet_diag message", data[offset : offset + ROW_BYTES]))
            break
        offset = decoder.decode_run(data, offset, length)
    rows = decoder.rows
    if protocol is Protocol.TCP and decoder.has_closed:
        rows = [_name_bound(row) if row.state is SocketState.CLOSE else row for row in rows]
    return rows, decoder.errors


def _name_bound(row: SocketRow) -> SocketRow:
    """A TCP row that says CLOSE: bound and idle, or a connection that closed while it was dumped, which has a peer."""
    return row if row.remote.port else row._replace(state=SocketState.BOUND_INACTIVE)


def _measure_run(data: bytes, offset: int, byteorder: ByteOrder) -> tuple[int, int, int] | None:
    """The length of the message at `offset`, the same with its padding, and how many like it fit into the rest.

    None at the end of the table, and at a damaged length.
    """
    length = int.from_bytes(data[offset : offset + 4], byteorder)
    size = (length + 3) & ~3
    count = (len(data) - offset) // size if length >= ROW_BYTES else 0
    return (length, size, count) if count else None


class _Layout(NamedTuple):
    """How the messages of one run are laid out: as many bytes, and the same attributes.

    `struct` gives nlmsg_len and the fixed fields, then a header for each attribute, and the
    payloads of cgroup id, v6only, options and struct tcp_info at the places so named (0: absent). `headers`
    picks the length and the attribute headers, which must equal `expected`. `association`: only
    the row of an SCTP association has its peer's addresses.
    """

    struct: struct.Struct
    headers: Callable[[tuple[Any, ...]], object]
    expected: object
    cgroup_id: int
    v6only: int
    options: int
    tcp_info: int
    association: bool


class _Stride(NamedTuple):
    """How one run of messages is looked through without decoding it.

    `struct` gives nlmsg_len, idiag_if, idiag_inode and the cgroup id's attribute, header and all;
    where there is none, the header of the first attribute, if there is one, which then tells
    whether the next row is laid out alike. It stands at `place`.
    """

    struct: struct.Struct
    place: int
    header: bytes


def _learn_stride(data: bytes, offset: int, length: int, order: str) -> _Stride:
    place = _find_attribute(data, offset, length, _ATTRIBUTE_CGROUP_ID, order)
    read_header = _ATTRIBUTE_HEADERS[order].unpack_from
    size, width = (length + 3) & ~3, 12
    if not place or place + 12 > length or read_header(data, offset + place)[0] != 12:
        place, width = ROW_BYTES, min(4, size - ROW_BYTES)
    layout = struct.Struct(f"{order}I52xI24xI{place - ROW_BYTES}x{width}s{size - place - width}x")
    return _Stride(layout, place, data[offset + place : offset + place + min(width, 4)])


def _find_attribute(data: bytes, offset: int, length: int, wanted: int, order: str) -> int:
    """Where the header of an attribute stands in the message at `offset`, from its start; 0 if it has none."""
    place, read = ROW_BYTES, _ATTRIBUTE_HEADERS[order].unpack_from
    while place + 4 <= length:
        size, type_ = read(data, offset + place)
        if type_ == wanted:
            return place
        if size < 4:
            break
        place += (size + 3) & ~3
    return 0


class _Kind(NamedTuple):
    """What the first four bytes of a row say; `mini`: the zeros of a mini-socket mean nothing."""

    ipv4: bool
    state: SocketState
    mini: bool
    timer: TimerKind | None


class _Kinds(dict[bytes, _Kind | None]):
    """Kinds by those four bytes: family, state, timer, retransmits; None for what no kernel prints."""

    def __init__(self, *, association: bool, timers: bool = False) -> None:
        super().__init__()
        self._association = association
        self._timers = TIMERS if timers else {}

    def __missing__(self, head: bytes) -> _Kind | None:
        family, number, timer, _ = head
        state = (SCTP_ASSOCIATION_STATES if self._association else SOCKET_STATES).get(number)
        known = state is not None and family in (AF_INET, AF_INET6)
        mini = state is not None and not self._association and is_mini_socket(state, timer)
        kind = _Kind(family == AF_INET, state, mini, self._timers.get(timer)) if state and known else None
        self[head] = kind
        return kind


class _Decoder:
    """Decodes one table, run by run; remembers layouts, address texts and cookies between them."""

    def __init__(self, protocol: Protocol, byteorder: ByteOrder, *, mptcp: bool | None) -> None:
        self.rows: list[SocketRow] = []
        self.errors: list[FormatError] = []
        self._protocol = protocol
        self._byteorder = byteorder
        self._mptcp = mptcp
        self._order = _order(byteorder)
        self._layouts: dict[int, _Layout] = {}
        self._kinds = _Kinds(association=False, timers=protocol is Protocol.TCP)
        self._association_kinds = _Kinds(association=True)
        self._first: dict[int, SocketRow] = {}
        self._others: set[tuple[object, ...]] = set()
        self._ipv4 = Ipv4Texts()
        self._ipv6 = Ipv6Texts()
        self._mapped = MappedTexts()
        self._options = OptionsByByte(byteorder)

    def decode_run(self, data: bytes, offset: int, length: int) -> int:
        """Decode the row of `length` at `offset` and those laid out alike after it; where the next one starts.

        Costs about 1.6 us a row, most of it in making its three tuples.
        """
        try:
            layout = self._find_layout(data, offset, length)
        except FormatError as err:
            self.errors.append(err)
            return offset + ((length + 3) & ~3)
        structure, headers, expected, cgroup_place, v6only_place, options_place, info_place, association = layout
        size, protocol, ipv4, first, mptcp = structure.size, self._protocol, self._ipv4, self._first, self._mptcp
        kinds, options = self._association_kinds if association else self._kinds, self._options
        count = (len(data) - offset) // size
        run = memoryview(data)[offset : offset + count * size] if count else data[offset:].ljust(size, b"\0")
        for values in structure.iter_unpack(run):
            if headers(values) != expected:
                break
            (
                _, head, local_high, local_low, remote_high, remote_low, local_bytes, remote_bytes,
                interface, cookie_low, cookie_high, expires_ms, rx_queue, tx_queue, uid, inode,
            ) = values[:16]  # fmt: skip
            kind = kinds[head]
            if kind is None:
                self.errors.append(FormatError("a known family and state", data[offset : offset + length]))
                offset += size
                continue
            is_ipv4, state, is_mini, timer = kind
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
                bool(values[v6only_place]) if v6only_place else None, mptcp,
                decode_tcp_info(values[info_place], self._byteorder)
                if info_place and state not in NO_CONNECTION else None,
                None if timer is None else _new(Timer, (timer, expires_ms, head[3])),
                options[values[options_place]] if options_place else None,
            ))  # fmt: skip
            if first.setdefault(cookie, row) is row or self._is_new(row):
                self.rows.append(row)
            offset += size
        return offset

    @property
    def has_closed(self) -> bool:
        """Whether some row says CLOSE."""
        return any(kind is not None and kind.state is SocketState.CLOSE for kind in self._kinds.values())

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
            (local_text, local_raw), (remote_text, remote_raw) = self._mapped[local], self._mapped[remote]
            return (
                Family.IPV4,
                True,
                _new(Endpoint, (local_text, local_port, local_raw)),
                _new(Endpoint, (remote_text, remote_port, remote_raw)),
            )
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
        layout_format = self._order + "I12x4sBBBB16s16sIIIIIIII"
        headers, fields, is_tcp = [0], 16, self._protocol is Protocol.TCP
        peers = False
        places: dict[int, int] = {}
        position, end = offset + ROW_BYTES, offset + length
        while position + 4 <= end:
            size, type_ = struct.unpack_from(self._order + "HH", data, position)
            if size < 4 or position + size > end or len(headers) > _MOST_ATTRIBUTES:
                raise FormatError("netlink attributes within their message", data[offset:end])
            headers.append(fields)
            payload = _PAYLOADS.get((type_, size), f"{size - 4}s" if type_ == _ATTRIBUTE_INFO and is_tcp else "")
            layout_format += f"I{payload}{((size + 3) & ~3) - 4 - struct.calcsize('=' + payload)}x"
            fields += 1
            if payload:
                places[type_] = fields
                fields += 1
            peers |= type_ == _ATTRIBUTE_PEERS
            position += (size + 3) & ~3
        padding = ((length + 3) & ~3) - struct.calcsize(layout_format)
        layout = struct.Struct(f"{layout_format}{max(padding, 0)}x")
        pick = itemgetter(*headers)
        return _Layout(
            struct=layout,
            headers=pick,
            expected=pick(layout.unpack(data[offset : offset + layout.size].ljust(layout.size, b"\0"))),
            cgroup_id=places.get(_ATTRIBUTE_CGROUP_ID, 0),
            # Raw sockets have no port that both families could share: the option is there, and does nothing.
            v6only=0 if self._protocol is Protocol.RAW else places.get(_ATTRIBUTE_SKV6ONLY, 0),
            options=places.get(_ATTRIBUTE_SOCKOPT, 0),
            tcp_info=places.get(_ATTRIBUTE_INFO, 0),
            association=peers and self._protocol is Protocol.SCTP,
        )


def _order(byteorder: ByteOrder) -> str:
    return "<" if byteorder == "little" else ">"
