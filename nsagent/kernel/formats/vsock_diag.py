"""NETLINK_SOCK_DIAG for AF_VSOCK sockets: the request, and the rows of a dump.

Source: vsock(7), include/uapi/linux/vm_sockets_diag.h, net/vmw_vsock/diag.c sk_diag_fill().
"""

import struct
from socket import AF_VSOCK
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.small_table import ORDER_SIGNS, PlacedRows, decode_messages, make_row
from nsagent.kernel.formats.socket_state import SOCKET_STATES
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow

_ANY: Final = 0xFFFFFFFF
"""VMADDR_CID_ANY and VMADDR_PORT_ANY of include/uapi/linux/vm_sockets.h."""

_FIXED = "BxBxIIIIIII"
"""struct vsock_diag_msg: family, type, state, shutdown, context id and port of both ends, inode, cookie (low first)."""


def encode_dump() -> bytes:
    """Payload of the SOCK_DIAG_BY_FAMILY that dumps vsock sockets of every state."""
    return struct.pack("=BBHIIIQ", AF_VSOCK, 0, 0, _ANY, 0, 0, 0)


def decode_table(data: bytes, byteorder: ByteOrder) -> PlacedRows:
    """All rows of a raw table, and one error for each damaged one."""
    return decode_messages(data, byteorder, lambda message: decode_row(message, byteorder))


def decode_row(message: bytes, byteorder: ByteOrder) -> SocketRow:
    """One socket, with the states of TCP; the table has no uid. Raises FormatError."""
    fixed = struct.Struct(ORDER_SIGNS[byteorder] + _FIXED)
    if len(message) < fixed.size or message[0] != AF_VSOCK:
        raise FormatError("a vsock_diag message", message)
    _, number, own_cid, own_port, cid, port, inode, cookie_low, cookie_high = fixed.unpack_from(message)
    state = SOCKET_STATES.get(number)
    if state is None:
        raise FormatError("a known state", message)
    return make_row(
        Family.VSOCK,
        Protocol.VSOCK,
        state,
        _make_endpoint(own_cid, own_port),
        _make_endpoint(cid, port),
        inode,
        cookie=cookie_high << 32 | cookie_low,
    )


def _make_endpoint(cid: int, port: int) -> Endpoint:
    return Endpoint("*" if cid == _ANY else str(cid), 0 if port == _ANY else port)
