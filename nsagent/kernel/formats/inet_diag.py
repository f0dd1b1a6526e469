"""NETLINK_SOCK_DIAG for inet sockets: the rows of a dump.

A raw table is the messages of a dump one after the other, with their netlink headers, in the
byte order of the machine whose kernel wrote them.

Source: sock_diag(7), include/uapi/linux/inet_diag.h, net/ipv4/inet_diag.c inet_sk_diag_fill().
"""

import struct
from collections.abc import Callable, Container, Iterable, Mapping
from operator import attrgetter
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.inet_address import Ipv4Texts, Ipv6Texts, MappedTexts, is_mapped
from nsagent.kernel.formats.inet_diag_parts import CGROUP_ID, ROW_BYTES, AttributesByBytes, Kinds, Layouts
from nsagent.kernel.formats.netlink import HEADER_BYTES
from nsagent.kernel.formats.row_place import RowIndex, RowPlace
from nsagent.kernel.formats.small_table import ORDER_SIGNS
from nsagent.kernel.formats.socket_state import NO_CONNECTION
from nsagent.model.ids import SocketInode
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow, SocketState, Timer

_LISTEN = 10
"""TCP_LISTEN of include/net/tcp_states.h."""

_TIME_WAIT_TIMER = 3
"""idiag_timer of what is kept of a connection until it is forgotten (net/ipv4/inet_diag.c inet_twsk_diag_fill())."""

_ATTRIBUTE_HEADERS: Final = {"<": struct.Struct("<HH"), ">": struct.Struct(">HH")}
_UIDS: Final = {"<": struct.Struct("<I"), ">": struct.Struct(">I")}

Decoded = tuple[list[SocketRow], list[FormatError]]
"""The rows of a table, and one error for each damaged one."""

_new = tuple.__new__


def index_rows(data: bytes, byteorder: ByteOrder) -> RowIndex:
    """What the rows of a raw table name.

    Costs about 0.1 us a row. Stops at a damaged length, which decode_table reports.
    """
    inodes: set[SocketInode] = set()
    interfaces: set[int] = set()
    cgroup_ids: set[int] = set()
    offset, view, order = 0, memoryview(data), ORDER_SIGNS[byteorder]
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
    offset, view, order = 0, memoryview(data), ORDER_SIGNS[byteorder]
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


def is_changing(data: bytes, protocol: Protocol, byteorder: ByteOrder) -> bool:
    """Whether the kernel will change some row of a raw table by itself, whoever does nothing.

    A timer runs, idiag_timer, or a datagram has not left the host yet, idiag_wqueue: of TCP that is told by a segment.
    That of TIME_WAIT only runs down, see age_timers(). True of a table with a damaged length. Costs about 0.1 us a row.
    """
    if protocol is Protocol.TCP:
        return _has_row(data, byteorder, "14xB", lambda timer: timer not in (0, _TIME_WAIT_TIMER))
    return _has_row(data, byteorder, "14xB57xI", lambda timer, queued: bool(timer or queued))


def age_timers(data: bytes, elapsed_ms: int, byteorder: ByteOrder) -> bytes:
    """A raw table as it is so much later if nothing has happened but that TIME_WAIT is nearer its end: idiag_expires.

    The very same where it has none. Takes a table that is not damaged; costs about 0.1 us a row.
    """
    aged, offset, expires = None, 0, struct.Struct(f"{ORDER_SIGNS[byteorder]}I")
    while offset < len(data):
        if data[offset + 18] == _TIME_WAIT_TIMER:
            aged = bytearray(data) if aged is None else aged
            expires.pack_into(aged, offset + 68, max(expires.unpack_from(data, offset + 68)[0] - elapsed_ms, 0))
        offset += (int.from_bytes(data[offset : offset + 4], byteorder) + 3) & ~3
    return data if aged is None else bytes(aged)


def has_ports(data: bytes, ports: Iterable[int], byteorder: ByteOrder) -> bool:
    """Whether some row of a raw table has one of these ports at an end: idiag_sport, idiag_dport.

    True of a table with a damaged length. Costs about 0.1 us a row.
    """
    # They stand in network order, and are read in the machine's, once for each row.
    wanted = {int.from_bytes(port.to_bytes(2, "big"), byteorder) for port in ports}
    return _has_row(data, byteorder, "16xHH", lambda local, remote: local in wanted or remote in wanted)


def _has_row(data: bytes, byteorder: ByteOrder, fields: str, is_it: Callable[..., bool]) -> bool:
    """Whether some row is one of those looked for, or may be; `fields` follow nlmsg_len, as struct has them."""
    offset, view, start = 0, memoryview(data), f"{ORDER_SIGNS[byteorder]}I{fields}"
    read = struct.calcsize(start)
    while run := _measure_run(data, offset, byteorder):
        length, size, count = run
        layout = struct.Struct(f"{start}{size - read}x")
        for row_length, *found in layout.iter_unpack(view[offset : offset + count * size]):
            if row_length != length:
                break
            if is_it(*found):
                return True
            offset += size
    return offset < len(data)


def decode_table(
    data: bytes,
    protocol: Protocol,
    byteorder: ByteOrder,
    *,
    mptcp: bool | None = None,
    decoder: "InetDecoder | None" = None,
) -> Decoded:
    """All rows of a raw table, each once, and one error for each damaged one.

    `mptcp` is what every row says of it: the table itself does not tell. `decoder` is what has decoded other
    tables of the same pass.

    A damaged length hides the rest of the table: one error. A row is known by its cookie together
    with its inode and tuple (an accepted MPTCP subflow has the cookie of its listener).
    """
    rows, errors = (decoder or InetDecoder(byteorder)).decode(data, protocol, mptcp=mptcp)
    return _leave_out_repeated(rows), errors


class InetDecoder:
    """Decodes one table after the other; what their rows have in common, as address texts, it decodes once."""

    def __init__(self, byteorder: ByteOrder) -> None:
        self.byteorder = byteorder
        self._layouts = Layouts(byteorder)
        self._ipv4 = Ipv4Texts()
        self._ipv6 = Ipv6Texts()
        self._mapped = MappedTexts()
        self._associations = Kinds(association=True)
        self._parts: dict[Protocol, tuple[Kinds, AttributesByBytes]] = {}

    def decode(self, data: bytes, protocol: Protocol, *, mptcp: bool | None) -> Decoded:
        """As decode_table(), with what the kernel repeated. Costs 1 us a row, most of it in making its three tuples."""
        rows: list[SocketRow] = []
        errors: list[FormatError] = []
        (kinds, attributes), associations = self._find_parts(protocol), self._associations
        ipv4, ipv6, mapped_texts, ipv4_family = self._ipv4, self._ipv6, self._mapped, Family.IPV4
        # TCP that says CLOSE is bound and idle, or a connection that closed while it was dumped, which has a peer.
        idle = SocketState.CLOSE if protocol is Protocol.TCP else None
        offset, end, padded = 0, len(data), memoryview(data.ljust(len(data) + -len(data) % 4, b"\0"))
        while offset < end:
            length = int.from_bytes(data[offset : offset + 4], self.byteorder)
            if length < ROW_BYTES or offset + length > end:
                errors.append(FormatError("an inet_diag message", data[offset : offset + ROW_BYTES]))
                break
            layout, size = self._layouts[length], length + -length % 4
            whole = ((end - offset - length) // size + 1) * size
            for (
                row_length, head, local_high, local_low, remote_high, remote_low, local_bytes, remote_bytes,
                interface, cookie, cookie_high, expires_ms, rx_queue, tx_queue, uid, inode, rest,
            ) in layout.iter_unpack(padded[offset : offset + whole]):  # fmt: skip
                if row_length != length:
                    break
                offset += size
                try:
                    cgroup_id, v6only, options, tcp_info, is_association = attributes[rest]
                    family, state, is_mini, timer = (associations if is_association else kinds)[head]
                except FormatError as err:
                    errors.append(FormatError(err.expected, data[offset - size : offset - size + length]))
                    continue
                local_port, remote_port = local_high << 8 | local_low, remote_high << 8 | remote_low
                mapped = family is not ipv4_family and is_mapped(local_bytes, remote_bytes)
                if mapped:
                    family = ipv4_family
                    local_text, local_raw = mapped_texts[local_bytes]
                    remote_text, remote_raw = mapped_texts[remote_bytes]
                    local = _new(Endpoint, (local_text, local_port, local_raw))
                    remote = _new(Endpoint, (remote_text, remote_port, remote_raw))
                else:
                    texts = ipv4 if family is ipv4_family else ipv6
                    local = _new(Endpoint, (texts[local_bytes], local_port, None))
                    remote = _new(Endpoint, (texts[remote_bytes], remote_port, None))
                rows.append(_new(SocketRow, (
                    protocol, family, mapped,
                    SocketState.BOUND_INACTIVE if state is idle and not remote_port else state,
                    local, remote, interface, inode, cookie_high << 32 | cookie,
                    None if is_mini else uid, rx_queue, tx_queue, cgroup_id, v6only, mptcp,
                    None if tcp_info is None or state in NO_CONNECTION else tcp_info,
                    None if timer is None else _new(Timer, (timer, expires_ms, head[3])), options,
                )))  # fmt: skip
        return rows, errors

    def _find_parts(self, protocol: Protocol) -> tuple[Kinds, AttributesByBytes]:
        if protocol not in self._parts:
            kinds = Kinds(timers=protocol is Protocol.TCP)
            self._parts[protocol] = kinds, AttributesByBytes(protocol, self.byteorder)
        return self._parts[protocol]


class KnownTable(NamedTuple):
    """A table and its rows, as decode_table() had them; it had no errors."""

    data: bytes
    mptcp: bool | None
    rows: list[SocketRow]


class InetTables:
    """The inet_diag tables of one netns, those of an earlier pass beside them: what stands in both is decoded once.

    `before` and `tables` have them by what the caller calls each.
    """

    def __init__(self, decoder: InetDecoder, before: Mapping[object, KnownTable]) -> None:
        self.tables: dict[object, KnownTable] = {}
        self._decoder = decoder
        self._before = before

    def decode(self, name: object, data: bytes, protocol: Protocol, *, mptcp: bool | None) -> Decoded:
        """See decode_table(); a row whose message stood in the earlier table is the very row that it was there."""
        before = self._before.get(name)
        rows = None if before is None or before.mptcp is not mptcp else self._decode_new(data, protocol, before)
        errors: list[FormatError] = []
        if rows is None:
            rows, errors = decode_table(data, protocol, self._decoder.byteorder, mptcp=mptcp, decoder=self._decoder)
        if not errors:
            self.tables[name] = KnownTable(data, mptcp, rows)
        return rows, errors

    def _decode_new(self, data: bytes, protocol: Protocol, before: KnownTable) -> list[SocketRow] | None:
        """The rows of a table, of which only those are decoded that are new; None where one is damaged.

        Costs 0.5 us a row, and nothing where all are as they were.
        """
        if data == before.data:
            return before.rows
        earlier = _list_bodies(before.data, self._decoder.byteorder)
        if len(earlier) != len(before.rows):  # The kernel repeated some.
            return None
        known = dict(zip(earlier, before.rows, strict=True))
        bodies = _list_bodies(data, self._decoder.byteorder)
        rows = list(map(known.get, bodies))
        messages, offset = [], 0
        for body, row in zip(bodies, rows, strict=True):
            start = offset
            offset += (HEADER_BYTES + len(body) + 3) & ~3
            if row is None:
                messages.append(data[start:offset])
        new, errors = self._decoder.decode(b"".join((*messages, data[offset:])), protocol, mptcp=before.mptcp)
        if errors:
            return None
        of_new = iter(new)
        return _leave_out_repeated([*(next(of_new) if row is None else row for row in rows), *of_new])


def _list_bodies(data: bytes, byteorder: ByteOrder) -> list[bytes]:
    """The messages of a table, up to a damaged length, without the headers, which tell of the dump."""
    bodies: list[bytes] = []
    offset, view = 0, memoryview(data)
    while run := _measure_run(data, offset, byteorder):
        length, size, count = run
        layout = struct.Struct(f"{ORDER_SIGNS[byteorder]}I12x{length - HEADER_BYTES}s{size - length}x")
        for row_length, body in layout.iter_unpack(view[offset : offset + count * size]):
            if row_length != length:
                break
            bodies.append(body)
            offset += size
    return bodies


def _leave_out_repeated(rows: list[SocketRow]) -> list[SocketRow]:
    """Each row once; a row is known as decode_table() says."""
    if len(set(map(attrgetter("cookie"), rows))) == len(rows):  # Nearly always: 0.1 us a row.
        return rows
    unique: dict[tuple[object, ...], SocketRow] = {}
    for row in rows:
        unique.setdefault((row.cookie, row.inode, row.local, row.remote), row)
    return list(unique.values())


def _measure_run(data: bytes, offset: int, byteorder: ByteOrder) -> tuple[int, int, int] | None:
    """The length of the message at `offset`, the same with its padding, and how many like it fit into the rest.

    None at the end of the table, and at a damaged length.
    """
    length = int.from_bytes(data[offset : offset + 4], byteorder)
    size = (length + 3) & ~3
    count = (len(data) - offset) // size if length >= ROW_BYTES else 0
    return (length, size, count) if count else None


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
    place = _find_attribute(data, offset, length, CGROUP_ID, order)
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
