"""Which netns and sockets of two snapshots of one boot are the same ones. Pure.

The kernel gives a cookie to no second socket, and to no second netns, before the next boot; /proc shows none.
Inode numbers are given out again: they tell sockets apart together with both ends, and netns as long
as nobody knows better.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nsagent.model.ids import SocketCookie
from nsagent.model.snapshot import Netns, OwnedSocket, Snapshot


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
    ends: defaultdict[tuple[object, ...], list[OwnedSocket]] = defaultdict(list)
    for socket in gone:
        row = socket.row
        if socket.netns in netns:
            ends[netns[socket.netns], row.local, row.remote].append(socket)
    matched: set[int] = set()
    left = []
    for socket in come:
        row = socket.row
        candidates = ends.get((socket.netns, row.local, row.remote))
        match = _pick(socket, candidates, matched) if candidates else None
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
