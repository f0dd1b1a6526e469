"""In which netns of a snapshot an address is an own one, or one of all. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Set
from typing import Final

from nsagent.model.snapshot import Netns
from nsagent.query.network import pack

_BROADCAST: Final = "255.255.255.255"


class OwnAddresses:
    """The own addresses of all netns."""

    def __init__(self, netns: Iterable[Netns]) -> None:
        self._single: defaultdict[str, set[int]] = defaultdict(set)
        self._ranges: defaultdict[tuple[int, int, int], set[int]] = defaultdict(set)
        """By how many bytes an address has, how many bits of it are free, and the others."""
        self._broadcasts: defaultdict[str, set[int]] = defaultdict(set)
        self.unknown: set[int] = set()
        """The netns of which they are not known."""
        for one in netns:
            if one.own_addresses is None:
                self.unknown.add(one.number)
            for text in one.broadcasts:
                self._broadcasts[text].add(one.number)
            for text in one.own_addresses or ():
                address, _, length = text.partition("/")
                packed = pack(address)
                free = len(packed) * 8 - int(length) if length.isascii() and length.isdigit() else 0
                if free > 0:
                    self._ranges[len(packed), free, int.from_bytes(packed) >> free].add(one.number)
                else:
                    self._single[address].add(one.number)

    def find(self, address: str) -> set[int]:
        """The netns of which it is surely an own address; a loopback one also of those that are unknown."""
        found = set(self._single.get(address, ()))
        if self._ranges:
            packed = pack(address)
            number = int.from_bytes(packed)
            for (size, free, bits), netns in self._ranges.items():
                if size == len(packed) and number >> free == bits:
                    found |= netns
        is_loopback = address.startswith("127.") or address == "::1"
        return found | self.unknown if self.unknown and is_loopback else found

    def find_broadcast(self, address: str) -> Set[int]:
        """The netns that reach all of a network of theirs by it."""
        return self._broadcasts.get(address, frozenset())

    def is_for_all(self, address: str, netns: int) -> bool:
        """Whether each socket that fits gets what is sent to it there, not one alone."""
        return is_group(address) or netns in self.find_broadcast(address)


def is_group(address: str) -> bool:
    """Whether it is one of multicast or broadcast: all get it who have joined, in whichever netns."""
    packed = pack(address)
    return (packed[0] >> 4 == 0xE or address == _BROADCAST) if len(packed) == 4 else packed[:1] == b"\xff"
