"""Flows that the kernel tracks, as nfnetlink tells that they begin and that it forgets them.

Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h, nfnetlink.h; net/netfilter/nf_conntrack_netlink.c
ctnetlink_conntrack_event().
"""

import struct
from collections.abc import Mapping
from socket import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, inet_ntop
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.netlink import HEADER_BYTES
from nsagent.kernel.formats.small_table import ORDER_SIGNS, decode_attributes
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol

NETLINK_NETFILTER: Final = 12
NFNLGRP_CONNTRACK_NEW: Final = 1
NFNLGRP_CONNTRACK_DESTROY: Final = 3

_NEW, _DELETE = 0x100, 0x102
"""NFNL_SUBSYS_CTNETLINK in the upper byte, IPCTNL_MSG_CT_NEW and IPCTNL_MSG_CT_DELETE in the lower."""
_FIXED_BYTES: Final = 4
"""struct nfgenmsg."""
_TYPE: Final = 0x3FFF
"""NLA_TYPE_MASK: without the bits that say that an attribute is nested, or in network order."""
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY = 1, 2
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT, _CTA_PROTO_DST_PORT = 1, 2, 3
_PROTOCOLS: Final = {IPPROTO_TCP: Protocol.TCP, IPPROTO_UDP: Protocol.UDP}


class _Addresses(NamedTuple):
    """How addresses of a family are told: as which one, and the attributes of the two of a tuple."""

    family: Family
    number: int
    size: int
    source: int
    destination: int


_FAMILIES: Final[Mapping[int, _Addresses]] = {
    AF_INET: _Addresses(Family.IPV4, AF_INET, 4, 1, 2),
    AF_INET6: _Addresses(Family.IPV6, AF_INET6, 16, 3, 4),
}


class Way(NamedTuple):
    """Packets of a flow in one direction."""

    source: Endpoint
    destination: Endpoint


class Flow(NamedTuple):
    """A flow of TCP or UDP that has begun, or (`ended`) that the kernel has forgotten."""

    ended: bool
    protocol: Protocol
    family: Family
    original: Way
    """As who began it sent it."""
    reply: Way
    """As the answer comes: without NAT the other way round."""


def decode_flow(message: bytes, byteorder: ByteOrder) -> Flow | None:
    """The flow that a message tells of, None for other protocols and messages; raises FormatError. Takes 15 us."""
    if len(message) < HEADER_BYTES + _FIXED_BYTES:
        raise FormatError("a message of nfnetlink", message)
    length, type_ = struct.unpack_from(ORDER_SIGNS[byteorder] + "IH", message)
    if not HEADER_BYTES + _FIXED_BYTES <= length <= len(message):
        raise FormatError("a netlink message within its datagram", message)
    addresses = _FAMILIES.get(message[HEADER_BYTES])
    if type_ not in (_NEW, _DELETE) or addresses is None:
        return None
    attributes = _decode(message[:length], HEADER_BYTES + _FIXED_BYTES, byteorder)
    original = _decode_way(attributes.get(_CTA_TUPLE_ORIG, b""), addresses, byteorder)
    reply = _decode_way(attributes.get(_CTA_TUPLE_REPLY, b""), addresses, byteorder)
    if original is None or reply is None:
        return None
    return Flow(type_ == _DELETE, original[0], addresses.family, original[1], reply[1])


def _decode_way(told: bytes, addresses: _Addresses, byteorder: ByteOrder) -> tuple[Protocol, Way] | None:
    attributes = _decode(told, 0, byteorder)
    ip, ends = (_decode(attributes.get(each, b""), 0, byteorder) for each in (_CTA_TUPLE_IP, _CTA_TUPLE_PROTO))
    protocol = _PROTOCOLS.get(int.from_bytes(ends.get(_CTA_PROTO_NUM, b""), byteorder))
    if protocol is None:
        return None
    source = _read_end(ip.get(addresses.source), ends.get(_CTA_PROTO_SRC_PORT), addresses, told)
    destination = _read_end(ip.get(addresses.destination), ends.get(_CTA_PROTO_DST_PORT), addresses, told)
    return protocol, Way(source, destination)


def _read_end(address: bytes | None, port: bytes | None, addresses: _Addresses, told: bytes) -> Endpoint:
    if address is None or len(address) != addresses.size or port is None or len(port) != 2:
        raise FormatError("both ends of a flow", told)
    return Endpoint(inet_ntop(addresses.number, address), int.from_bytes(port, "big"))


def _decode(message: bytes, fixed_bytes: int, byteorder: ByteOrder) -> dict[int, bytes]:
    return {type_ & _TYPE: value for type_, value in decode_attributes(message, fixed_bytes, byteorder).items()}
