"""RTM_GETLINK: which UDP sockets the kernel has for the tunnels among the interfaces of a netns.

Such a socket is made when the interface goes up and bound to any address; it lives in the netns in
which the interface was made, which is another one once the interface has been moved.

Source: rtnetlink(7), include/uapi/linux/if_link.h; vxlan_open() and vxlan_sock_add() of
drivers/net/vxlan/vxlan_core.c, geneve_open() of drivers/net/geneve.c, bareudp_open() of
drivers/net/bareudp.c; rtnl_getlink(), rtnl_net_getid() of net/core.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.netlink import HEADER_BYTES
from nsagent.kernel.formats.small_table import ORDER_SIGNS, decode_attributes, split_messages
from nsagent.model.facts import TunnelEnd
from nsagent.model.net import ByteOrder, Family

RTM_GETLINK: Final = 18
RTM_NEWNSID: Final = 88
RTM_GETNSID: Final = 90
RTNLGRP_NSID: Final = 28

_IFF_UP: Final = 0x1
_IFLA_LINKINFO: Final = 18
_IFLA_EXT_MASK: Final = 29
_RTEXT_FILTER_SKIP_STATS: Final = 1 << 3
_IFLA_LINK_NETNSID: Final = 37
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_RTM_DELNSID: Final = 89
_NETNSA_NSID: Final = 1
_NETNSA_FD: Final = 3
_TYPE: Final = 0x3FFF
"""NLA_TYPE_MASK: without the bits that say that an attribute is nested, or in network order."""

_FIXED = "BxHiII"
"""struct ifinfomsg: family, hardware type, index, flags, mask of changes."""


class _Kind(NamedTuple):
    """The attributes of one kind of tunnel: its port, those that a tunnel over IPv6 has, that of one over both."""

    port: int
    ipv6: frozenset[int] = frozenset()
    both: int | None = None


_KINDS: Final = {
    b"vxlan": _Kind(15, frozenset((16, 17)), 25),
    b"geneve": _Kind(5, frozenset((7,)), 6),
    b"bareudp": _Kind(1),
}
"""By IFLA_INFO_KIND. The socket of a bareudp is one of IPv6 that takes IPv4 too, where there is IPv6."""


class Tunnel(NamedTuple):
    """One that is up: its sockets, and the id that its netns has for theirs, None where that is the same one."""

    nsid: int | None
    ends: tuple[TunnelEnd, ...]


def encode_links() -> bytes:
    """Payload of the RTM_GETLINK that dumps all interfaces, without their counters."""
    return struct.pack(f"={_FIXED}", 0, 0, 0, 0, 0) + struct.pack("=HHI", 8, _IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)


def encode_nsid(netns_fd: int) -> bytes:
    """Payload of the RTM_GETNSID that asks for the id of a netns."""
    return struct.pack("=B3x", 0) + struct.pack("=HHI", 8, _NETNSA_FD, netns_fd)


def encode_new_nsid(netns_fd: int) -> bytes:
    """Payload of the RTM_NEWNSID that gives a netns the first id that is free (NETNSA_NSID_NOT_ASSIGNED)."""
    return encode_nsid(netns_fd) + struct.pack("=HHi", 8, _NETNSA_NSID, -1)


def decode_nsid(message: bytes, byteorder: ByteOrder) -> int | None:
    """The id that an answer tells (the message without its header), None where there is none. Raises FormatError."""
    word = decode_attributes(message, 4, byteorder).get(_NETNSA_NSID, b"")
    nsid = int.from_bytes(word, byteorder, signed=True)
    return nsid if len(word) == 4 and nsid >= 0 else None


def decode_nsid_notice(datagram: bytes, byteorder: ByteOrder) -> tuple[int, bool] | None:
    """The id that RTNLGRP_NSID tells of, and whether it was given out, else taken back; None for other messages.

    The kernel sends one message in a datagram. Raises FormatError.
    """
    if len(datagram) < HEADER_BYTES:
        raise FormatError("a netlink header", datagram)
    length, type_ = struct.unpack_from(ORDER_SIGNS[byteorder] + "IH", datagram)
    if not HEADER_BYTES <= length <= len(datagram):
        raise FormatError("a netlink message within its datagram", datagram)
    if type_ not in (RTM_NEWNSID, _RTM_DELNSID):
        return None
    nsid = decode_nsid(datagram[HEADER_BYTES:length], byteorder)
    if nsid is None:
        raise FormatError("the id of a netns", datagram)
    return nsid, type_ == RTM_NEWNSID


def decode_tunnels(data: bytes, byteorder: ByteOrder) -> list[Tunnel]:
    """The tunnels over UDP that are up, of a dump of all interfaces; raises FormatError."""
    return [tunnel for message in split_messages(data, byteorder) for tunnel in _decode_link(message, byteorder)]


def _decode_link(message: bytes, byteorder: ByteOrder) -> Iterator[Tunnel]:
    fixed = struct.Struct(ORDER_SIGNS[byteorder] + _FIXED)
    if len(message) < fixed.size or not fixed.unpack_from(message)[3] & _IFF_UP:
        return
    # Whoever fills a netns with other interfaces makes this no dearer than 1 us for each.
    if not any(name in message for name in _KINDS):
        return
    attributes = _decode(message, fixed.size, byteorder)
    told = _decode(attributes.get(_IFLA_LINKINFO, b""), 0, byteorder)
    kind = _KINDS.get(told.get(_IFLA_INFO_KIND, b"").rstrip(b"\0"))
    if kind is None:
        return
    options = _decode(told.get(_IFLA_INFO_DATA, b""), 0, byteorder)
    port = options.get(kind.port, b"")
    if len(port) != 2:
        return
    nsid = attributes.get(_IFLA_LINK_NETNSID)
    families = _list_families(kind, options)
    yield Tunnel(
        None if nsid is None else int.from_bytes(nsid, byteorder, signed=True),
        tuple(TunnelEnd(family, int.from_bytes(port, "big")) for family in families),
    )


def _list_families(kind: _Kind, options: dict[int, bytes]) -> tuple[Family, ...]:
    """Of which families it has a socket: of both where it takes its remote from each packet ("external")."""
    if not kind.ipv6 or _is_set(kind.both, options):
        return (Family.IPV4, Family.IPV6)
    return (Family.IPV6,) if kind.ipv6 & options.keys() else (Family.IPV4,)


def _is_set(attribute: int | None, options: dict[int, bytes]) -> bool:
    """Whether an option is on: VXLAN gives it as a byte, GENEVE as an attribute without a value."""
    value = None if attribute is None else options.get(attribute)
    return value is not None and value != b"\0"


def _decode(message: bytes, fixed_bytes: int, byteorder: ByteOrder) -> dict[int, bytes]:
    return {type_ & _TYPE: value for type_, value in decode_attributes(message, fixed_bytes, byteorder).items()}
