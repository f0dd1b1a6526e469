"""What the decoders of small tables share: rows one by one, each once, with the place where each stands.

These tables have few rows on every host (packet, netlink, vsock, SCTP): they are decoded in the
clearest way, where those of TCP and UDP are decoded in the fastest.
"""

import struct
from collections.abc import Callable, Container, Iterator
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.netlink import HEADER_BYTES
from nsagent.kernel.formats.row_place import RowIndex, RowPlace
from nsagent.model.ids import SocketCookie, SocketInode
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow, SocketState

ORDER_SIGNS: Final[dict[ByteOrder, str]] = {"little": "<", "big": ">"}
"""The byte order as the struct module writes it."""

NOBODY: Final = Endpoint("*", 0)
"""The other end of a socket that has none."""

MAX_ERRORS: Final = 1000

SK_MEMINFO_RMEM_ALLOC: Final = 0
SK_MEMINFO_WMEM_ALLOC: Final = 2
"""Places in an array of u32 that sock_diag gives of any socket (include/uapi/linux/sock_diag.h)."""


class PlacedRows(NamedTuple):
    """The rows of a table, each with its offset in bytes, and one error for each damaged one."""

    rows: list[tuple[int, SocketRow]]
    errors: list[FormatError]


def decode_messages(data: bytes, byteorder: ByteOrder, decode_row: Callable[[bytes], SocketRow]) -> PlacedRows:
    """The rows of a netlink dump; `decode_row` is given each message without its netlink header.

    A damaged length hides the rest of the table: one error. The kernel shows a netlink socket with
    groups twice: a row is known by cookie, inode and ends.
    """
    return _collect(_split_messages(data, byteorder), decode_row)


def parse_lines(data: bytes, parse_row: Callable[[str], SocketRow]) -> PlacedRows:
    """The rows of a text table without its header line; a table that was read twice gives each once.

    After MAX_ERRORS bad rows what follows is given up: this is no such table.
    """
    return _collect(_split_lines(data), lambda line: parse_row(line.decode("ascii", "replace")))


def index_rows(placed: PlacedRows) -> RowIndex:
    """What these rows name."""
    rows = [row for _, row in placed.rows]
    return RowIndex({row.inode for row in rows if row.inode}, {row.interface for row in rows if row.interface}, set())


def find_rows(placed: PlacedRows, inodes: Container[int]) -> list[RowPlace]:
    """The places of the rows with one of these inodes, without the kernel's own ends of netlink (port id 0)."""
    return [
        RowPlace(offset, row.inode, row.uid or 0, row.state is SocketState.LISTEN)
        for offset, row in placed.rows
        if row.inode in inodes and row.inode and (row.protocol is not Protocol.NETLINK or row.local.port)
    ]


def decode_attributes(message: bytes, fixed_bytes: int, byteorder: ByteOrder) -> dict[int, bytes]:
    """The attributes after the fixed part of a message, by type; raises FormatError."""
    read = struct.Struct(ORDER_SIGNS[byteorder] + "HH").unpack_from
    attributes = {}
    offset = fixed_bytes
    while offset + 4 <= len(message):
        size, type_ = read(message, offset)
        if size < 4 or offset + size > len(message):
            raise FormatError("a netlink attribute within its message", message)
        attributes[type_] = message[offset + 4 : offset + size]
        offset += (size + 3) & ~3
    return attributes


def read_memory(attribute: bytes | None, place: int, byteorder: ByteOrder) -> int | None:
    """One number of an SK_MEMINFO attribute; None where the kernel gave none."""
    word = (attribute or b"")[4 * place : 4 * place + 4]
    return int.from_bytes(word, byteorder) if len(word) == 4 else None


def make_row(
    family: Family,
    protocol: Protocol,
    state: SocketState,
    local: Endpoint,
    remote: Endpoint,
    inode: int,
    *,
    interface: int | None = None,
    cookie: int | None = None,
    uid: int | None = None,
    rx_queue: int | None = None,
    tx_queue: int | None = None,
) -> SocketRow:
    """A row with what these tables tell."""
    return SocketRow(
        protocol=protocol,
        family=family,
        mapped=False,
        state=state,
        local=local,
        remote=remote,
        interface=interface,
        inode=SocketInode(inode),
        cookie=None if cookie is None else SocketCookie(cookie),
        uid=uid,
        rx_queue=rx_queue,
        tx_queue=tx_queue,
        cgroup_id=None,
        v6only=None,
    )


def split_messages(data: bytes, byteorder: ByteOrder) -> Iterator[bytes]:
    """The messages of a netlink dump, each without its header; raises FormatError for a damaged length."""
    for _, piece in _split_messages(data, byteorder):
        if isinstance(piece, FormatError):
            raise piece
        yield piece


def _collect(pieces: Iterator[tuple[int, bytes | FormatError]], decode_row: Callable[[bytes], SocketRow]) -> PlacedRows:
    rows: dict[tuple[object, ...], tuple[int, SocketRow]] = {}
    errors: list[FormatError] = []
    for offset, piece in pieces:
        try:
            if isinstance(piece, FormatError):
                raise piece
            row = decode_row(piece)
        except FormatError as err:
            errors.append(err)
            if len(errors) == MAX_ERRORS:
                break
        else:
            rows.setdefault((row.cookie, row.inode, row.local, row.remote), (offset, row))
    return PlacedRows(list(rows.values()), errors)


def _split_messages(data: bytes, byteorder: ByteOrder) -> Iterator[tuple[int, bytes | FormatError]]:
    offset = 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], byteorder)
        if length < HEADER_BYTES or offset + length > len(data):
            yield offset, FormatError("a netlink message within its table", data[offset : offset + 64])
            return
        yield offset, data[offset + HEADER_BYTES : offset + length]
        offset += (length + 3) & ~3


def _split_lines(data: bytes) -> Iterator[tuple[int, bytes | FormatError]]:
    offset = 0
    for line in data.splitlines(keepends=True):
        yield offset, line
        offset += len(line)
