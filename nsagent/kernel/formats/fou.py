"""FOU_CMD_GET: the UDP ports at which the kernel unwraps other protocols (foo over UDP, GUE) in a netns.

Source: ip-fou(8), include/uapi/linux/fou.h, net/ipv4/fou.c fou_create(), fou_fill_info().
"""

from socket import AF_INET, AF_INET6
from typing import Final

from nsagent.kernel.formats.generic_netlink import HEADER_BYTES
from nsagent.kernel.formats.small_table import decode_attributes, split_messages
from nsagent.model.facts import TunnelEnd
from nsagent.model.net import ByteOrder, Family

FAMILY: Final = b"fou"
FOU_CMD_GET: Final = 3

_PORT: Final = 1
_AF: Final = 2
_NARROWER: Final = (6, 7, 8, 9, 10, 11)
"""LOCAL_V4 to IFINDEX: one address, a peer, a device. Where a socket has none the kernel gives zeros, or nothing."""
_FAMILIES: Final = {bytes((AF_INET,)): Family.IPV4, bytes((AF_INET6,)): Family.IPV6}


def decode_ports(data: bytes, byteorder: ByteOrder) -> list[TunnelEnd]:
    """The sockets that are bound to any address, of a dump of all; raises FormatError."""
    ends = []
    for message in split_messages(data, byteorder):
        attributes = decode_attributes(message, HEADER_BYTES, byteorder)
        port, family = attributes.get(_PORT, b""), _FAMILIES.get(attributes.get(_AF, b""))
        if len(port) == 2 and family and not any(any(attributes.get(each, b"")) for each in _NARROWER):
            ends.append(TunnelEnd(family, int.from_bytes(port, "big")))
    return ends
