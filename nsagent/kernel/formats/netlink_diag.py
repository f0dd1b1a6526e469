"""NETLINK_SOCK_DIAG for AF_NETLINK sockets: the request, and the rows of a dump.

The kernel's own sockets stand there too, with port id 0 and an inode that no fd can show. A socket
that was never bound, and never sent anything, has no port id and stands in no table.

Source: netlink(7), include/uapi/linux/netlink_diag.h, net/netlink/diag.c sk_diag_fill().
"""

import struct
from socket import AF_NETLINK
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

_ALL_PROTOCOLS: Final = 0xFF
_SHOW_MEMINFO: Final = 0x1
_ATTRIBUTE_MEMINFO: Final = 0

_CONNECTED: Final = 1
"""NETLINK_CONNECTED of net/netlink/af_netlink.c: its messages go to one port id unless they say otherwise."""

_FIXED = "BxBBII4xIII"
"""struct netlink_diag_msg: family, type, protocol, state, port ids of both ends, group, inode, cookie (low first)."""

NETLINK_PROTOCOLS: Final = {
    0: "route",
    2: "usersock",
    3: "firewall",
    4: "sock_diag",
    5: "nflog",
    6: "xfrm",
    7: "selinux",
    8: "iscsi",
    9: "audit",
    10: "fib_lookup",
    11: "connector",
    12: "netfilter",
    13: "ip6_fw",
    14: "dnrtmsg",
    15: "kobject_uevent",
    16: "generic",
    18: "scsitransport",
    19: "ecryptfs",
    20: "rdma",
    21: "crypto",
    22: "smc",
}
"""The constants NETLINK_* of include/uapi/linux/netlink.h in lower case."""


def encode_dump() -> bytes:
    """Payload of the SOCK_DIAG_BY_FAMILY that dumps the sockets of every netlink protocol."""
    return struct.pack("=BBHIIQ", AF_NETLINK, _ALL_PROTOCOLS, 0, 0, _SHOW_MEMINFO, 0)


def decode_table(data: bytes, byteorder: ByteOrder) -> PlacedRows:
    """All rows of a raw table, each once, and one error for each damaged one."""
    return decode_messages(data, byteorder, lambda message: decode_row(message, byteorder))


def decode_row(message: bytes, byteorder: ByteOrder) -> SocketRow:
    """One socket; the table has no uid. Raises FormatError."""
    fixed = struct.Struct(ORDER_SIGNS[byteorder] + _FIXED)
    if len(message) < fixed.size or message[0] != AF_NETLINK:
        raise FormatError("a netlink_diag message", message)
    _, number, state, port_id, remote_id, inode, cookie_low, cookie_high = fixed.unpack_from(message)
    memory = decode_attributes(message, fixed.size, byteorder).get(_ATTRIBUTE_MEMINFO)
    name = name_protocol(number)
    connected = state == _CONNECTED
    return make_row(
        Family.NETLINK,
        Protocol.NETLINK,
        SocketState.ESTABLISHED if connected else SocketState.CLOSE,
        Endpoint(name, port_id),
        Endpoint(name, remote_id) if connected else NOBODY,
        inode,
        cookie=cookie_high << 32 | cookie_low,
        rx_queue=read_memory(memory, SK_MEMINFO_RMEM_ALLOC, byteorder),
        tx_queue=read_memory(memory, SK_MEMINFO_WMEM_ALLOC, byteorder),
    )


def name_protocol(number: int) -> str:
    """What the rows call a netlink protocol; the number where it has no name."""
    return NETLINK_PROTOCOLS.get(number, str(number))
