"""Rows of packet sockets: recorded ones as both tables show them, and messages by hand."""

import struct
from socket import AF_PACKET

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats import net_packet
from nsagent.kernel.formats.packet_diag import decode_table, encode_dump
from nsagent.model.ids import SocketCookie, SocketInode
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow, SocketState
from tests.kernel.diag_message import ORDER_SIGN, make_attribute
from tests.kernel.rows import read_recorded, read_recorded_text

INFO, UID, MEMINFO = 0, 5, 6


def make_row(
    ether_type: str,
    interface: int | None,
    inode: int,
    cookie: int | None,
    *,
    uid: int | None = 0,
    queues: tuple[int | None, int | None] = (0, 0),
) -> SocketRow:
    return SocketRow(
        Protocol.PACKET,
        Family.PACKET,
        mapped=False,
        state=SocketState.CLOSE,
        local=Endpoint(ether_type, 0),
        remote=Endpoint("*", 0),
        interface=interface,
        inode=SocketInode(inode),
        cookie=None if cookie is None else SocketCookie(cookie),
        uid=uid,
        rx_queue=queues[0],
        tx_queue=queues[1],
        cgroup_id=None,
        v6only=None,
    )


def make_message(
    ether_type: int, attributes: bytes, *, byteorder: ByteOrder = "little", family: int = AF_PACKET
) -> bytes:
    """struct packet_diag_msg of include/uapi/linux/packet_diag.h with its netlink header."""
    order = ORDER_SIGN[byteorder]
    body = struct.pack(order + "BBHIII", family, 3, ether_type, 7732, 0x05060708, 0x01020304) + attributes
    return struct.pack(order + "IHHII", 16 + len(body), 20, 2, 1, 0) + body


RECORDED = (
    make_row("0003", 0, 1329084, 500841, queues=(10332, 0)),
    make_row("0800", 1, 1329085, 500842, queues=(5166, 0)),
    make_row("0000", 0, 1329086, 500843),
)
"""For every EtherType; for IPv4, bound to interface 1; and one that takes nothing."""


def test_a_recorded_dump_gives_every_row_whole() -> None:
    rows, errors = decode_table(read_recorded("packet"), "little")
    assert (tuple(row for _, row in rows), errors) == (RECORDED, [])


def test_the_text_table_gives_the_same_rows_but_cookie_and_send_queue() -> None:
    rows, errors = net_packet.parse_table(read_recorded_text("packet"))
    expected = tuple(row._replace(cookie=None, tx_queue=None) for row in RECORDED)
    assert (tuple(row for _, row in rows), errors) == (expected, [])


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_every_field_is_read_in_the_byte_order_of_the_kernel(byteorder: ByteOrder) -> None:
    order = ORDER_SIGN[byteorder]
    attributes = b"".join(
        make_attribute(type_, struct.pack(order + f"{len(words)}I", *words), byteorder=byteorder)
        for type_, words in ((INFO, (5, 0, 0, 0, 0, 1)), (UID, (1000,)), (MEMINFO, (11, 0, 22, 0, 0, 0, 0, 0, 0)))
    )
    message = make_message(0x88CC, attributes, byteorder=byteorder)
    expected = make_row("88cc", 5, 7732, 0x0102030405060708, uid=1000, queues=(11, 22))
    assert decode_table(message, byteorder) == ([(0, expected)], [])


def test_what_the_kernel_does_not_tell_is_unknown() -> None:
    expected = make_row("0003", None, 7732, 0x0102030405060708, uid=None, queues=(None, None))
    assert decode_table(make_message(3, b""), "little") == ([(0, expected)], [])


def test_a_socket_whose_interface_was_deleted_has_none() -> None:
    message = make_message(3, make_attribute(INFO, struct.pack("=iIIIII", -1, 0, 0, 0, 0, 0)))
    expected = make_row("0003", None, 7732, 0x0102030405060708, uid=None, queues=(None, None))
    assert decode_table(message, "little") == ([(0, expected)], [])
    line = "0000000000000000 3 3 0003 -1 0 0 0 7732"
    assert net_packet.parse_row(line) == make_row("0003", None, 7732, None, queues=(0, None))


@pytest.mark.parametrize("damaged", [make_message(3, b"", family=2), make_message(3, b"\3\0\0\0")])
def test_a_damaged_row_is_one_error(damaged: bytes) -> None:
    rows, errors = decode_table(damaged + make_message(3, b""), "little")
    assert (len(rows), len(errors)) == (1, 1)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "0000000000000000 3 3 0003 0 1 0 0",
        "0000000000000000 3 3 10003 0 1 0 0 7732",
        "0000000000000000 3 3 0003 -2 1 0 0 7732",
        "0000000000000000 3 3 0003 0 1 0 0 x",
    ],
    ids=["empty", "a column short", "an EtherType of five digits", "a negative interface", "no inode"],
)
def test_a_bad_line_is_a_format_error(line: str) -> None:
    with pytest.raises(FormatError):
        net_packet.parse_row(line)


def test_the_request_is_a_struct_packet_diag_req_for_info_and_memory() -> None:
    assert encode_dump() == struct.pack("=BBHIIII", AF_PACKET, 0, 0, 0, 0x1 | 0x10, 0, 0)
