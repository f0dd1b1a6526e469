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


class MappedTexts(dict[bytes, tuple[str, str]]):
    """Text of each end of such a socket by its 16 bytes: as it is shown, which is as IPv4, and as IPv6.

    Its unspecified end (`::`) is 0.0.0.0.
    """

    def __missing__(self, packed: bytes) -> tuple[str, str]:
        raw = inet_ntop(AF_INET6, packed)
        is_ipv4 = packed[:12] == MAPPED_PREFIX or not any(packed)
        texts = self[packed] = (inet_ntop(AF_INET, packed[12:]) if is_ipv4 else raw, raw)
        return texts


def mapped_endpoint(packed: bytes, port: int) -> Endpoint:
    """One end of such a socket."""
    shown, raw = MappedTexts()[packed]
    return Endpoint(shown, port, raw)
