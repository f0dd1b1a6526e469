"""Which holders a resolver gives the ends of a connection, by the kernel's rules."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from nsagent.lookup.resolver import Resolver
from nsagent.model.ids import SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import ChargedTo, Verdict, VerdictKind
from tests.lookup.looks import HERE, PEER, Clock, MadeLooks, own, row, see
from tests.lookup.test_resolver import (
    CLIENT,
    HTTPD,
    LOCAL,
    NOW,
    REMOTE,
    SOURCE,
    WORKER,
    ask,
    await_looks,
    names,
)
from tests.scan.snapshots import ANY, HOST, WEB, make_netns, process


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_what_was_not_accepted_yet_has_no_holders_of_a_listener_on_another_device(stack: ExitStack) -> None:
    """Where the device counts more than the address, and nothing else tells the two apart: SO_REUSEPORT."""
    bound, wide = row(Endpoint("0.0.0.0", 80), ANY, HTTPD, WORKER), row(Endpoint("0.0.0.0", 80), ANY, CLIENT)
    bound = bound._replace(row=bound.row._replace(interface=2), interface="eth0")
    queued = row(LOCAL, REMOTE)._replace(verdict=Verdict(VerdictKind.ACCEPT_QUEUE, ChargedTo(None, None), "nobody"))
    by_device = queued._replace(row=queued.row._replace(interface=2), interface="eth0")
    for one, expected in ((queued, ["curl"]), (by_device, ["httpd", "worker"])):
        resolver = stack.enter_context(Resolver(MadeLooks(see(bound, wide, one)), limits=NOW))
        assert names(ask(resolver).destination) == expected


def test_an_address_that_is_not_there_is_not_that_of_who_is_bound_to_it(stack: ExitStack) -> None:
    """A standby server, by IP_FREEBIND: another host has the address, and holds the connection."""
    standby = row(Endpoint("10.7.7.7", 80), ANY, HTTPD)
    resolver = stack.enter_context(Resolver(MadeLooks(see(standby)), limits=NOW))
    assert ask(resolver, SOURCE, ("10.7.7.7", 80)).destination is None
    netns = (own(HOST, f"{HERE}/32", "10.7.7.7/32"),)
    resolver = stack.enter_context(Resolver(MadeLooks(see(standby, netns=netns)), limits=NOW))
    assert names(ask(resolver, SOURCE, ("10.7.7.7", 80)).destination) == ["httpd"]


def test_addresses_of_ipv6_are_taken_as_sockets_have_them(stack: ExitStack) -> None:
    """getsockname(2) has four values, of which the last is the index of the interface of a link-local address."""
    client = row(Endpoint("::1", 5000), Endpoint("::1", 80), CLIENT)
    here, there = (
        row(Endpoint("fe80::1", 80), ANY, process(pid, name))._replace(interface=name)
        for pid, name in ((30, "eth0"), (31, "eth1"))
    )
    here = here._replace(row=here.row._replace(interface=2))
    there = there._replace(row=there.row._replace(interface=3))
    looks = MadeLooks(see(client, here, there, netns=(own(HOST, "fe80::1/128"),)))
    resolver = stack.enter_context(Resolver(looks, limits=NOW))
    assert names(resolver.resolve("tcp", ("::1", 5000, 0, 0), ("::1", 80, 0, 0)).source) == ["curl"]
    told = resolver.resolve("tcp", ("fe80::2", 5000, 0, 3), ("fe80::1", 80, 0, 3))
    assert names(told.destination) == ["eth1"]


@pytest.mark.parametrize(("cookie", "inode", "expected"), [(1, 0, ["curl"]), (2, 0, []), (None, 0, []), (1, 7, [])])
def test_what_is_left_of_a_closed_connection_keeps_its_holders(
    stack: ExitStack, cookie: int | None, inode: int, expected: list[str]
) -> None:
    """A row in TIME_WAIT, which no fd can hold; with another cookie it is left of another one of the same ends."""
    clock = Clock()
    closed = row(Endpoint(HERE, 6000), REMOTE, CLIENT)
    left = closed._replace(
        row=closed.row._replace(
            state=SocketState.TIME_WAIT,
            inode=SocketInode(inode),
            cookie=None if cookie is None else SocketCookie(cookie),
        ),
        owners=(),
        verdict=Verdict(VerdictKind.TIME_WAIT, None, "nobody"),
    )
    looks = MadeLooks(see(closed), see(left), clock=clock)
    resolver = stack.enter_context(Resolver(looks, limits=NOW, clock=clock))
    source, destination = (HERE, 6000), (PEER, 5000)
    assert names(ask(resolver, source, destination).source) == ["curl"]
    clock.now += NOW.renew_seconds
    ask(resolver, source, destination)
    await_looks(resolver, 2)
    told = ask(resolver, source, destination).source
    assert (names(told), told and told.sockets) == (expected, (left,))


def test_where_too_many_are_not_known_the_oldest_eighth_is_forgotten_at_once(stack: ExitStack) -> None:
    """A flood of connections from everywhere costs no search for the oldest one at each of them."""
    looks = MadeLooks(see())
    looks.may_look.clear()
    limits = NOW._replace(patience_seconds=0, most_answers=80)
    resolver = stack.enter_context(Resolver(looks, limits=limits))
    stack.callback(looks.may_look.set)
    for port in range(1, 82):
        ask(resolver, (PEER, port))
    assert [key[1][1] for key in resolver._unknown] == list(range(11, 82))


def test_what_a_look_could_not_see_is_told(stack: ExitStack) -> None:
    """An end without holders may have some that nobody was allowed to see."""
    sight = see(row(LOCAL, REMOTE))
    coverage = sight.snapshot.coverage._replace(complete=False)
    looks = MadeLooks(sight._replace(snapshot=sight.snapshot._replace(coverage=coverage)))
    resolver = stack.enter_context(Resolver(looks, limits=NOW))
    assert resolver.coverage is None
    assert names(ask(resolver).destination) == []
    assert resolver.coverage == coverage


BRIDGE = own(HOST, f"{HERE}/32", "172.17.0.1/32")._replace(linked=("0.0.0.0/1", "10.0.0.0/24", "172.17.0.0/16"))
"""A host with containers behind a bridge, and half of the world behind a tunnel."""


@pytest.mark.parametrize(
    ("claimed", "address", "expected"),
    [
        ("0.0.0.0/1", "8.8.8.8", None),
        ("8.8.8.8/32", "8.8.8.8", None),
        ("10.0.0.1/32", HERE, []),
        (None, "8.8.8.8", None),
        ("172.17.0.2/32", "172.17.0.2", ["dns"]),
        (None, "172.17.0.2", ["dns"]),
    ],
)
@pytest.mark.parametrize("connected", [False, True])
def test_an_address_that_a_netns_gives_itself_is_where_the_host_sends_packets_only_if_it_does(
    stack: ExitStack, claimed: str | None, address: str, expected: list[str] | None, connected: bool
) -> None:
    """`ip address add 8.8.8.8/32 dev lo` in a container, whose root may do so, is the way of nobody's packets."""
    web = make_netns(WEB) if claimed is None else own(WEB, claimed)
    local = Endpoint(address if connected else "0.0.0.0", 53)
    remote = Endpoint(HERE, 40000) if connected else ANY
    waiting = row(local, remote, process(30, "dns"), protocol=Protocol.UDP, netns=WEB)
    resolver = stack.enter_context(Resolver(MadeLooks(see(waiting, netns=(BRIDGE, web))), limits=NOW))
    told = resolver.resolve("udp", (HERE, 40000), (address, 53))
    assert names(told.destination) == expected


def test_a_netns_is_reached_from_outside_by_a_link_of_the_host_and_by_itself_at_each_address(stack: ExitStack) -> None:
    web = own(WEB, "172.17.0.2/32", "10.200.0.1/32")
    waiting = row(Endpoint("0.0.0.0", 53), ANY, process(30, "dns"), protocol=Protocol.UDP, netns=WEB)
    resolver = stack.enter_context(Resolver(MadeLooks(see(waiting, netns=(BRIDGE, web))), limits=NOW))
    for source, destination, expected in (
        (PEER, "172.17.0.2", ["dns"]),
        (PEER, "10.200.0.1", None),
        ("172.17.0.2", "10.200.0.1", ["dns"]),
        ("127.0.0.1", "10.200.0.1", ["dns"]),
    ):
        assert names(resolver.resolve("udp", (source, 40000), (destination, 53)).destination) == expected
