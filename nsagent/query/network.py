"""Addresses and prefixes as they are typed, `10.0.0.1`, `10/8`, `fd00::/8`, and the ends of sockets in them. Pure.

Source: inet_pton(3); get_addr_ipv4() of iproute2 for prefixes with fewer than four numbers. Host names are none:
what they stand for depends on who asks, and where.
"""

from collections.abc import Callable, Sequence
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

from nsagent.errors import WrongValue
from nsagent.model.net import Endpoint

_IPV4_BYTES = 4


class Network(NamedTuple):
    """A prefix; an address is one of all its bits."""

    prefix: int
    """The first bits of its addresses, as a number."""
    length: int
    """How many bits those are."""
    address_bytes: int
    """4 or 16."""

    def holds(self, packed: bytes) -> bool:
        """Whether this address, as inet_pton(3) gives it, is in it."""
        size = self.address_bytes
        return len(packed) == size and int.from_bytes(packed, "big") >> (8 * size - self.length) == self.prefix


def parse_network(text: str, option: str) -> Network:
    """The prefix of an address, or of an address and a length, whatever bits are behind it; raises WrongValue."""
    address, slash, length = text.partition("/")
    if slash and ":" not in address:
        address += ".0" * (_IPV4_BYTES - 1 - address.count("."))
    packed = pack(address)
    bits = 8 * len(packed)
    if not bits:
        raise WrongValue(option, f"expected an address or a prefix like 10.0.0.0/8 or fd00::/8, got {text[:60]!r}")
    if slash and not (length.isascii() and length.isdigit() and len(length) < 4 and int(length) <= bits):
        raise WrongValue(option, f"expected a prefix length from 0 to {bits}, got {text[:60]!r}")
    kept = int(length) if slash else bits
    return Network(int.from_bytes(packed, "big") >> (bits - kept), kept, len(packed))


def make_end_test(networks: Sequence[Network]) -> Callable[[Endpoint], bool]:
    """Whether an end is in one of them: by the address that is shown, or by the IPv6 one that this stands for.

    Remembers the answer for each address: rows have few of them.
    """
    known: dict[str, bool] = {}

    def is_in(end: Endpoint) -> bool:
        text = end.raw_address or end.address
        if (answer := known.get(text)) is None:
            packed = {pack(end.address), pack(text)}
            answer = known[text] = any(network.holds(each) for network in networks for each in packed)
        return answer

    return is_in


def pack(address: str) -> bytes:
    """The bytes of an address, none of what is no address, as ends of other than IP sockets."""
    try:
        return inet_pton(AF_INET6 if ":" in address else AF_INET, address)
    except (OSError, ValueError):
        return b""
