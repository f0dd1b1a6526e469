"""Sockets that die, as the kernel tells of them, and whose they were: between real netns, and between containers."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import NamedTuple

import pytest

from nsagent.errors import EventsUnavailable, Reason
from nsagent.events.losses import Losses
from nsagent.events.socket_events import SocketEvents
from nsagent.kernel.capabilities import Capability as Right
from nsagent.kernel.capabilities import give_back_capabilities
from nsagent.kernel.netlink import open_netlink
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.sock_diag import NETLINK_SOCK_DIAG
from nsagent.kernel.socket_notices import SocketNotices, open_socket_notices
from nsagent.model.change import Change, ChangedSocket, ChangeKind
from nsagent.model.ids import Pid
from nsagent.model.net import Endpoint, Protocol
from nsagent.model.snapshot import Snapshot
from nsagent.model.socket_event import FinalTcp, OwnerSource, SocketEvent, SocketEventKind, SocketEventSource
from nsagent.runtimes.discover import discover_runtimes
from nsagent.scan.collect.carried import Carried
from nsagent.scan.plan import TablesWanted
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import take_snapshot
from tests.kernel.apart import run_apart
from tests.kernel.formats.test_socket_destroy import RECORDED, TOLD
from tests.kernel.inside import make_in
from tests.live.actors import Actor, Held
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed
from tests.live.netns_bed import MadeNetns, NetnsBed, run_ip
from tests.live.rows import read_ss_rows
from tests.live.test_receivers import IPV4, join
from tests.live.test_traces import has_link

PORT = 8080
SO_COOKIE = 57
DEFAULT_BYTES = 106496
"""Which the kernel doubles: so much a socket has that nobody asked more for."""
AWAIT_SECONDS = 60.0
TRY_SECONDS = 10.0


class Hearing:
    """Socket events of this host, and passes that tell them whose sockets are."""

    def __init__(self, events: SocketEvents, runtime: str) -> None:
        self.events = events
        self._carried = Carried()
        self._carried.netns_met = events.see_netns
        self._runtimes = discover_runtimes(runtime, {}, clock=time.monotonic)

    def look(self) -> Snapshot:
        """One pass, which the events learn."""
        request = SnapshotRequest("node", time.time_ns(), tables=TablesWanted(own_addresses=True))
        snapshot = take_snapshot(request, self._runtimes, clock=time.monotonic, carried=self._carried).snapshot
        self.events.learn(snapshot)
        return snapshot

    def await_events(self, number: int, wanted: Callable[[SocketEvent], bool]) -> list[SocketEvent]:
        """The first so many events that are wanted."""
        found = self.take_events(number, wanted, AWAIT_SECONDS)
        assert len(found) == number, f"{self.events.losses}, {self.events.unheard} unheard, and only {found}"
        return found

    def take_events(self, number: int, wanted: Callable[[SocketEvent], bool], seconds: float) -> list[SocketEvent]:
        """The same, or fewer where no more come in that time."""
        found: list[SocketEvent] = []
        end = time.monotonic() + seconds
        while len(found) < number and (event := self.events.take(end - time.monotonic())) is not None:
            if wanted(event):
                found.append(event)
        return found


@pytest.fixture
def hear() -> Iterator[Callable[..., Hearing]]:
    require(Capability.ROOT)
    made: list[SocketEvents] = []

    def listen(runtime: str = "none", **arguments: object) -> Hearing:
        made.append(SocketEvents(**arguments))  # type: ignore[arg-type]
        return Hearing(made[-1], runtime)

    yield listen
    for each in made:
        each.close()


def is_end_in(*netns: int) -> Callable[[SocketEvent], bool]:
    """Whether it is of an end of a connection to PORT, in one of these netns."""

    def has(event: SocketEvent) -> bool:
        ended = event.change.socket
        return ended is not None and ended.netns in netns and PORT in (ended.local.port, ended.remote.port)

    return lambda event: has(event) and event.change.kind is not ChangeKind.LISTENER_GONE


class Street(NamedTuple):
    """Two netns with an actor in each, joined by a veth pair; `server` listens."""

    near: MadeNetns
    far: MadeNetns
    server: Actor
    client: Actor
    listener: Held

    def has(self, event: SocketEvent) -> bool:
        """Whether it is of an end of a connection to the listener."""
        return is_end_in(self.near.inode, self.far.inode)(event)


@pytest.fixture
def street(bed: NetnsBed) -> Street:
    (near, server), (far, client) = bed.stage(), bed.stage()
    join(near, far)
    return Street(near, far, server, client, server.listen("0.0.0.0", PORT))


def tell_ends(events: Iterable[SocketEvent]) -> list[tuple[int, int, OwnerSource, list[Pid]]]:
    """Of each its netns, its port, and who is named by what; the servers' ends first."""
    sockets = [(each, each.change.socket) for each in events]
    ends = [
        (one.netns, one.local.port, each.owner_source, [pid for pid, _, _ in one.holders])
        for each, one in sockets
        if one
    ]
    return sorted(ends, key=lambda end: end[1])


def test_a_short_connection_between_two_netns_is_told_at_both_ends(
    street: Street, hear: Callable[..., Hearing]
) -> None:
    hearing = hear()
    hearing.look()
    assert (hearing.events.failure, hearing.events.limit, hearing.events.unheard) == (None, None, 0)
    pair = street.server.pair(street.listener, street.client, address=IPV4)
    street.client.drop(pair.client)
    street.server.drop(pair.server)
    assert tell_ends(hearing.await_events(2, street.has)) == [
        (street.near.inode, PORT, OwnerSource.LISTENER, [street.server.pid]),
        (street.far.inode, pair.client.port, OwnerSource.NONE, []),
    ]


def test_a_connection_that_a_pass_saw_is_told_as_that_saw_it(street: Street, hear: Callable[..., Hearing]) -> None:
    pair = street.server.pair(street.listener, street.client, address=IPV4)
    street.client.ask("send", fd=pair.client.fd, count=1000)
    hearing = hear()
    seen = next(one for one in hearing.look().sockets if one.row.inode == pair.client.inode)
    street.client.drop(pair.client)
    street.server.drop(pair.server)
    ended = hearing.await_events(2, street.has)
    (event,) = [each for each in ended if each.change.socket and each.change.socket.inode == pair.client.inode]
    row, (owner,) = seen.row, seen.owners
    assert event.lifetime_seconds is not None
    assert event.final is not None
    assert event == SocketEvent(
        SocketEventKind.CLOSE,
        Change(
            at=event.change.at,
            kind=ChangeKind.CLOSED,
            socket=ChangedSocket(
                netns=street.far.inode,
                netns_name=street.far.name,
                protocol=Protocol.TCP,
                state=row.state,
                local=row.local,
                remote=Endpoint(IPV4, PORT),
                inode=row.inode,
                cookie=row.cookie,
                uid=0,
                holders=((owner.process.pid, owner.process.start_ticks, owner.process.comm),),
            ),
            container_id=None,
            container_name=None,
            image=None,
            pod=None,
            unit=owner.process.unit,
        ),
        SocketEventSource.DESTROY,
        OwnerSource.SNAPSHOT,
        FinalTcp(1000, event.final.received_bytes, event.final.rtt_microseconds, 0),
        event.lifetime_seconds,
    )
    assert 0 < event.lifetime_seconds < 600


def test_a_short_connection_between_two_containers_is_told_with_both(
    docker_bed: DockerBed, hear: Callable[..., Hearing]
) -> None:
    server = docker_bed.run("heard-server", "bridge", ["httpd", "-f", "-p", str(PORT)])
    client = docker_bed.run("heard-client", "bridge", ["sleep", "3600"])
    try:
        until(lambda: {row.local[1] for row in read_ss_rows(f"/proc/{server.pid}/ns/net")}, "the server listens")

        def connect() -> list[SocketEvent]:
            """Both ends, unless one was lost, or told by an id that the netns has from one that has gone just then."""
            hearing.look()
            docker_bed.execute(client, ["nc", docker_bed.address(server), str(PORT)])
            ends = hearing.take_events(2, is_end_in(server.netns_inode, client.netns_inode), TRY_SECONDS)
            return ends if len(ends) == 2 else []

        hearing = hear(f"docker={docker_bed.url}")
        ended = until(connect, "both ends of a connection are told")
    finally:
        docker_bed.remove_all()
    told = {(one.change.container_name, one.change.container_id, one.owner_source) for one in ended}
    assert told == {
        ("heard-server", server.id, OwnerSource.LISTENER),
        ("heard-client", client.id, OwnerSource.NETNS),
    }


def test_a_netns_is_freed_while_it_is_listened_to(bed: NetnsBed, hear: Callable[..., Hearing]) -> None:
    """The far end of a veth pair goes with the netns, and only when nothing pins it any more."""
    (doomed, actor), witness = bed.stage(), bed.named()
    assert doomed.name is not None
    assert witness.name is not None
    run_ip("-n", doomed.name, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", witness.name)
    hearing = hear()
    listener = actor.listen()
    hearing.look()
    actor.drop(listener)
    (event,) = hearing.await_events(
        1, lambda each: each.change.kind is ChangeKind.LISTENER_GONE and is_of(each, doomed)
    )
    assert event.change.socket is not None
    assert event.change.socket.local.port == listener.port
    bed.end(actor)
    assert has_link(witness, "far")
    bed.delete(doomed)
    until(lambda: not has_link(witness, "far"), "the netns is gone")


def is_of(event: SocketEvent, netns: MadeNetns) -> bool:
    return event.change.socket is not None and event.change.socket.netns == netns.inode


def end_many(number: int) -> set[int]:
    """The cookies of so many sockets that were opened and closed."""
    cookies = set()
    for _ in range(number):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.bind(("127.0.0.1", 0))
            cookies.add(struct.unpack("=Q", made.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0])
    return cookies


def test_of_a_burst_nothing_is_lost_where_there_is_room_and_else_all_that_is_lost_is_counted(
    hear: Callable[..., Hearing],
) -> None:
    large, small = hear(), hear(connect=partial(open_socket_notices, receive_bytes=DEFAULT_BYTES))
    ended, heard = end_many(3000), set[int]()
    until(lambda: read_cookies(large, heard) >= ended, "all are told")
    assert large.events.losses == Losses()
    few = read_cookies(small, set())  # What the one was told the other was, or was not, at the same time.
    gaps, lost = small.events.losses
    assert (gaps, bool(few & ended)) == (1, True)
    assert lost + len(few & ended) >= 3000


def read_cookies(hearing: Hearing, cookies: set[int]) -> set[int]:
    """Read what waits, and add the cookies of it."""
    cookies.update(each.change.socket.cookie or 0 for each in hearing.events.read() if each.change.socket)
    return cookies


WITHOUT_BROADCAST = (Right.SYS_PTRACE, Right.SYS_ADMIN, Right.NET_ADMIN, Right.DAC_READ_SEARCH)
WITHOUT_ADMIN = (Right.SYS_PTRACE, Right.SYS_ADMIN, Right.NET_BROADCAST, Right.DAC_READ_SEARCH)


def test_without_net_broadcast_only_the_own_netns_is_heard_and_that_is_said(
    street: Street, hear: Callable[..., Hearing]
) -> None:
    def listen() -> None:
        give_back_capabilities(WITHOUT_BROADCAST)
        hearing = hear()
        hearing.look()
        limit = hearing.events.limit
        assert (type(limit), limit and limit.reason, limit and limit.errno) == (
            EventsUnavailable,
            Reason.DENIED,
            "EPERM",
        )
        street.server.drop(street.listener)
        wanted = end_many(1)
        (event,) = hearing.await_events(
            1, lambda each: bool(each.change.socket and each.change.socket.cookie in wanted)
        )
        assert event.change.socket is not None
        assert event.change.socket.netns == os.stat("/proc/self/ns/net").st_ino

    run_apart(listen)


def test_without_net_admin_a_netns_that_has_no_id_is_not_heard_and_that_is_counted(
    street: Street, bed: NetnsBed, hear: Callable[..., Hearing]
) -> None:
    """In a netns of its own: in the host's somebody else may have given ids."""
    here = bed.named()

    def listen() -> None:
        give_back_capabilities(WITHOUT_ADMIN)
        hearing = hear(connect=lambda _: make_in(here.path, SocketNotices))
        hearing.look()
        assert hearing.events.limit is None
        assert hearing.events.unheard >= 2

    run_apart(listen)


def test_who_is_in_another_netns_listens_in_that_of_the_host() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    program = (
        "from nsagent.kernel.socket_notices import open_socket_notices\n"
        "from nsagent.kernel.procfs import ProcFs\n"
        "print(open_socket_notices(ProcFs()).home)\n"
    )
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) == os.stat("/proc/2/ns/net").st_ino


def test_nobody_but_the_kernel_is_believed(hear: Callable[..., Hearing]) -> None:
    require(Capability.ROOT)
    with closing(open_socket_notices(ProcFs())) as notices, open_netlink(NETLINK_SOCK_DIAG, "a foreigner") as foreigner:
        with socket.socket(fileno=os.dup(notices.filenos()[0])) as same:
            port_id = same.getsockname()[0]
        foreigner.sendto(RECORDED[1], (port_id, 0))
        foreigner.sendto(RECORDED[1], (0, 1))
        wanted, heard = end_many(1), set[int]()
        forged = TOLD[1].row.cookie

        def read() -> set[int]:
            heard.update(one.socket.row.cookie or 0 for one in notices.read().ended)
            return heard & wanted

        until(read, "a socket that died later is told")
        assert forged not in heard


@pytest.fixture
def router(street: Street, bed: NetnsBed) -> tuple[Street, MadeNetns]:
    """A street whose two netns lie behind a third one, which forwards, and tracks what it forwards."""
    require(Capability.IPTABLES)
    netns = bed.named()
    name = str(netns.name)
    for place, link, here, there in (
        (street.near, "left", "10.67.0.2", "10.67.0.1"),
        (street.far, "right", "10.67.1.2", "10.67.1.1"),
    ):
        run_ip("-n", name, "link", "add", link, "type", "veth", "peer", "name", "out", "netns", str(place.name))
        run_ip("-n", name, "address", "add", f"{there}/24", "dev", link)
        run_ip("-n", str(place.name), "address", "add", f"{here}/24", "dev", "out")
        run_ip("-n", name, "link", "set", link, "up")
        run_ip("-n", str(place.name), "link", "set", "out", "up")
        run_ip("-n", str(place.name), "route", "add", "10.67.0.0/16", "via", there)
    for command in (
        "sysctl -qw net.ipv4.ip_forward=1",
        "iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP",
    ):
        run_ip("netns", "exec", name, *command.split())
    return street, netns


def test_a_flow_that_a_netns_forwards_is_told_where_no_pass_has_seen_its_sockets(
    router: tuple[Street, MadeNetns], hear: Callable[..., Hearing]
) -> None:
    street, netns = router

    def listen(_: ProcFs) -> SocketNotices:
        return make_in(netns.path, lambda: SocketNotices(flows=True))

    def connect() -> int:
        """The port of a client that has come and gone."""
        pair = street.server.pair(street.listener, street.client, address="10.67.0.2")
        street.client.drop(pair.client)
        street.server.drop(pair.server)
        return pair.client.port

    hearing = hear(connect=listen)
    assert hearing.events.flows_failure is None
    seen = hearing.look()
    port = connect()
    ended = hearing.await_events(2, lambda each: has_port(each, port))
    assert [each.source for each in ended] == [SocketEventSource.DESTROY] * 2
    hearing.events.learn(seen._replace(netns=tuple(one for one in seen.netns if one.inode == netns.inode)))
    port = connect()
    (event,) = hearing.await_events(1, lambda each: is_of(each, netns) and has_port(each, port))
    assert (event.kind, event.change.kind, event.source) == (
        SocketEventKind.OPEN,
        ChangeKind.OPENED,
        SocketEventSource.CONNTRACK,
    )


def has_port(event: SocketEvent, port: int) -> bool:
    """Whether it is of an end of the connection of a client at this port to PORT."""
    ended = event.change.socket
    return ended is not None and sorted((ended.local.port, ended.remote.port)) == sorted((port, PORT))
