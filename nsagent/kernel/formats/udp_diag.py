"""UDP rows of sock_diag as sockets of tunnels: the end that one is bound to, and which are WireGuard's.

WireGuard lets its sockets send as much as a number can say. A process cannot have that: what it
asks for is doubled, which gives an even number, and what it does not ask for is net.core.wmem_default. What
WireGuard itself answers (WG_CMD_GET_DEVICE) needs CAP_NET_ADMIN, and holds the private key beside the port.

Source: include/uapi/linux/inet_diag.h; drivers/net/wireguard/socket.c set_sock_opts(),
wg_socket_init(); net/core/sock.c sk_setsockopt() SO_SNDBUF and SO_SNDBUFFORCE, sk_get_meminfo().
"""

import struct
from socket import AF_INET, AF_INET6
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.netlink import HEADER_BYTES
from nsagent.kernel.formats.small_table import decode_attributes, read_memory, split_messages
from nsagent.model.facts import TunnelEnd
from nsagent.model.net import ByteOrder, Family

MOST_BYTES: Final = 0x7FFFFFFF
"""INT_MAX."""

_ATTRIBUTE_SKMEMINFO: Final = 7
_SK_MEMINFO_SNDBUF: Final = 3
_MESSAGE: Final = struct.Struct("=B3x2s2s16s16x4s28x")
"""struct inet_diag_msg: family, local and remote port, local address, device; no field in the machine's byte order."""
_NO_PORT: Final = bytes(2)
_FAMILIES: Final = {AF_INET: Family.IPV4, AF_INET6: Family.IPV6}


def read_end(table: bytes, offset: int) -> TunnelEnd | None:
    """The local end of the row at this offset of a dump, as a RowPlace has it.

    None where it is connected, or bound to one address or device.
    """
    return _decode_end(table, offset + HEADER_BYTES)


def decode_wireguard(table: bytes, byteorder: ByteOrder) -> list[TunnelEnd]:
    """The ends of WireGuard's sockets, of a dump with the memory of each socket; raises FormatError.

    `table` is told by a kernel whose net.core.wmem_default is less than MOST_BYTES.
    """
    ends = []
    most = MOST_BYTES.to_bytes(4, byteorder)
    for message in split_messages(table, byteorder):
        if most not in message:  # Nearly all rows: 0.5 us each.
            continue
        if len(message) < _MESSAGE.size:
            raise FormatError("an inet_diag message", message)
        memory = decode_attributes(message, _MESSAGE.size, byteorder).get(_ATTRIBUTE_SKMEMINFO)
        if read_memory(memory, _SK_MEMINFO_SNDBUF, byteorder) == MOST_BYTES and (end := _decode_end(message, 0)):
            ends.append(end)
    return ends


def _decode_end(data: bytes, offset: int) -> TunnelEnd | None:
    family, port, remote_port, address, device = _MESSAGE.unpack_from(data, offset)
    if family not in _FAMILIES or remote_port != _NO_PORT or any(address) or any(device):
        return None
    return TunnelEnd(_FAMILIES[family], int.from_bytes(port, "big"))
