"""The ends of a socket as people read them, after the habits of ss(8).

Raw sockets show the IP protocol for a port (names of /etc/protocols); packet sockets the EtherType
and the interface; netlink sockets the netlink protocol and the port id, or `kernel`.
"""

from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from nsagent.model.net import Endpoint, Family, Protocol, SocketRow

_V6_ANY = "::"
_TCP = Protocol.TCP

_IP_PROTOCOLS: Final = {
    1: "icmp",
    2: "igmp",
    4: "ipencap",
    6: "tcp",
    17: "udp",
    41: "ipv6",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    88: "eigrp",
    89: "ospf",
    103: "pim",
    112: "vrrp",
    115: "l2tp",
    132: "sctp",
    136: "udplite",
    255: "raw",
}

_ETHER_TYPES: Final = {
    "0003": "*",
    "0800": "ip",
    "0806": "arp",
    "8100": "vlan",
    "86dd": "ipv6",
    "8863": "pppoe-discovery",
    "8864": "pppoe",
    "888e": "eapol",
    "88cc": "lldp",
    "88f7": "ptp",
}

_FAMILY_ORDER: Final = {Family.PACKET: 100, Family.NETLINK: 101, Family.VSOCK: 102}
"""After AF_INET and AF_INET6."""


def local_text(row: SocketRow, interface: str | None) -> str:
    """`ADDRESS:PORT`, IPv6 in brackets, `*` for port 0; `*` too for the IPv6 address of both families.

    `interface` stands behind the address after `%`.
    """
    # Once per socket: kept flat, and written out again below.
    protocol = row.protocol
    if protocol is not _TCP and protocol in _OWN_WAYS:
        return _OWN_WAYS[protocol](row, row.local, interface)
    address, port, _ = row.local
    if ":" in address:
        address = "*" if row.v6only is False and address == _V6_ANY else f"[{address}]"
    if interface is not None:
        address = f"{address}%{interface}"
    return f"{address}:{port or '*'}"


def remote_text(row: SocketRow) -> str:
    """The other end, in the same way; `*` alone where a packet or netlink socket has none."""
    protocol = row.protocol
    if protocol is not _TCP and protocol in _OWN_WAYS:
        return _OWN_WAYS[protocol](row, row.remote, None)
    address, port, _ = row.remote
    if ":" in address:
        address = "*" if row.v6only is False and address == _V6_ANY else f"[{address}]"
    return f"{address}:{port or '*'}"


def endpoint_key(family: Family, endpoint: Endpoint) -> tuple[int, bytes, int]:
    """Sorts by family (IPv4 and IPv6 first), address as a number, port."""
    address, port, _ = endpoint
    if family in _FAMILY_ORDER:
        # Context ids sort as numbers; names and EtherTypes are no decimals or have four digits.
        return _FAMILY_ORDER[family], address.rjust(10).encode("utf-8", "surrogatepass"), port
    of_address = AF_INET6 if ":" in address else AF_INET
    return of_address, inet_pton(of_address, address), port


def _raw_text(row: SocketRow, endpoint: Endpoint, interface: str | None) -> str:
    address, number, _ = endpoint
    if ":" in address:
        address = "*" if row.v6only is False and address == _V6_ANY else f"[{address}]"
    return f"{_scoped(address, interface)}:{_IP_PROTOCOLS.get(number, number) if number else '*'}"


def _packet_text(row: SocketRow, endpoint: Endpoint, interface: str | None) -> str:
    return _scoped(_ETHER_TYPES.get(endpoint.address, endpoint.address), interface)


def _netlink_text(row: SocketRow, endpoint: Endpoint, interface: str | None) -> str:
    return "*" if endpoint.address == "*" else f"{endpoint.address}:{endpoint.port or 'kernel'}"


def _vsock_text(row: SocketRow, endpoint: Endpoint, interface: str | None) -> str:
    return f"{endpoint.address}:{endpoint.port or '*'}"


def _scoped(address: str, interface: str | None) -> str:
    return address if interface is None else f"{address}%{interface}"


_OWN_WAYS: Final[dict[Protocol, Callable[[SocketRow, Endpoint, str | None], str]]] = {
    Protocol.RAW: _raw_text,
    Protocol.PACKET: _packet_text,
    Protocol.NETLINK: _netlink_text,
    Protocol.VSOCK: _vsock_text,
}
"""How an end reads where it is no address with a port."""
