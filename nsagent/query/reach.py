"""Which netns gets what is sent to an address. Pure.

Whoever may set up a netns gives it any address he likes (`ip address add`, `ip route add local`), and no other netns
sends anything there for that. The netns of the host is believed, and another one where the host sends packets for the
address by a link of its own, as to a bridge or a veth of containers, and not through another host.
"""

from collections.abc import Iterable
from typing import Final

from nsagent.model.snapshot import Netns
from nsagent.query.network import pack, parse_network
from nsagent.query.own_addresses import OwnAddresses

_LEAST_BITS: Final = 8
"""A shorter prefix is no network of a link: 0.0.0.0/1 by a tunnel is the way to everybody."""

_OF_A_LINK: Final = tuple(parse_network(text, "") for text in ("127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10"))
"""What is never routed: each netns has its own."""


class Reach:
    """Which netns of a snapshot are reached by the addresses that they call their own."""

    def __init__(self, netns: Iterable[Netns], own: OwnAddresses) -> None:
        homes = [one for one in netns if one.is_host or one.is_init]
        self._own = own
        self._homes = frozenset(one.number for one in homes)
        self._links = tuple(
            network
            for one in homes
            for text in one.linked or ()
            if (network := parse_network(text, "linked")).length >= _LEAST_BITS
        )
        self.is_known = any(one.linked is not None for one in homes)
        """Whether it could be read where the host sends packets; where not, no other netns than its own is believed."""

    def find(self, address: str, other: str | None = None) -> frozenset[int]:
        """The netns that get what is sent to an address, by the host or from outside, or from this `other` one.

        What has both addresses itself sends it to itself. A netns of which the own addresses are not known may have
        those of the host's links.
        """
        packed = pack(address)
        claims = self._own.find(address) | self._own.find_broadcast(address)
        found = frozenset(claims & self._homes)
        if any(network.holds(packed) for network in _OF_A_LINK):
            found = frozenset(claims)
        elif not found and any(network.holds(packed) for network in self._links):
            found = frozenset(claims | self._own.unknown)
        return found if other is None else found | (claims & self.find(other))

    def may_hold(self, netns: int, address: str, other: str) -> bool:
        """Whether a connection in this netns between these, its own end first, may be the one that others see so.

        One to an end that is elsewhere may: who knows of that one's ports has seen it.
        """
        if not self.is_known or netns in self.find(address, other):
            return True
        there = self.find(other)
        return not there or netns in there
