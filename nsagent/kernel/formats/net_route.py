"""/proc/PID/net/route and ipv6_route: where a netns sends packets, by its usual routes.

Source: net/ipv4/fib_trie.c fib_route_seq_show(), which has the table `main` alone, and net/ipv6/route.c
ipv6_route_native_seq_show(), which has all tables; include/uapi/linux/route.h and ipv6_route.h for the flags.
"""

from collections.abc import Iterator
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.model.net import ByteOrder

_UP: Final = 0x1
_GATEWAY: Final = 0x2
_REJECT: Final = 0x200
_LOCAL: Final = 0x80100000
"""RTF_LOCAL and RTF_ANYCAST: what comes to this netns, not what leaves it."""


class Route(NamedTuple):
    """A route of packets that leave."""

    network: str
    """As "address/prefix length"."""
    gateway: str | None
    """The next host, None where there is none between."""


def parse_route(text: str, *, byteorder: ByteOrder) -> tuple[Route, ...]:
    """The routes of IPv4, by an interface or through a gateway; raises FormatError if a line is malformed.

    `byteorder` is that of the machine whose kernel wrote it.
    """
    return tuple(_list_ipv4(text, byteorder))


def parse_ipv6_route(text: str) -> tuple[Route, ...]:
    """The same of IPv6."""
    return tuple(_list_ipv6(text))


def _list_ipv4(text: str, byteorder: ByteOrder) -> Iterator[Route]:
    # The name of an interface comes first, and may hold what str.split() takes for a space.
    for line in text.split("\n")[1:]:
        if not line:
            continue
        try:
            _, destination, gateway, flags, _, _, _, mask, *_ = line.split("\t")
            if int(flags, 16) & (_UP | _REJECT) == _UP:
                length = int(mask, 16).bit_count()
                through = _unpack(gateway, byteorder) if int(flags, 16) & _GATEWAY else None
                yield Route(f"{_unpack(destination, byteorder)}/{length}", through)
        except (ValueError, OverflowError) as err:
            raise FormatError("a row of /proc/PID/net/route", line) from err


def _unpack(word: str, byteorder: ByteOrder) -> str:
    return inet_ntop(AF_INET, int(word, 16).to_bytes(4, byteorder))


def _list_ipv6(text: str) -> Iterator[Route]:
    for line in text.split("\n"):
        if not line:
            continue
        try:
            destination, length, _, _, gateway, _, _, _, flags, *_ = line.split()
            if int(flags, 16) & (_UP | _REJECT | _LOCAL) == _UP:
                through = inet_ntop(AF_INET6, bytes.fromhex(gateway)) if int(flags, 16) & _GATEWAY else None
                yield Route(f"{inet_ntop(AF_INET6, bytes.fromhex(destination))}/{int(length, 16)}", through)
        except ValueError as err:
            raise FormatError("a row of /proc/PID/net/ipv6_route", line) from err
