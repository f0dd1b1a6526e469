"""Rows of netlink sockets: recorded ones as both tables show them, and messages by hand."""

import struct
from socket import AF_NETLINK

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats import net_netlink
from nsagent.kernel.formats.netlink_diag import decode_table, encode_dump
from nsagent.model.ids import SocketCookie, SocketInode
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow, SocketState
from tests.kernel.diag_message import ORDER_SIGN, make_attribute
from tests.kernel.rows import read_recorded, read_recorded_text

NOBODY = Endpoint("*", 0)
MEMINFO = 0


def make_row(
    local: Endpoint,
    inode: int,
    cookie: int | None,
    *,
    remote: Endpoint = NOBODY,
    queues: tuple[int, int | None] = (0, 0),
) -> SocketRow:
    state = SocketState.CLOSE if remote is NOBODY else SocketState.ESTABLISHED
    known = None if cookie is None else SocketCookie(cookie)
    numbers = (None, SocketInode(inode), known, None, *queues, None, None)
    return SocketRow(Protocol.NETLINK, Family.NETLINK, False, state, local, remote, *numbers)


def make_message(
    *,
    byteorder: ByteOrder = "little",
    family: int = AF_NETLINK,
    number: int = 16,
    state: int = 7,
    port_ids: tuple[int, int] = (4711, 0),
    inode: int = 7732,
    attributes: bytes = b"",
) -> bytes:
    """struct netlink_diag_msg of include/uapi/linux/netlink_diag.h with its netlink header."""
    order = ORDER_SIGN[byteorder]
    body = struct.pack(order + "BBBBIIIIII", family, 3, number, state, *port_ids, 0, inode, 0x05060708, 0x01020304)
    return struct.pack(order + "IHHII", 16 + len(body + attributes), 20, 2, 1, 0) + body + attributes


RECORDED = (
    make_row(Endpoint("route", 0), 1329061, 500852),
    make_row(Endpoint("route", 4711), 1329087, 500844),
    make_row(Endpoint("sock_diag", 20144), 1329098, 500853, queues=(33024, 0)),
    make_row(Endpoint("sock_diag", 0), 1329067, 500854, queues=(832, 0)),
    make_row(Endpoint("xfrm", 0), 1329069, 500855),
    make_row(Endpoint("audit", 0), 1329063, 500856),
    make_row(Endpoint("fib_lookup", 0), 1329065, 500857),
    make_row(Endpoint("netfilter", 0), 1329068, 500858),
    make_row(Endpoint("kobject_uevent", 0), 1329064, 500859),
    make_row(Endpoint("generic", 4712), 1329088, 500845, remote=Endpoint("generic", 0)),
    make_row(Endpoint("generic", 0), 1329062, 500860),
)
"""Nine of the kernel, one with a group, which the dump has twice, one connected, and the recorder's own."""


def test_a_recorded_dump_gives_every_row_whole_and_once() -> None:
    rows, errors = decode_table(read_recorded("netlink"), "little")
    assert (tuple(row for _, row in rows), errors) == (RECORDED, [])


def test_the_text_table_gives_the_same_sockets_without_cookie_and_other_end() -> None:
    rows, errors = net_netlink.parse_table(read_recorded_text("netlink"))
    expected = [
        row._replace(cookie=None, state=SocketState.CLOSE, remote=NOBODY, rx_queue=0)
        for row in RECORDED
        if row.inode != 1329098  # The recorder had closed it by then.
    ]
    assert ([row for _, row in rows], errors) == (expected, [])


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_every_field_is_read_in_the_byte_order_of_the_kernel(byteorder: ByteOrder) -> None:
    words = struct.pack(ORDER_SIGN[byteorder] + "9I", 11, 0, 22, 0, 0, 0, 0, 0, 0)
    message = make_message(
        byteorder=byteorder,
        state=1,
        port_ids=(0xFFFFF000, 99),
        attributes=make_attribute(MEMINFO, words, byteorder=byteorder),
    )
    expected = make_row(
        Endpoint("generic", 0xFFFFF000), 7732, 0x0102030405060708, remote=Endpoint("generic", 99), queues=(11, 22)
    )
    assert decode_table(message, byteorder) == ([(0, expected)], [])


def test_a_protocol_without_a_name_is_its_number() -> None:
    ((_, row),) = decode_table(make_message(number=31), "little").rows
    assert row.local == Endpoint("31", 4711)


def test_a_socket_that_was_disconnected_has_no_other_end() -> None:
    ((_, row),) = decode_table(make_message(state=0), "little").rows
    assert (row.state, row.remote) == (SocketState.CLOSE, NOBODY)


@pytest.mark.parametrize("damaged", [make_message(family=2), make_message(attributes=b"\3\0\0\0")])
def test_a_damaged_row_is_one_error(damaged: bytes) -> None:
    rows, errors = decode_table(damaged + make_message(), "little")
    assert (len(rows), len(errors)) == (1, 1)


@pytest.mark.parametrize("line", ["", "0 16 4711 0 0 0 0 2 0", "0 x 4711 0 0 0 0 2 0 7732", "0 16 -1 0 0 0 0 2 0 7732"])
def test_a_bad_line_is_a_format_error(line: str) -> None:
    with pytest.raises(FormatError):
        net_netlink.parse_row(line)


def test_the_request_is_a_struct_netlink_diag_req_for_every_protocol() -> None:
    assert encode_dump() == struct.pack("=BBHIIII", AF_NETLINK, 0xFF, 0, 0, 0x1, 0, 0)
