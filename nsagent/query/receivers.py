"""Which of the sockets that wait in one netns get what is sent to an end: the kernel's rules. Pure.

The very address comes before any; what is bound to a device gets only what comes in by that. Between those that are
left a score decides, which the kernel gives to TCP and to UDP in different ways; with equal scores it chooses within a
group of SO_REUSEPORT, or takes the one that was bound last, which no table tells.

Source: net/ipv4/inet_hashtables.c and udp.c compute_score(), the same in net/ipv6 (inet6_hashtables.c, udp.c), and
include/net/inet_sock.h inet_bound_dev_eq(). Before Linux 5.0 a device counted as much as an address.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from nsagent.model.net import Family, Protocol, SocketRow
from nsagent.model.snapshot import OwnedSocket

ANY_ADDRESSES: Final = ("0.0.0.0", "::")

_LIKE_UDP: Final = frozenset((Protocol.UDP, Protocol.UDPLITE))


class Receivers(NamedTuple):
    """Those that get it, and those that would if these were not there."""

    first: tuple[OwnedSocket, ...]
    """Several where it depends on the device by which it comes in, or the kernel chooses."""
    shadowed: tuple[OwnedSocket, ...] = ()


def pick_receivers(waiting: Iterable[OwnedSocket], address: str, interface: str | None = None) -> Receivers:
    """Which of these, of one protocol, port and netns, get what comes for an address of that netns.

    `interface` is the one by which it comes in, None for any. A listener on `::` of which it is not known whether it
    takes IPv6 alone is taken for one that takes both.
    """
    fitting = [one for one in waiting if fits(one.row, address)]
    if interface is not None:
        fitting = [one for one in fitting if one.interface in (None, interface)]
    if len(fitting) < 2:
        return Receivers(tuple(fitting))
    unbound = [one for one in fitting if not one.row.interface]
    devices = dict.fromkeys(one.row.interface for one in fitting if one.row.interface)
    ways = [[one for one in fitting if one.row.interface in (0, device)] for device in devices]
    # Without any device last: it may come in by another one than those.
    chosen = [one for way in (*ways, [] if interface and devices else unbound) for one in _prefer(way, address)]
    first = {id(one): one for one in chosen}
    return Receivers(tuple(first.values()), tuple(one for one in fitting if id(one) not in first))


def is_unsure(socket: OwnedSocket, address: str) -> bool:
    """Whether it may be that this one takes IPv6 alone: /proc does not tell IPV6_V6ONLY."""
    row = socket.row
    return ":" not in address and row.local.address == "::" and row.v6only is None


def fits(row: SocketRow, address: str) -> bool:
    """Whether the row's own address takes that one in."""
    own = row.local.address
    if ":" in address:
        return row.family is Family.IPV6 and own in (address, "::")
    return own in (address, "0.0.0.0") or (own == "::" and row.v6only is not True)


def _prefer(candidates: Sequence[OwnedSocket], address: str) -> list[OwnedSocket]:
    """Those with the highest score."""
    pool = [one for one in candidates if one.row.local.address == address] or candidates
    highest = max((_score(one.row) for one in pool), default=0)
    return [one for one in pool if _score(one.row) == highest]


def _score(row: SocketRow) -> int:
    """What a device counts beside being a socket of IPv4, which none is where an IPv6 address is asked for."""
    device = (4 if row.protocol in _LIKE_UDP else 1) if row.interface else 0
    return device + (row.family is Family.IPV4 and not row.mapped)
