"""Which netns and sockets of two snapshots of one boot are the same ones. Pure.

The kernel gives a cookie to no second socket, and to no second netns, before the next boot; /proc shows none.
Inode numbers are given out again: they tell sockets apart together with both ends, and netns as long
as nobody knows better.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from nsagent.model.ids import SocketCookie
from nsagent.model.net import Protocol
from nsagent.model.snapshot import Netns, OwnedSocket, Snapshot

_FEW: Final = 4
"""So many sockets of the same ends are looked through one by one, which takes less than to tell them apart first."""

_ANY_INODE: Final = -1
"""Any but 0."""


class Matched(NamedTuple):
    """The sockets of two snapshots: those of both, the earlier one first, and those of one alone."""

    both: list[tuple[OwnedSocket, OwnedSocket]]
    gone: list[OwnedSocket]
    come: list[OwnedSocket]


def is_same_boot(before: Snapshot, after: Snapshot) -> bool:
    """Whether inodes, cookies, pids and start ticks of one mean anything in the other."""
    return before.boot_id == after.boot_id


def match_netns(before: Snapshot, after: Snapshot) -> dict[int, int]:
    """By the number of each netns of `before` that `after` has, its number there.

    Of another boot it is the host's alone, for which nothing changes places.
    """
    same_boot = is_same_boot(before, after)
    by_number = {one.number: one for one in after.netns}
    by_cookie = {one.cookie: one for one in after.netns if one.cookie is not None}
    found = {}
    for one in before.netns:
        other: Netns | None = None
        if same_boot:
            other = None if one.cookie is None else by_cookie.get(one.cookie)
            other = other or by_number.get(one.number)
            if other is not None and None not in (one.cookie, other.cookie) and one.cookie != other.cookie:
                other = None
        if other is None and (one.is_host or one.is_init):
            other = next(
                (each for each in after.netns if (each.is_host, each.is_init) == (one.is_host, one.is_init)), None
            )
        if other is not None:
            found[one.number] = other.number
    return found


def match_sockets(before: Iterable[OwnedSocket], after: Iterable[OwnedSocket], netns: Mapping[int, int]) -> Matched:
    """Which are the same, where both are of one boot; `netns` is as match_netns gives it.

    By cookie where both have one, else by inode and both ends. A row that no fd can hold has no inode, and had one
    before, or will have: then both ends alone tell.
    """
    # Once per socket of either, 0.2 us each: a node has up to 10^6 of them.
    earlier: dict[SocketCookie, OwnedSocket] = {}
    gone: list[OwnedSocket] = []
    for socket in before:
        cookie = socket.row.cookie
        if cookie is None:
            gone.append(socket)
        else:
            earlier[cookie] = socket
    both, come = [], []
    take = earlier.pop
    for socket in after:
        cookie = socket.row.cookie
        match = None if cookie is None else take(cookie, None)
        if match is None:
            come.append(socket)
        else:
            both.append((match, socket))
    gone.extend(earlier.values())
    return _match_ends(both, gone, come, netns) if gone and come else Matched(both, gone, come)


def _match_ends(
    both: list[tuple[OwnedSocket, OwnedSocket]],
    gone: list[OwnedSocket],
    come: list[OwnedSocket],
    netns: Mapping[int, int],
) -> Matched:
    """The same with those matched too of which one has no cookie."""
    # Two with cookies differ: of two passes by sock_diag nothing more is to be found.
    if all(socket.row.cookie is not None for socket in come):
        candidates = [socket for socket in gone if socket.row.cookie is None]
    else:
        candidates = gone
    if not candidates:
        return Matched(both, gone, come)
    ends: defaultdict[tuple[object, ...], list[OwnedSocket]] = defaultdict(list)
    for socket in candidates:
        row = socket.row
        if socket.netns in netns:
            ends[netns[socket.netns], row.local, row.remote].append(socket)
    crowds: dict[tuple[object, ...], _Crowd] = {}
    matched: set[int] = set()
    left = []
    for socket in come:  # Of /proc that is each socket: 2 us.
        row = socket.row
        key = (socket.netns, row.local, row.remote)
        alike = ends.get(key)
        if not alike:
            match = None
        elif len(alike) <= _FEW:
            match = _pick(socket, alike, matched)
        else:
            match = (crowds.get(key) or crowds.setdefault(key, _Crowd(alike))).pick(socket, matched)
        if match is None:
            left.append(socket)
        else:
            matched.add(id(match))
            both.append((match, socket))
    return Matched(both, [one for one in gone if id(one) not in matched], left)


def _pick(socket: OwnedSocket, candidates: list[OwnedSocket], taken: set[int]) -> OwnedSocket | None:
    """The one among sockets of the same ends that it is; `taken` are ids of those that others are."""
    row = socket.row
    like_it = None
    for one in candidates:
        other = one.row
        if id(one) in taken or other.protocol is not row.protocol:
            continue
        if row.cookie is not None and other.cookie is not None:
            continue  # They differ.
        if other.inode == row.inode:
            return one
        if not (other.inode and row.inode):
            like_it = like_it or one
    return like_it


class _Crowd:
    """Sockets of the same ends, of which there may be any number by SO_REUSEPORT: none is looked at twice."""

    def __init__(self, candidates: Sequence[OwnedSocket]) -> None:
        self._alike: defaultdict[tuple[Protocol, bool, int], list[tuple[int, OwnedSocket]]] = defaultdict(list)
        """By protocol, whether they have cookies, and inode or _ANY_INODE; behind their places, the first one last."""
        for place, socket in sorted(enumerate(candidates), key=lambda one: -one[0]):
            row = socket.row
            for inode in (row.inode, _ANY_INODE) if row.inode else (row.inode,):
                self._alike[row.protocol, row.cookie is not None, inode].append((place, socket))

    def pick(self, socket: OwnedSocket, taken: set[int]) -> OwnedSocket | None:
        """What _pick() finds among them."""
        row = socket.row
        cookies = (False,) if row.cookie is not None else (False, True)
        for inode in (row.inode, 0 if row.inode else _ANY_INODE):
            firsts = (self._find_first((row.protocol, cookie, inode), taken) for cookie in cookies)
            if found := [first for first in firsts if first is not None]:
                return min(found)[1]
        return None

    def _find_first(self, key: tuple[Protocol, bool, int], taken: set[int]) -> tuple[int, OwnedSocket] | None:
        alike = self._alike.get(key)
        while alike:
            if id(alike[-1][1]) not in taken:
                return alike[-1]
            alike.pop()
        return None
