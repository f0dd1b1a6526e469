"""Through which listeners of its port a row may have come in, held against the plain definition of it."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.model.ids import SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Family, Protocol, SocketOptions, SocketRow, SocketState, Timer, TimerKind
from nsagent.model.snapshot import ChargedTo, OwnedSocket, VerdictKind
from nsagent.scan.charge import NO_CHARGE, Charge, Charger
from nsagent.scan.listeners import Listeners, LocalEnds
from nsagent.scan.memory import Memory
from tests.cpu_time import cpu_seconds
from tests.scan.snapshots import container, listener, make_netns, process

READ_AT = 20_000
ENDS = LocalEnds(make_netns(1)._replace(own_addresses=("10.0.0.0/8",)))
WEB, DB = container("web"), container("db", "b")
ANY = ("0.0.0.0", "::")


def make_row(state: SocketState, address: str = "10.0.0.1", **told: Any) -> SocketRow:
    """One at port 80, that tells nothing of itself but this."""
    row = SocketRow(
        protocol=Protocol.TCP,
        family=Family.IPV4,
        mapped=False,
        state=state,
        local=Endpoint(address, 80),
        remote=Endpoint("10.0.0.9", 40000),
        interface=0,
        inode=SocketInode(0),
        cookie=None,
        uid=None,
        rx_queue=0,
        tx_queue=0,
        cgroup_id=None,
        v6only=None,
    )
    return row._replace(**told)


FEW = st.none() | st.integers(0, 2)
ADDRESSES = st.sampled_from((*ANY, "10.0.0.1", "10.0.0.2", "fe80::1"))
TOLD = {
    "address": ADDRESSES,
    "family": st.sampled_from((Family.IPV4, Family.IPV6)),
    "mapped": st.booleans(),
    "interface": FEW,
    "uid": FEW,
    "cgroup_id": FEW,
    "v6only": st.none() | st.booleans(),
    "options": st.none() | st.builds(SocketOptions, st.booleans(), st.booleans(), st.booleans()),
}
CLOSED = st.builds(Timer, st.just(TimerKind.TIMEWAIT), st.sampled_from((0, 30_000, 59_990, 60_000, 70_000)), st.just(0))
ROWS = st.builds(
    make_row,
    st.sampled_from((SocketState.ESTABLISHED, SocketState.TIME_WAIT)),
    remote=st.sampled_from((Endpoint("10.0.0.9", 40000), Endpoint("fe80::9", 40000))),
    timer=st.none() | CLOSED,
    **TOLD,
)
HELD_BY = st.lists(
    st.builds(
        process,
        st.integers(10, 12),
        container=st.sampled_from((None, WEB, DB)),
        start_ticks=st.sampled_from((0, 13_999, 14_000, 17_000, 17_001, 20_001)),
    ),
    max_size=2,
)


@st.composite
def draw_listeners(draw: st.DrawFn) -> list[OwnedSocket]:
    sockets = []
    for row in draw(st.lists(st.builds(make_row, st.just(SocketState.LISTEN), **TOLD), max_size=8)):
        holders = sorted(draw(HELD_BY), key=lambda one: (one.start_ticks, one.pid))
        sockets.append(listener(80, *holders)._replace(row=row))
    return sockets


def may_be_of(one: OwnedSocket, row: SocketRow, *, tells_uid: bool) -> bool:
    """Whether the row may have started as a copy of this listener."""
    of = one.row

    def agree(mine: object, its: object) -> bool:
        return mine is None or its is None or mine == its

    closed = None
    if row.state is SocketState.TIME_WAIT and row.timer is not None:
        closed = READ_AT - max(0, 60_000 - row.timer.expires_ms) // 10
    near = not of.interface and row.remote.address.startswith("fe80:")
    return (
        (of.mapped or of.family is Family.IPV6) == (row.mapped or row.family is Family.IPV6)
        and not (row.mapped and of.v6only)
        and of.local.address in (row.local.address, *ANY)
        and (agree(of.interface, row.interface) or near)
        and agree(of.cgroup_id, row.cgroup_id)
        and agree(of.uid, row.uid if tells_uid or row.uid else None)
        and agree(of.options and of.options[:2], row.options and row.options[:2])
        and not (closed is not None and one.owners and one.owners[0].process.start_ticks > closed)
    )


def find_plainly(sockets: Iterable[OwnedSocket], row: SocketRow, *, tells_uid: bool) -> list[OwnedSocket]:
    """What is found, one listener after the other."""

    def prefer(found: list[OwnedSocket], preferred: Callable[[OwnedSocket], bool]) -> list[OwnedSocket]:
        return [one for one in found if preferred(one)] or found

    found = [one for one in sockets if may_be_of(one, row, tells_uid=tells_uid)]
    found = prefer(found, lambda one: one.row.local.address == row.local.address)
    return prefer(found, lambda one: one.row.interface == row.interface)


@given(draw_listeners(), st.lists(ROWS, min_size=1, max_size=4), st.booleans())
def test_what_is_found_in_groups_is_what_is_found_one_by_one(
    sockets: list[OwnedSocket], rows: list[SocketRow], tells_uid: bool
) -> None:
    listeners = Listeners(sockets, ENDS, tells_uid=tells_uid, read_at_ticks=READ_AT)
    for row in rows:
        plain = find_plainly(sockets, row, tells_uid=tells_uid)
        assert listeners.find(row, VerdictKind.ACCEPT_QUEUE) == plain


@given(draw_listeners(), st.lists(ROWS, min_size=1, max_size=4), st.booleans())
def test_what_is_charged_is_on_what_all_agree_that_are_found_one_by_one(
    sockets: list[OwnedSocket], rows: list[SocketRow], tells_uid: bool
) -> None:
    listeners = Listeners(sockets, ENDS, tells_uid=tells_uid, read_at_ticks=READ_AT)
    charger = Charger(listeners, None, Memory(), {}, {})
    for row in rows:
        plain = find_plainly(sockets, row, tells_uid=tells_uid)
        pids = {one.owners[0].process.pid if one.owners else None for one in plain}
        ids = {one.container_id for one in plain}
        agreed = ChargedTo(pids.pop() if len(pids) == 1 else None, ids.pop() if len(ids) == 1 else None)
        charge = charger.charge(row, VerdictKind.SYN_RECV)
        if agreed == ChargedTo(None, None) and len(plain) < 2:
            assert charge == NO_CHARGE
        else:
            assert charge == Charge(agreed, charge.attribution, charge.confidence)


Told = Callable[[int], dict[str, Any]]
"""What a listener, and what comes in by it, tell, by its number."""


def alike(_number: int) -> dict[str, Any]:
    return {}


def each_of_its_own(number: int) -> dict[str, Any]:
    """What a user can choose for each listener alone, with a user namespace and a cgroup that are his."""
    address = Endpoint(f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}", 80)
    return {"local": address, "cgroup_id": 100 + number, "uid": 100_000 + number, "interface": number}


def each_of_its_own_but_for_the_address(number: int) -> dict[str, Any]:
    return {**each_of_its_own(number), "local": Endpoint("10.0.0.1", 80)}


@pytest.mark.parametrize("told", [alike, each_of_its_own, each_of_its_own_but_for_the_address])
def test_many_connections_to_many_listeners_of_one_port_cost_no_more_than_to_one(told: Told) -> None:
    """Each row by itself at each listener takes 10 to 20 s."""
    sockets = [
        listener(80, process(10, container=WEB), inode=10 + number)._replace(
            row=make_row(SocketState.LISTEN, inode=10 + number, cookie=SocketCookie(number), **told(number))
        )
        for number in range(1000)
    ]
    rows = [make_row(SocketState.ESTABLISHED, **told(number % 1000)) for number in range(10_000)]
    charger = Charger(Listeners(sockets, ENDS, tells_uid=True), None, Memory(), {}, {})
    charged: list[Charge] = []
    spent = cpu_seconds(lambda: charged.extend(charger.charge(row, VerdictKind.ACCEPT_QUEUE) for row in rows))
    assert {one.charged_to for one in charged} == {ChargedTo(process(10).pid, WEB.id)}
    assert spent < 3
