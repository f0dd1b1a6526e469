"""Which of the sockets that wait in one netns get what is sent to an end: the kernel's rules. Pure.

The very address comes before any; what is bound to a device gets only what comes in by that. Among those that are left
IPv4 sockets come before IPv6 ones. Between one that is bound to the device and one that is bound to none, no table
tells who gets it: they share a port by SO_REUSEPORT, where the first in the kernel's list takes all, or, of UDP, by
SO_REUSEADDR, where the device counts. Nor does one tell whom the kernel chooses within a group of SO_REUSEPORT.

Source: net/ipv4/inet_hashtables.c inet_lhash2_lookup() and __inet_hash(), net/ipv4/udp.c udp4_lib_lookup2() and
udp_lib_get_port(), the same in net/ipv6 (inet6_hashtables.c, udp.c), and include/net/inet_sock.h inet_bound_dev_eq().
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from nsagent.model.net import Family, Protocol, SocketRow
from nsagent.model.snapshot import OwnedSocket

ANY_ADDRESSES: Final = ("0.0.0.0", "::")
_MOST_INDEX: Final = 0x7FFFFFFF
"""Of an interface. A connection to another scope fails, and leaves its socket bound to that: nothing comes in there."""


class Receivers(NamedTuple):
    """Those that get it, and those that would if these were not there."""

    first: tuple[OwnedSocket, ...]
    """Several where it depends on the device by which it comes in, or the kernel chooses."""
    shadowed: tuple[OwnedSocket, ...] = ()


def pick_receivers(waiting: Iterable[OwnedSocket], address: str, interface: str | None = None) -> Receivers:
    """Which of these, of one protocol, port and netns, get what comes for an address of that netns.

    `interface` is the one by which it comes in, by name or index, None for any. A listener on `::` of which it is not
    known whether it takes IPv6 alone is taken for one that takes both.
    """
    fitting = [one for one in waiting if fits(one.row, address)]
    if interface is not None:
        fitting = [one for one in fitting if takes_from(one, interface)]
    if len(fitting) < 2:
        return Receivers(tuple(fitting))
    devices = dict.fromkeys(one.row.interface for one in fitting if one.row.interface)
    # Without any device last: it may come in by another one than those.
    ways = [*devices, None] if interface is None or not devices else [*devices]
    chosen = [one for device in ways for one in _pick_by(device, fitting, address)]
    first = {id(one): one for one in chosen}
    return Receivers(tuple(first.values()), tuple(one for one in fitting if id(one) not in first))


def takes_from(socket: OwnedSocket, interface: str) -> bool:
    """Whether what comes in by this interface, a name or an index, may be for it: it is bound to no other one."""
    return socket.interface in (None, interface) or str(socket.row.interface) == interface


def is_unsure(socket: OwnedSocket, address: str) -> bool:
    """Whether it may be that this one takes IPv6 alone: /proc does not tell IPV6_V6ONLY."""
    row = socket.row
    return ":" not in address and row.local.address == "::" and row.v6only is None


def fits(row: SocketRow, address: str) -> bool:
    """Whether the row's own address takes that one in, and it is bound to no interface that cannot be."""
    if row.interface is not None and row.interface > _MOST_INDEX:
        return False
    own = row.local.address
    if ":" in address:
        return row.family is Family.IPV6 and own in (address, "::")
    return own in (address, "0.0.0.0") or (own == "::" and row.v6only is not True)


def _pick_by(device: int | None, fitting: Sequence[OwnedSocket], address: str) -> list[OwnedSocket]:
    """Those that may get what comes in by a device, None for one to which none is bound; the bound ones first."""
    way = [one for one in fitting if not one.row.interface or one.row.interface == device]
    pool = [one for one in way if one.row.local.address == address] or way
    ipv4 = [one for one in pool if _is_ipv4(one.row)]
    if any(one.row.interface for one in ipv4) or not all(map(_is_udp, pool)):
        pool = ipv4 or pool
    elif ipv4:
        # For UDP a device counts more than the family, but not within SO_REUSEPORT.
        pool = [one for one in pool if one.row.interface or _is_ipv4(one.row)]
    return sorted(pool, key=lambda one: not one.row.interface)


def _is_udp(socket: OwnedSocket) -> bool:
    return socket.row.protocol in (Protocol.UDP, Protocol.UDPLITE)


def _is_ipv4(row: SocketRow) -> bool:
    """Whether it is one of an IPv4 socket, which none is where an IPv6 address is asked for."""
    return row.family is Family.IPV4 and not row.mapped
