"""Sockets that die, whose they were, and what is said where that is not known."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nsagent.errors import AccessDenied, EventsUnavailable, Reason
from nsagent.events.flows import has_socket
from nsagent.events.losses import Losses
from nsagent.events.socket_events import SocketEvents
from nsagent.kernel.conntrack_events import FlowBatch, Tracked
from nsagent.kernel.destroy_events import Ended, EndedBatch
from nsagent.kernel.formats.conntrack import Flow, Way
from nsagent.kernel.formats.socket_destroy import Destroyed
from nsagent.kernel.netns_id_events import IdNotices
from nsagent.kernel.proc_events import EventsLost
from nsagent.kernel.procfs import ProcFs
from nsagent.model.change import UNKNOWN_NETNS, Change, ChangedSocket, ChangeKind
from nsagent.model.container import Container, Pod
from nsagent.model.gap import AlikeGaps, Kind, Stage, Subject
from nsagent.model.ids import ContainerId, PodUid, SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Family, Protocol, SocketState, TcpInfo
from nsagent.model.process import Process
from nsagent.model.snapshot import OwnedSocket, VerdictKind
from nsagent.model.socket_event import FinalTcp, OwnerSource, SocketEvent, SocketEventKind, SocketEventSource
from nsagent.query.own_addresses import OwnAddresses
from nsagent.query.reach import Reach
from tests.kernel.formats.test_socket_destroy import ended
from tests.scan.snapshots import HOST, WEB, container, listener, make_netns, pod, process, snapshot, socket

SERVER, CLIENT = Endpoint("10.0.0.2", 80), Endpoint("10.0.0.3", 40000)
INFO = TcpInfo(20, 9, 4, 0, 3, 0, 10, 1448, 500, 501, 1000, 0, 0)
FINAL = FinalTcp(500, 1000, 20, 3)
WALL_NS = 1_767_323_045_678_000_000
AT = "2026-01-02T03:04:05.678Z"
WEB_ID = 7
"""By which the kernel tells of the other netns than the host's."""


class Kernel:
    """A source that tells what a test puts in."""

    home = HOST
    limit: EventsUnavailable | None = None
    flows_failure: EventsUnavailable | None = None

    def __init__(self) -> None:
        self.batches: deque[EndedBatch] = deque()
        self.flows: deque[FlowBatch] = deque()
        self.notices: deque[IdNotices] = deque()
        self.refused = False
        self.closed = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)

    def tell(self, *sockets: Ended, lost: EventsLost | None = None, drained: bool = True) -> None:
        self.batches.append(EndedBatch(sockets, lost, drained))
        os.eventfd_write(self._wake, 1)

    def filenos(self) -> tuple[int, ...]:
        return (self._wake,)

    def read(self) -> EndedBatch:
        return self.batches.popleft() if self.batches else EndedBatch((), None, True)

    def read_flows(self) -> FlowBatch:
        return self.flows.popleft() if self.flows else FlowBatch((), None, True)

    def read_ids(self) -> IdNotices:
        return self.notices.popleft() if self.notices else IdNotices((), False)

    def give_nsid(self, netns_fd: int) -> int | None:
        if self.refused:
            raise AccessDenied("netns ids", "EPERM")
        return WEB_ID

    def close(self) -> None:
        self.closed = True
        os.close(self._wake)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """Events of a kernel that the test plays, and a file in the place of a netns that a pass holds open."""

    def __init__(self, held: int, **options: Any) -> None:
        self.held, self.web = held, os.fstat(held).st_ino
        self.kernel, self.clock = Kernel(), Clock()
        self.events = SocketEvents(
            connect=lambda _: self.kernel, clock=self.clock, wall_clock_ns=lambda: WALL_NS, **options
        )

    def learn(
        self,
        *sockets: OwnedSocket,
        processes: Iterable[Process] = (),
        client_ports: Any = (32768, 60999),
        cookie: int | None = None,
        **others: Any,
    ) -> None:
        """A pass has met the netns, and seen this in it."""
        self.events.see_netns(self.held)
        own = ("10.0.0.2/32", "10.0.0.3/32")
        web = make_netns(self.web, cookie=cookie)._replace(client_ports=client_ports, own_addresses=own)
        seen = snapshot(*sockets, netns=(make_netns(HOST), web), **others)
        self.events.learn(seen._replace(processes=tuple(one._replace(netns=self.web) for one in processes)))

    def hear(self, *sockets: Ended) -> tuple[SocketEvent, ...]:
        """What is told of these."""
        self.kernel.tell(*sockets)
        return self.events.read()

    def tell(
        self,
        owner_source: OwnerSource,
        *holders: Process,
        local: Endpoint = SERVER,
        remote: Endpoint = CLIENT,
        protocol: Protocol = Protocol.TCP,
        netns: int | None = None,
        cookie: int = 5,
        in_container: Container | None = None,
        in_pod: Pod | None = None,
    ) -> SocketEvent:
        """The event of a socket that no pass saw."""
        return SocketEvent(
            SocketEventKind.CLOSE,
            Change(
                at=AT,
                kind=ChangeKind.CLOSED,
                socket=ChangedSocket(
                    netns=self.web if netns is None else netns,
                    netns_name="host" if netns == HOST else None,
                    protocol=protocol,
                    state=SocketState.CLOSE,
                    local=local,
                    remote=remote,
                    inode=SocketInode(0),
                    cookie=SocketCookie(cookie),
                    uid=None,
                    holders=tuple((one.pid, one.start_ticks, one.comm) for one in holders),
                ),
                container_id=in_container.id if in_container else None,
                container_name=in_container.name if in_container else None,
                image=in_container.image if in_container else None,
                pod=in_pod,
            ),
            SocketEventSource.DESTROY,
            owner_source,
            FINAL if protocol is Protocol.TCP else None,
        )


@pytest.fixture
def scene(same_fds: None, tmp_path: Path) -> Iterator[Scene]:
    with (tmp_path / "netns").open("w") as held:
        scene = Scene(held.fileno())
        yield scene
        scene.events.close()


def end(
    local: Endpoint = SERVER, remote: Endpoint = CLIENT, *, nsid: int | None = WEB_ID, cookie: int = 5, **others: Any
) -> Ended:
    """A TCP connection, by default of the server's end."""
    return Ended(nsid, Destroyed(ended(SocketState.CLOSE, local, remote, cookie=cookie, **others), INFO))


SHOP, OTHER = container("shop"), container("other", "b")
HTTPD = process(10, "httpd", container=SHOP)


def connection(*holders: Process, netns: int, cookie: int = 5) -> OwnedSocket:
    return socket(SocketState.ESTABLISHED, SERVER, CLIENT, *holders, netns=netns, cookie=cookie)


def test_a_socket_that_a_pass_saw_is_told_as_it_was_and_for_how_long_it_was_seen(scene: Scene) -> None:
    scene.learn(connection(HTTPD, netns=scene.web), containers=[SHOP])
    scene.clock.now += 5
    scene.learn(connection(HTTPD, netns=scene.web), containers=[SHOP])
    scene.clock.now += 2
    (event,) = scene.hear(end())
    expected = scene.tell(OwnerSource.SNAPSHOT, HTTPD, in_container=SHOP)
    assert expected.change.socket is not None
    seen = expected.change.socket._replace(state=SocketState.ESTABLISHED, inode=SocketInode(7), uid=0, interface=None)
    assert event == expected._replace(change=expected.change._replace(socket=seen), lifetime_seconds=7.0)


def test_it_is_known_by_its_cookie_whatever_is_left_of_its_ends_and_of_its_netns(scene: Scene) -> None:
    """After a reset the kernel tells no remote port; a netns may be gone."""
    scene.learn(connection(HTTPD, netns=scene.web), containers=[SHOP])
    (event,) = scene.hear(end(Endpoint("0.0.0.0", 80), Endpoint("10.0.0.3", 0), nsid=99))
    assert (event.owner_source, event.change.container_id) == (OwnerSource.SNAPSHOT, SHOP.id)
    assert event.change.socket is not None
    assert (event.change.socket.local, event.change.socket.remote) == (SERVER, CLIENT)


def test_what_died_while_a_pass_was_made_is_known_by_the_one_before_but_no_longer(scene: Scene) -> None:
    scene.learn(connection(HTTPD, netns=scene.web), containers=[SHOP])
    scene.learn()
    assert [each.owner_source for each in scene.hear(end())] == [OwnerSource.SNAPSHOT]
    scene.learn(connection(HTTPD, netns=scene.web), containers=[SHOP])
    scene.learn()
    scene.learn()
    assert [each.owner_source for each in scene.hear(end())] == [OwnerSource.NONE]


def test_who_held_a_socket_is_known_while_the_kernel_still_sends_what_is_left(scene: Scene) -> None:
    orphan = socket(SocketState.FIN_WAIT1, SERVER, CLIENT, netns=scene.web, cookie=5, verdict=VerdictKind.ORPHAN)
    scene.learn(connection(HTTPD, netns=scene.web), containers=[SHOP])
    scene.learn(orphan)
    scene.learn(orphan)
    (event,) = scene.hear(end())
    assert event.change.socket is not None
    assert (event.owner_source, event.change.container_name, event.change.socket.holders) == (
        OwnerSource.SNAPSHOT,
        "shop",
        ((HTTPD.pid, HTTPD.start_ticks, HTTPD.comm),),
    )


@pytest.mark.parametrize("state", [SocketState.TIME_WAIT, SocketState.SYN_RECV, SocketState.FIN_WAIT2])
def test_what_the_kernel_keeps_of_a_connection_is_not_the_socket_that_died(scene: Scene, state: SocketState) -> None:
    """A pass saw it after the end: how long it was open is not known."""
    left = socket(state, SERVER, CLIENT, netns=scene.web, cookie=5, inode=0, verdict=VerdictKind.TIME_WAIT)
    scene.learn(left, listener(80, HTTPD, netns=scene.web), containers=[SHOP], processes=[HTTPD])
    assert scene.hear(end()) == (scene.tell(OwnerSource.LISTENER, HTTPD, in_container=SHOP),)


def test_a_listener_is_told_as_one_and_without_what_tcp_counts_of_connections(scene: Scene) -> None:
    scene.learn(listener(80, HTTPD, netns=scene.web, cookie=5), containers=[SHOP])
    (event,) = scene.hear(end(Endpoint("0.0.0.0", 80), Endpoint("0.0.0.0", 0)))
    assert (event.change.kind, event.final) == (ChangeKind.LISTENER_GONE, None)


def test_a_connection_that_no_pass_saw_is_its_listeners(scene: Scene) -> None:
    scene.learn(listener(80, HTTPD, netns=scene.web), containers=[SHOP], processes=[HTTPD, process(11)])
    assert scene.hear(end()) == (scene.tell(OwnerSource.LISTENER, HTTPD, in_container=SHOP),)


def test_a_listener_on_the_host_is_named_too(scene: Scene) -> None:
    sshd = process(12, "sshd")
    scene.learn(listener(80, sshd, netns=scene.web), processes=[sshd])
    assert scene.hear(end()) == (scene.tell(OwnerSource.LISTENER, sshd),)


@pytest.mark.parametrize(
    "why", ["another port", "a client's port", "a listener elsewhere", "an address of nobody", "a bound device"]
)
def test_nobody_is_charged_against_what_is_known(scene: Scene, why: str) -> None:
    """By its listener; and others live in the netns."""
    place = HOST if why == "a listener elsewhere" else scene.web
    port = 40000 if why == "a client's port" else 81 if why == "another port" else 80
    local = Endpoint("10.9.9.9" if why == "an address of nobody" else "10.0.0.2", 40000 if port == 40000 else 80)
    scene.learn(listener(port, HTTPD, netns=place), containers=[SHOP], processes=[HTTPD, process(11)])
    interface = 3 if why == "a bound device" else 0
    assert scene.hear(end(local, interface=interface)) == (scene.tell(OwnerSource.NONE, local=local),)


def test_a_clients_end_is_the_containers_that_lives_alone_in_its_netns(scene: Scene) -> None:
    scene.learn(containers=[SHOP], processes=[HTTPD])
    assert scene.hear(end(CLIENT, SERVER)) == (
        scene.tell(OwnerSource.NETNS, local=CLIENT, remote=SERVER, in_container=SHOP),
    )


@pytest.mark.parametrize(
    ("lodgers", "source"),
    [
        (frozenset({SHOP.id}), OwnerSource.NETNS),
        (frozenset({SHOP.id, OTHER.id}), OwnerSource.NONE),
        (frozenset({SHOP.id, None}), OwnerSource.NONE),
    ],
)
def test_who_came_since_or_left_lately_may_have_made_it_too(
    same_fds: None, tmp_path: Path, lodgers: frozenset[ContainerId | None], source: OwnerSource
) -> None:
    asked: list[tuple[int, int | None]] = []

    def list_lodgers(number: int, cookie: int | None) -> frozenset[ContainerId | None]:
        asked.append((number, cookie))
        return lodgers

    with (tmp_path / "netns").open("w") as held:
        scene = Scene(held.fileno(), list_lodgers=list_lodgers)
        scene.learn(containers=[SHOP], processes=[HTTPD], cookie=77)
        assert [each.owner_source for each in scene.hear(end(CLIENT, SERVER), end(CLIENT, SERVER))] == [source] * 2
        scene.events.close()
    assert asked == [(scene.web, 77)] * 2


def test_of_several_containers_of_one_pod_it_is_the_pods(scene: Scene) -> None:
    both = [each._replace(pod=pod("web-1", "u1")) for each in (SHOP, OTHER)]
    scene.learn(containers=both, processes=[HTTPD, process(11, container=OTHER)])
    assert scene.hear(end(CLIENT, SERVER)) == (
        scene.tell(OwnerSource.NETNS, local=CLIENT, remote=SERVER, in_pod=Pod(PodUid("u1"), "web-1", "shop")),
    )


@pytest.mark.parametrize("doubt", ["fds of somebody there", "fds of a stranger", "a process", "the table", "the netns"])
def test_where_it_is_not_sure_who_lives_there_nobody_is_named(scene: Scene, doubt: str) -> None:
    stage, subject = {
        "fds of somebody there": (Stage.FDS, Subject(Kind.PROCESS, "10")),
        "fds of a stranger": (Stage.FDS, Subject(Kind.PROCESS, "99")),
        "a process": (Stage.PROCESSES, Subject(Kind.PROCESS, "9")),
        "the table": (Stage.TABLES, Subject(Kind.TABLE, str(scene.web), Protocol.TCP)),
        "the netns": (Stage.NETNS, Subject(Kind.NETNS, str(scene.web))),
    }[doubt]
    gap = AlikeGaps(stage, subject.kind, (subject,), Reason.DENIED, "EACCES", None, 1)
    scene.learn(containers=[SHOP], processes=[HTTPD], gaps=(gap,))
    assert scene.hear(end(CLIENT, SERVER)) == (scene.tell(OwnerSource.NONE, local=CLIENT, remote=SERVER),)


def test_what_was_not_read_elsewhere_is_no_doubt(scene: Scene) -> None:
    subject = Subject(Kind.NETNS, "1")
    gap = AlikeGaps(Stage.NETNS, Kind.NETNS, (subject,), Reason.DENIED, "EACCES", None, 1)
    scene.learn(containers=[SHOP], processes=[HTTPD], gaps=(gap,))
    assert [each.owner_source for each in scene.hear(end(CLIENT, SERVER))] == [OwnerSource.NETNS]


def test_two_ends_on_one_host_are_two_events_each_with_its_own_container(scene: Scene) -> None:
    scene.learn(listener(80, HTTPD, netns=HOST), containers=[SHOP, OTHER], processes=[process(11, container=OTHER)])
    told = scene.hear(end(CLIENT, SERVER, cookie=5), end(nsid=None, cookie=6))
    assert [(each.owner_source, each.change.container_name) for each in told] == [
        (OwnerSource.NETNS, "other"),
        (OwnerSource.NONE, None),
    ]


def test_without_an_id_it_is_of_the_netns_in_which_it_is_listened(scene: Scene) -> None:
    scene.learn()
    assert scene.hear(end(nsid=None)) == (scene.tell(OwnerSource.NONE, netns=HOST),)


def test_a_netns_that_no_pass_met_is_not_known(scene: Scene) -> None:
    scene.learn(containers=[SHOP], processes=[HTTPD])
    assert scene.hear(end(nsid=8)) == (scene.tell(OwnerSource.NONE, netns=UNKNOWN_NETNS),)


def test_a_socket_that_never_had_an_end_is_no_event(scene: Scene) -> None:
    nowhere = Endpoint("0.0.0.0", 0)
    assert scene.hear(end(nowhere, nowhere)) == ()


def test_udp_is_told_without_what_tcp_counts(scene: Scene) -> None:
    scene.learn(containers=[SHOP], processes=[HTTPD])
    row = ended(SocketState.CLOSE, CLIENT, cookie=5, protocol=Protocol.UDP)
    (event,) = scene.hear(Ended(WEB_ID, Destroyed(row, None)))
    nobody = Endpoint("0.0.0.0", 0)
    udp = scene.tell(OwnerSource.NETNS, local=CLIENT, remote=nobody, protocol=Protocol.UDP, in_container=SHOP)
    assert event == udp


@pytest.mark.parametrize(
    ("info", "final"),
    [
        (INFO._replace(bytes_acked=502), FINAL),
        (INFO._replace(bytes_acked=300), FINAL._replace(sent_bytes=300)),
        (INFO._replace(bytes_sent=700, bytes_retransmitted=200), FINAL),
        (INFO._replace(bytes_retransmitted=None), FINAL._replace(sent_bytes=None)),
        (INFO._replace(bytes_received=None, rtt_us=0), FINAL._replace(received_bytes=None, rtt_microseconds=None)),
    ],
    ids=["both", "some acknowledged", "some twice", "an old kernel", "nothing measured"],
)
def test_what_was_sent_is_what_the_peer_has_of_the_data(scene: Scene, info: TcpInfo, final: FinalTcp) -> None:
    (event,) = scene.hear(end()._replace(socket=end().socket._replace(tcp_info=info)))
    assert event.final == final


FAR, FARTHER = Endpoint("172.16.0.9", 50000), Endpoint("192.0.2.1", 443)
FLOW = Flow(False, Protocol.TCP, Family.IPV4, Way(FAR, FARTHER), Way(FARTHER, Endpoint("198.51.100.1", 50000)))


def tell_flows(scene: Scene, *flows: Tracked, lost: EventsLost | None = None) -> tuple[SocketEvent, ...]:
    scene.kernel.flows.append(FlowBatch(flows, lost, True))
    return scene.hear()


def test_a_flow_that_passes_through_is_told_as_it_begins_and_as_it_is_forgotten(scene: Scene) -> None:
    scene.learn(containers=[SHOP], processes=[HTTPD])
    told = tell_flows(scene, Tracked(WEB_ID, FLOW), Tracked(None, FLOW._replace(ended=True)), Tracked(8, FLOW))
    ended = scene.tell(OwnerSource.NONE, netns=HOST, local=FAR, remote=FARTHER)
    assert ended.change.socket is not None
    gone = ended.change._replace(socket=ended.change.socket._replace(cookie=None))
    assert gone.socket is not None
    come = gone._replace(
        kind=ChangeKind.OPENED,
        socket=gone.socket._replace(netns=scene.web, netns_name=None, state=SocketState.SYN_SENT),
    )
    assert come.socket is not None
    elsewhere = come._replace(socket=come.socket._replace(netns=UNKNOWN_NETNS))
    assert told == tuple(
        SocketEvent(kind, change, SocketEventSource.CONNTRACK, OwnerSource.NONE)
        for kind, change in (
            (SocketEventKind.OPEN, come),
            (SocketEventKind.CLOSE, gone),
            (SocketEventKind.OPEN, elsewhere),
        )
    )


@pytest.mark.parametrize("way", ["original", "reply"])
@pytest.mark.parametrize("end", ["source", "destination"])
def test_a_flow_one_end_of_which_is_a_socket_here_is_not_told_twice(scene: Scene, way: str, end: str) -> None:
    """Before NAT, as a client has it, or behind it, as a server does."""
    scene.learn()
    here = FLOW._replace(**{way: getattr(FLOW, way)._replace(**{end: SERVER})})
    assert tell_flows(scene, Tracked(WEB_ID, here)) == ()


def test_a_flow_to_what_another_netns_only_says_that_it_is_its_own_is_told(scene: Scene) -> None:
    """A container that gives itself half of the world hides the flows of nobody else."""
    web = make_netns(WEB)._replace(own_addresses=("0.0.0.0/1", "128.0.0.0/1"))
    home = make_netns(HOST)._replace(own_addresses=("127.0.0.1/32",), linked=("172.17.0.0/16",))
    all_own = OwnAddresses((home, web))
    reach = Reach((home, web), all_own)
    assert not has_socket(FLOW, HOST, all_own, reach)
    assert has_socket(FLOW, WEB, all_own, reach)
    of_container = FLOW._replace(original=Way(Endpoint("172.17.0.2", 5), FARTHER))
    assert has_socket(of_container, HOST, all_own, reach)


def test_before_the_first_pass_no_flow_is_told(scene: Scene) -> None:
    assert tell_flows(scene, Tracked(WEB_ID, FLOW)) == ()


def test_losses_of_flows_count_too(scene: Scene) -> None:
    tell_flows(scene, lost=EventsLost(3, True))
    assert scene.events.losses == Losses(1, 3)


def test_the_last_words_of_a_netns_are_its_own_and_the_next_ones_are_nobodys_until_a_pass(scene: Scene) -> None:
    scene.learn(containers=[SHOP], processes=[HTTPD])
    scene.kernel.notices.append(IdNotices(((WEB_ID, False),), False))
    scene.kernel.tell(end(), drained=False)
    scene.kernel.tell(end(cookie=6))
    told = [*scene.events.read(), *scene.events.read(), *scene.hear(end(cookie=7))]
    assert [each.owner_source for each in told] == [OwnerSource.NETNS, OwnerSource.NETNS, OwnerSource.NONE]


def test_what_may_be_of_either_netns_of_an_id_is_nobodys(scene: Scene) -> None:
    scene.learn(containers=[SHOP], processes=[HTTPD])
    scene.kernel.notices.append(IdNotices(((WEB_ID, False), (WEB_ID, True)), False))
    assert scene.hear(end()) == (scene.tell(OwnerSource.NONE, netns=UNKNOWN_NETNS),)


def test_after_a_loss_of_notices_no_netns_is_known_until_a_pass(scene: Scene) -> None:
    scene.learn(containers=[SHOP], processes=[HTTPD])
    scene.kernel.notices.append(IdNotices((), True))
    told = list(scene.hear(end()))
    scene.learn(containers=[SHOP], processes=[HTTPD])
    scene.hear()
    told += scene.hear(end())
    assert [each.owner_source for each in told] == [OwnerSource.NONE, OwnerSource.NETNS]


def test_netns_without_an_id_are_counted_by_the_pass(scene: Scene) -> None:
    scene.kernel.refused = True
    scene.learn()
    assert scene.events.unheard == 1
    scene.kernel.refused = False
    scene.learn()
    assert scene.events.unheard == 0


def test_who_hears_one_netns_alone_gives_out_no_ids(scene: Scene) -> None:
    limit = scene.events.limit = EventsUnavailable("sockets of other netns", Reason.DENIED, "EPERM")
    scene.kernel.refused = True
    scene.learn()
    assert (scene.events.limit, scene.events.unheard) == (limit, 0)


def test_losses_are_counted(scene: Scene) -> None:
    scene.kernel.tell(lost=EventsLost(10, True), drained=False)
    scene.kernel.tell(lost=EventsLost(5, False))
    scene.events.read()
    scene.events.read()
    assert scene.events.losses == Losses(1, 15)


def test_more_sockets_than_are_kept_are_told_by_their_netns(scene: Scene) -> None:
    small = Scene(scene.held, most_sockets=1)
    both = [connection(HTTPD, netns=scene.web, cookie=cookie) for cookie in (5, 6)]
    small.learn(*both, containers=[SHOP], processes=[HTTPD])
    told = small.hear(end(cookie=5), end(cookie=6))
    assert [each.owner_source for each in told] == [OwnerSource.SNAPSHOT, OwnerSource.NETNS]
    assert small.events.left_out == 1
    small.events.close()


def test_take_waits_for_one_and_gives_each_once(scene: Scene) -> None:
    scene.kernel.tell()
    scene.kernel.tell(end(), end(cookie=6))
    told = [scene.events.take(60), scene.events.take(0), scene.events.take(0)]
    assert [each and each.change.socket and each.change.socket.cookie for each in told] == [5, 6, None]


def test_whoever_waits_is_told_of_the_end(scene: Scene) -> None:
    told: list[list[SocketEvent]] = []
    thread = threading.Thread(target=lambda: told.append(list(scene.events)))
    thread.start()
    scene.events.close()
    thread.join()
    assert (told, scene.events.read(), scene.events.take(0), scene.kernel.closed) == ([[]], (), None, True)


def test_where_the_kernel_tells_nothing_it_is_said_why(same_fds: None) -> None:
    failure = EventsUnavailable("socket events: EPERM", Reason.DENIED, "EPERM")

    def refuse(_: object) -> Kernel:
        raise failure

    with SocketEvents(connect=refuse) as events:
        events.see_netns(-1)
        events.learn(snapshot())
        assert (events.failure, events.limit, events.read(), events.take(0)) == (failure, None, (), None)


def test_without_fds_to_wait_with_nothing_is_left_open(same_fds: None, few_fds: Callable[[int], None]) -> None:
    kernel = Kernel()

    def connect(_: ProcFs) -> Kernel:
        few_fds(1)
        return kernel

    with pytest.raises(EventsUnavailable, match="EMFILE"):
        SocketEvents(connect=connect)
    assert kernel.closed
