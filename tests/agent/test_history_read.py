"""What is open after changes were followed, and which changes a filter lets pass."""

from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from nsagent.agent.history_read import Wanted, fold_changes
from nsagent.model.change import Change, ChangeKind
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.scan.diff import diff_snapshots, list_open
from tests.scan.snapshots import HOST, T0, T1, WEB, container, listener, make_netns, pod, process, snapshot, socket

HOLDERS = [process(10, "nginx"), process(11, "nginx"), process(20, "app", unit="app.service")]
WEB_POD = container("web", "a", pod("web-1", "11-22"))
PLACES = {HOST: HOLDERS, WEB: [process(30, container=WEB_POD), process(31, container=WEB_POD)]}
STATES = [
    SocketState.SYN_SENT,
    SocketState.ESTABLISHED,
    SocketState.CLOSE_WAIT,
    SocketState.TIME_WAIT,
    SocketState.SYN_RECV,
]


@st.composite
def sockets(draw: st.DrawFn) -> OwnedSocket:
    """A listener or a connection; its cookie tells its ends, and which of two with them it is."""
    netns, port, again = draw(st.sampled_from([HOST, WEB])), draw(st.integers(80, 83)), draw(st.integers(0, 1))
    listening = draw(st.booleans())
    state = SocketState.LISTEN if listening else draw(st.sampled_from(STATES))
    held = state not in (SocketState.TIME_WAIT, SocketState.SYN_RECV)
    holders = draw(st.lists(st.sampled_from(PLACES[netns]), min_size=1, max_size=2, unique_by=id)) if held else []
    holders.sort(key=lambda holder: holder.pid)
    number = ((netns == WEB) * 2 + listening) * 1000 + port * 10 + again
    remote = Endpoint("0.0.0.0", 0) if listening else Endpoint("10.0.0.9", 443)
    local = Endpoint("0.0.0.0" if listening else "10.0.0.1", port)
    inode = number + 1 if held else 0
    return socket(state, local, remote, *holders, netns=netns, cookie=number, inode=inode)


def by_cookie(rows: Iterable[OwnedSocket]) -> list[OwnedSocket]:
    return list({row.row.cookie: row for row in rows}.values())


ROWS = st.lists(sockets(), max_size=8).map(by_cookie)
NAMED = [make_netns(HOST, cookie=1), make_netns(WEB, cookie=2)]


def taken(rows: list[OwnedSocket], at: str) -> Snapshot:
    return snapshot(*rows, taken_at=at, containers=[WEB_POD], netns=NAMED)


def tell(changes: Iterable[Change]) -> Counter[object]:
    """What is open: where, in which state, and by whom."""
    return Counter(
        (change.kind, change.place, socket.protocol, socket.local, socket.state, socket.holders)
        for change in changes
        if (socket := change.socket) is not None
    )


@given(ROWS)
def test_a_snapshot_does_not_differ_from_itself(rows: list[OwnedSocket]) -> None:
    assert diff_snapshots(taken(rows, T0), taken(rows, T1)) == ()


@given(ROWS, ROWS)
def test_whoever_follows_the_changes_has_what_the_later_snapshot_has(
    first: list[OwnedSocket], second: list[OwnedSocket]
) -> None:
    before, after = taken(first, T0), taken(second, T1)
    followed = fold_changes((*list_open(before), *diff_snapshots(before, after)))
    assert tell(followed) == tell(list_open(after))


@given(ROWS, ROWS)
def test_what_comes_one_way_goes_the_other_way(first: list[OwnedSocket], second: list[OwnedSocket]) -> None:
    mirrored = {
        ChangeKind.OPENED: ChangeKind.CLOSED,
        ChangeKind.CLOSED: ChangeKind.OPENED,
        ChangeKind.NEW_LISTENER: ChangeKind.LISTENER_GONE,
        ChangeKind.LISTENER_GONE: ChangeKind.NEW_LISTENER,
        ChangeKind.HOLDER_CHANGED: ChangeKind.HOLDER_CHANGED,
        ChangeKind.STATE_CHANGED: ChangeKind.STATE_CHANGED,
    }
    there = diff_snapshots(taken(first, T0), taken(second, T1))
    back = diff_snapshots(taken(second, T0), taken(first, T1))

    def keys(changes: Iterable[Change]) -> Counter[object]:
        return Counter(
            (change.kind, change.place, change.socket and change.socket.local)
            for change in changes
            if change.kind in mirrored
        )

    mirror = (change._replace(kind=mirrored.get(change.kind, change.kind)) for change in there)
    assert keys(mirror) == keys(back)


def test_sockets_with_the_same_ends_are_told_apart_by_inode_where_there_are_no_cookies() -> None:
    mdns = [
        socket(
            SocketState.CLOSE, Endpoint("0.0.0.0", 40000), Endpoint("0.0.0.0", 0), process(10 + inode),
            protocol=Protocol.UDP, cookie=None, inode=inode,
        )
        for inode in (1, 2)
    ]  # fmt: skip
    before, after = snapshot(*mdns), snapshot(mdns[0], taken_at=T1)
    followed = fold_changes((*list_open(before), *diff_snapshots(before, after)))
    assert [change.socket.inode for change in followed if change.socket] == [1]


def test_a_connection_is_the_same_by_its_ends_where_one_pass_saw_no_cookies() -> None:
    opened, closed = (
        socket(SocketState.ESTABLISHED, Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2), HOLDERS[0], cookie=cookie)
        for cookie in (None, 5)
    )
    changes = (*list_open(snapshot(opened)), *diff_snapshots(snapshot(closed), snapshot()))
    assert list(fold_changes(changes)) == []


def test_what_is_open_has_the_state_and_the_ends_of_that_time_and_came_when_it_did() -> None:
    """connect(2) gives other ends to a UDP socket that has sent before."""
    ends = Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.9", 53)
    sent, connected = (
        snapshot(socket(state, *both, HOLDERS[0], protocol=Protocol.UDP), taken_at=at)
        for state, both, at in (
            (SocketState.CLOSE, (Endpoint("0.0.0.0", 40000), Endpoint("0.0.0.0", 0)), T0),
            (SocketState.ESTABLISHED, ends, T1),
        )
    )
    changes = [*list_open(sent), *diff_snapshots(sent, connected)]
    (opened,) = list_open(connected)
    assert list(fold_changes(changes)) == [opened._replace(at=T0)]
    assert list(fold_changes((*changes, *diff_snapshots(connected, snapshot())))) == []


def test_a_listener_that_had_no_name_when_it_came_is_gone_with_its_socket() -> None:
    unnamed = snapshot(listener(80, process(30), netns=WEB))
    named = snapshot(listener(80, process(30, container=WEB_POD), netns=WEB), containers=[WEB_POD])
    gone = snapshot(containers=[WEB_POD])
    assert (
        list(fold_changes((*list_open(unnamed), *diff_snapshots(unnamed, named), *diff_snapshots(named, gone)))) == []
    )


def test_a_listener_whose_container_was_renamed_has_who_holds_it_now_and_is_there_once() -> None:
    renamed = container("shop")
    before, between, after = (
        snapshot(listener(80, process(pid, container=one), netns=WEB), taken_at=at, containers=[one])
        for pid, one, at in ((30, container("web"), T0), (30, renamed, T0), (31, renamed, T1))
    )
    changes = [*list_open(before), *diff_snapshots(before, between), *diff_snapshots(between, after)]
    assert [each.kind for each in changes if each.socket] == [ChangeKind.NEW_LISTENER, ChangeKind.HOLDER_CHANGED]
    at_once = [*list_open(before), *diff_snapshots(before, after)]
    for told in (changes, at_once):
        assert tell(fold_changes(told)) == tell(list_open(after))
        assert tell(fold_changes((*told, *diff_snapshots(after, snapshot(containers=[renamed]))))) == Counter()


def test_a_change_is_asked_for_by_every_name_of_its_container_and_pod() -> None:
    (change,) = (
        each for each in list_open(taken([listener(80, process(30, container=WEB_POD), netns=WEB)], T0)) if each.socket
    )
    for name in ("web", "web-1/web", "shop/web-1/web", "a" * 64, "aaaa"):
        assert Wanted(containers=("other", name)).is_of(change), name
    for name in ("web-1", "aaa", "b" * 64, "11-22/web"):
        assert not Wanted(containers=(name,)).is_of(change), name
    for name in ("web-1", "shop/web-1", "11-22"):
        assert Wanted(pods=(name,)).is_of(change), name
    assert not Wanted(pods=("web",)).is_of(change)
    assert not Wanted(containers=("web",), pods=("other",)).is_of(change)
