"""Addresses of table rows: network-order bytes to text, IPv4-mapped IPv6 recognised.

Source: inet_ntop(3), RFC 4291 2.5.5.2, RFC 5952.
"""

from socket import AF_INET, AF_INET6, inet_ntop

from nsagent.model.net import Endpoint

MAPPED_PREFIX = bytes(10) + b"\xff\xff"
"""The first 12 bytes of an IPv4-mapped IPv6 address."""


class Ipv4Texts(dict[bytes, str]):
    """Text of IPv4 addresses by their network-order bytes (only the first four count)."""

    def __missing__(self, packed: bytes) -> str:
        text = self[packed] = inet_ntop(AF_INET, packed[:4])
        return text


class Ipv6Texts(dict[bytes, str]):
    """Text of IPv6 addresses by their 16 bytes, in network order."""

    def __missing__(self, packed: bytes) -> str:
        text = self[packed] = inet_ntop(AF_INET6, packed)
        return text


def is_mapped(local: bytes, remote: bytes) -> bool:
    """Whether an IPv6 socket with these addresses speaks IPv4: one end says so."""
    return local[:12] == MAPPED_PREFIX or remote[:12] == MAPPED_PREFIX


def mapped_endpoint(packed: bytes, port: int) -> Endpoint:
    """One end of such a socket, shown as IPv4; its unspecified end (`::`) is 0.0.0.0."""
    shown = packed[12:] if packed[:12] == MAPPED_PREFIX or not any(packed) else None
    raw = inet_ntop(AF_INET6, packed)
    return Endpoint(inet_ntop(AF_INET, shown) if shown is not None else raw, port, raw)
