"""NETLINK_SOCK_DIAG for AF_PACKET sockets: the request, and the rows of a dump.

Source: packet(7), include/uapi/linux/packet_diag.h, net/packet/diag.c sk_diag_fill().
"""

import struct
from socket import AF_PACKET
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.small_table import (
    NOBODY,
    ORDER_SIGNS,
    SK_MEMINFO_RMEM_ALLOC,
    SK_MEMINFO_WMEM_ALLOC,
    PlacedRows,
    decode_attributes,
    decode_messages,
    make_row,
    read_memory,
)
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol, SocketRow, SocketState

_SHOW_INFO: Final = 0x1
_SHOW_MEMINFO: Final = 0x10

_ATTRIBUTE_INFO: Final = 0
_ATTRIBUTE_UID: Final = 5
_ATTRIBUTE_MEMINFO: Final = 6

_FIXED = "BxHIII"
"""struct packet_diag_msg: family, type, EtherType in host order, inode, cookie (low word first)."""

_GONE: Final = b"\xff\xff\xff\xff"
"""-1, the interface of a socket whose own was deleted (net/packet/af_packet.c packet_notifier())."""


def encode_dump() -> bytes:
    """Payload of the SOCK_DIAG_BY_FAMILY that dumps packet sockets, with what their rows need."""
    return struct.pack("=BBHIIQ", AF_PACKET, 0, 0, 0, _SHOW_INFO | _SHOW_MEMINFO, 0)


def decode_table(data: bytes, byteorder: ByteOrder) -> PlacedRows:
    """All rows of a raw table, and one error for each damaged one."""
    return decode_messages(data, byteorder, lambda message: decode_row(message, byteorder))


def decode_row(message: bytes, byteorder: ByteOrder) -> SocketRow:
    """One socket; its EtherType is 0000 until it is bound to one. Raises FormatError.

    A socket whose interface was deleted is bound to none that there is, and has None.
    """
    fixed = struct.Struct(ORDER_SIGNS[byteorder] + _FIXED)
    if len(message) < fixed.size or message[0] != AF_PACKET:
        raise FormatError("a packet_diag message", message)
    _, ether_type, inode, cookie_low, cookie_high = fixed.unpack_from(message)
    attributes = decode_attributes(message, fixed.size, byteorder)
    interface = attributes.get(_ATTRIBUTE_INFO, b"")[:4]
    uid = attributes.get(_ATTRIBUTE_UID, b"")[:4]
    memory = attributes.get(_ATTRIBUTE_MEMINFO)
    return make_row(
        Family.PACKET,
        Protocol.PACKET,
        SocketState.CLOSE,
        Endpoint(f"{ether_type:04x}", 0),
        NOBODY,
        inode,
        interface=int.from_bytes(interface, byteorder) if len(interface) == 4 and interface != _GONE else None,
        cookie=cookie_high << 32 | cookie_low,
        uid=int.from_bytes(uid, byteorder) if len(uid) == 4 else None,
        rx_queue=read_memory(memory, SK_MEMINFO_RMEM_ALLOC, byteorder),
        tx_queue=read_memory(memory, SK_MEMINFO_WMEM_ALLOC, byteorder),
    )
