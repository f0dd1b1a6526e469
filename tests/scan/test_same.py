"""Which sockets of two passes are the same, held against the plain definition of it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import OwnedSocket
from nsagent.scan.same import Matched, match_sockets
from tests.cpu_time import cpu_seconds
from tests.scan.snapshots import ANY, HOST, WEB, listener, socket

GONE_NETNS, NEW_NETNS = 3, 4
NETNS = {HOST: HOST, WEB: 7}
"""Of the numbers of the earlier pass those of the later one."""

ONE_END = st.just(Endpoint("0.0.0.0", 80))
ENDS = ONE_END | st.just(Endpoint("0.0.0.0", 81))
TCP = st.just(Protocol.TCP)
FEW_COOKIES, MANY_COOKIES = st.none() | st.integers(1, 4), st.none() | st.integers(1, 40)


def draw_sockets(
    netns: Sequence[int], ends: st.SearchStrategy[Endpoint], cookies: st.SearchStrategy[int | None], least: int
) -> st.SearchStrategy[list[OwnedSocket]]:
    """Rows of few kinds, so that several have the same ends; what has a cookie is there once."""
    sockets = st.builds(
        socket,
        st.just(SocketState.ESTABLISHED),
        ends,
        st.just(ANY),
        netns=st.sampled_from(netns),
        protocol=TCP | st.just(Protocol.UDP) if least == 0 else TCP,
        inode=st.integers(0, 3),
        cookie=cookies,
    )
    return st.lists(sockets, min_size=least, max_size=14, unique_by=lambda one: one.row.cookie or id(one))


def match_plainly(before: Sequence[OwnedSocket], after: Sequence[OwnedSocket]) -> Matched:
    """What is matched, each with each."""
    both: list[tuple[OwnedSocket, OwnedSocket]] = []
    by_cookie = {one.row.cookie: one for one in before if one.row.cookie is not None}
    come = []
    for one in after:
        if one.row.cookie is not None and one.row.cookie in by_cookie:
            both.append((by_cookie[one.row.cookie], one))
        else:
            come.append(one)
    left = []
    taken = {id(earlier) for earlier, _ in both}
    for one in come:
        match = pick_plainly(one, [each for each in before if id(each) not in taken])
        if match is None:
            left.append(one)
        else:
            taken.add(id(match))
            both.append((match, one))
    gone = [one for one in before if id(one) not in taken]
    # Those with a cookie come behind those without.
    return Matched(both, sorted(gone, key=lambda one: one.row.cookie is not None), left)


def pick_plainly(one: OwnedSocket, candidates: Sequence[OwnedSocket]) -> OwnedSocket | None:
    row = one.row
    may_be = [
        each
        for each in sorted(candidates, key=lambda each: each.row.cookie is not None)
        if NETNS.get(each.netns) == one.netns
        and (each.row.protocol, each.row.local, each.row.remote) == (row.protocol, row.local, row.remote)
        and (each.row.cookie is None or row.cookie is None)
    ]
    alike = [each for each in may_be if each.row.inode == row.inode]
    unsure = [each for each in may_be if not (each.row.inode and row.inode)]
    return next(iter([*alike, *unsure]), None)


@given(
    draw_sockets((HOST, WEB, GONE_NETNS), ENDS, FEW_COOKIES, 0),
    draw_sockets((HOST, NETNS[WEB], NEW_NETNS), ENDS, FEW_COOKIES, 0),
)
def test_those_are_the_same_that_are_when_each_is_held_against_each(
    before: list[OwnedSocket], after: list[OwnedSocket]
) -> None:
    assert match_sockets(before, after, NETNS) == match_plainly(before, after)


@given(draw_sockets((HOST,), ONE_END, MANY_COOKIES, 6), draw_sockets((HOST,), ONE_END, MANY_COOKIES, 1))
def test_among_many_with_the_same_ends_too(before: list[OwnedSocket], after: list[OwnedSocket]) -> None:
    assert match_sockets(before, after, NETNS) == match_plainly(before, after)


@pytest.mark.parametrize("cookies", [(1, 1 << 20), (None, None), (1, None), (None, 1)])
@pytest.mark.parametrize("inodes", [(1, 1 << 20), (1, 1), (0, 1), (0, 0)])
def test_many_sockets_on_one_port_are_matched_in_no_time(
    cookies: tuple[int | None, int | None], inodes: tuple[int, int]
) -> None:
    """As where a process opens its SO_REUSEPORT listeners anew: each held against each takes 5 s and more."""
    several = 8000

    def make(cookie: int | None, inode: int) -> list[OwnedSocket]:
        numbers = range(several)
        return [
            listener(80, inode=inode and inode + number, cookie=None if cookie is None else cookie + number)
            for number in numbers
        ]

    before, after = make(cookies[0], inodes[0]), make(cookies[1], inodes[1])
    after.reverse()
    assert cpu_seconds(lambda: match_sockets(before, after, NETNS)) < 1
