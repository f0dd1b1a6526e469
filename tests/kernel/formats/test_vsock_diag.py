"""Rows of vsock_diag, by hand in both byte orders: few kernels have the table."""

import struct
from socket import AF_VSOCK

import pytest

from nsagent.kernel.formats.vsock_diag import decode_table, encode_dump
from nsagent.model.ids import SocketCookie, SocketInode
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow, SocketState
from tests.kernel.vsock_message import ANY, make_vsock


def make_row(state: SocketState, local: Endpoint, remote: Endpoint, *, cookie: int = 1) -> SocketRow:
    numbers = (None, SocketInode(7732), SocketCookie(cookie), None, None, None, None, None)
    return SocketRow(Protocol.VSOCK, Family.VSOCK, False, state, local, remote, *numbers)


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_every_field_is_read_in_the_byte_order_of_the_kernel(byteorder: ByteOrder) -> None:
    message = make_vsock(byteorder=byteorder, local=(3, 0x01020304), remote=(2, 9), cookie=0x0102030405060708)
    expected = make_row(SocketState.ESTABLISHED, Endpoint("3", 0x01020304), Endpoint("2", 9), cookie=0x0102030405060708)
    assert decode_table(message, byteorder) == ([(0, expected)], [])


def test_a_listener_on_any_context_has_no_other_end() -> None:
    message = make_vsock(state=10, local=(ANY, 1024), remote=(ANY, ANY))
    expected = make_row(SocketState.LISTEN, Endpoint("*", 1024), Endpoint("*", 0))
    assert decode_table(message, "little") == ([(0, expected)], [])


@pytest.mark.parametrize("damaged", [make_vsock(state=0), make_vsock(state=99), make_vsock()[:16] + bytes(32)])
def test_a_damaged_row_is_one_error_and_the_rows_around_it_stay(damaged: bytes) -> None:
    rows, errors = decode_table(make_vsock(cookie=1) + damaged + make_vsock(cookie=3), "little")
    assert ([row.cookie for _, row in rows], len(errors)) == ([1, 3], 1)


def test_a_message_cut_off_at_any_byte_is_an_error() -> None:
    for length in range(1, len(make_vsock())):
        rows, errors = decode_table(make_vsock()[:length], "little")
        assert (rows, len(errors)) == ([], 1)


def test_the_request_is_a_struct_vsock_diag_req_for_every_state() -> None:
    assert encode_dump() == struct.pack("=BBHIIIII", AF_VSOCK, 0, 0, 0xFFFFFFFF, 0, 0, 0, 0)
