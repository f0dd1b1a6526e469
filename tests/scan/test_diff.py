"""What differs between two snapshots, and what only seems to."""

from itertools import pairwise

import pytest

from nsagent.errors import NotFound, Reason
from nsagent.model.change import Change, ChangedSocket, ChangeKind
from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.container import Container, Pod
from nsagent.model.facts import ProcessCounts
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.ids import Pid, PodUid
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot, VerdictKind
from nsagent.query.filter import Filter
from nsagent.scan.diff import diff_selected, diff_snapshots, list_open
from tests.scan.snapshots import (
    ANY,
    HOST,
    T1,
    WEB,
    container,
    listener,
    make_netns,
    pod,
    process,
    snapshot,
    socket,
)

NGINX, APP = process(10, "nginx"), process(20, "app")
HERE, THERE = Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.9", 443)
KINDS = ChangeKind
CLOSED = {
    SocketState.TIME_WAIT: socket(SocketState.TIME_WAIT, HERE, THERE, inode=0),
    SocketState.SYN_RECV: socket(SocketState.SYN_RECV, HERE, THERE, inode=0),
    SocketState.BOUND_INACTIVE: socket(SocketState.BOUND_INACTIVE, HERE, ANY, APP),
}


def connection(*holders: object, state: SocketState = SocketState.ESTABLISHED, **fields: object) -> OwnedSocket:
    return socket(state, HERE, THERE, *(holders or (APP,)), **fields)  # type: ignore[arg-type]


def kinds(before: Snapshot, after: Snapshot) -> list[str]:
    return [change.kind.value for change in diff_snapshots(before, after)]


def test_a_change_tells_the_socket_who_holds_it_and_whose_it_is() -> None:
    web = container("web", pod=pod("web-7d9c", "11-22"))
    server = process(30, "httpd", container=web)
    before = snapshot(containers=[web])
    after = snapshot(listener(80, server, netns=WEB), taken_at=T1, containers=[web])
    assert diff_snapshots(before, after) == (
        Change(
            at=T1,
            kind=KINDS.NEW_LISTENER,
            socket=ChangedSocket(
                netns=WEB,
                netns_name=None,
                protocol=Protocol.TCP,
                state=SocketState.LISTEN,
                local=Endpoint("0.0.0.0", 80),
                remote=ANY,
                inode=after.sockets[0].row.inode,
                cookie=after.sockets[0].row.cookie,
                uid=0,
                holders=((Pid(30), 100, "httpd"),),
            ),
            container_id=web.id,
            container_name="web",
            image="shop/web:1",
            pod=Pod(PodUid("11-22"), "web-7d9c", "shop"),
        ),
    )


@pytest.mark.parametrize("later", [SocketState.CLOSE_WAIT, SocketState.FIN_WAIT1, SocketState.LAST_ACK])
def test_a_connection_in_another_state_is_neither_opened_nor_closed_but_has_changed(later: SocketState) -> None:
    earlier = snapshot(connection())
    (change,) = diff_snapshots(earlier, snapshot(connection(state=later), taken_at=T1))
    (opened,) = list_open(earlier)
    assert opened.socket is not None
    assert change == opened._replace(
        at=T1,
        kind=KINDS.STATE_CHANGED,
        socket=opened.socket._replace(state=later),
        state_before=SocketState.ESTABLISHED,
    )


def test_of_a_connection_that_is_left_to_the_kernel_it_is_told_who_held_it() -> None:
    left = socket(SocketState.FIN_WAIT1, HERE, THERE, inode=0, verdict=VerdictKind.ORPHAN)
    (change,) = diff_snapshots(snapshot(connection()), snapshot(left))
    assert change.kind is KINDS.STATE_CHANGED
    assert change.socket is not None
    assert (change.socket.holders, change.before) == ((), ((20, 100, "app"),))
    assert kinds(snapshot(left), snapshot(CLOSED[SocketState.TIME_WAIT])) == ["closed"]


def test_another_holder_and_another_state_are_two_changes_that_tell_the_same_socket() -> None:
    """And no new peer, though it is another unit's."""
    after = snapshot(connection(process(10, "nginx", unit="nginx.service"), state=SocketState.CLOSE_WAIT))
    by_holder, by_state = diff_snapshots(snapshot(connection()), after)
    assert [by_holder.kind, by_state.kind] == [KINDS.HOLDER_CHANGED, KINDS.STATE_CHANGED]
    assert by_holder.socket == by_state.socket
    assert (by_holder.before, by_holder.state_before) == (((20, 100, "app"),), None)
    assert (by_state.before, by_state.state_before) == ((), SocketState.ESTABLISHED)


def test_of_a_client_each_state_is_told_that_a_pass_meets_until_it_is_closed() -> None:
    late = socket(SocketState.FIN_WAIT2, HERE, THERE, inode=0, verdict=VerdictKind.TIME_WAIT)
    late = late._replace(row=late.row._replace(uid=None))
    met = [
        connection(state=SocketState.SYN_SENT),
        connection(),
        connection(state=SocketState.FIN_WAIT1),
        connection(state=SocketState.FIN_WAIT2),
        late,
        CLOSED[SocketState.TIME_WAIT],
    ]
    passes = [snapshot(), *map(snapshot, met), snapshot()]
    told = [[kind for kind in kinds(*pair) if kind != "new_peer"] for pair in pairwise(passes)]
    assert told == [["opened"], *[["state_changed"]] * 3, ["closed"], [], []]


def test_a_connection_that_is_accepted_is_in_no_other_state() -> None:
    server = listener(HERE.port, APP, cookie=9)
    waiting = socket(SocketState.CLOSE_WAIT, HERE, THERE, inode=0, verdict=VerdictKind.ACCEPT_QUEUE)
    half_closed = snapshot(server, connection(state=SocketState.CLOSE_WAIT))
    assert kinds(snapshot(server, waiting), half_closed) == []
    (change,) = diff_snapshots(snapshot(server, waiting._replace(row=connection().row)), half_closed)
    assert (change.kind, change.socket and change.socket.holders) == (KINDS.STATE_CHANGED, ((20, 100, "app"),))


def test_the_state_of_the_same_ends_with_another_cookie_has_not_changed() -> None:
    after = snapshot(connection(state=SocketState.CLOSE_WAIT, cookie=2))
    assert kinds(snapshot(connection()), after) == ["closed", "opened"]


def test_a_udp_socket_that_is_connected_is_in_another_state_by_its_cookie() -> None:
    sent_from = socket(SocketState.CLOSE, Endpoint("0.0.0.0", 40000), ANY, APP, protocol=Protocol.UDP)
    connected = socket(SocketState.ESTABLISHED, HERE, THERE, APP, protocol=Protocol.UDP)
    assert kinds(snapshot(sent_from), snapshot(connected)) == ["state_changed", "new_peer"]


def test_a_connection_that_begins_to_listen_is_closed_and_a_new_listener() -> None:
    listening = listener(80, APP)
    assert kinds(snapshot(connection()), snapshot(listening)) == ["new_listener", "closed"]
    assert kinds(snapshot(listening), snapshot(connection(state=SocketState.SYN_SENT))) == ["listener_gone", "opened"]


def test_a_connection_of_which_only_time_wait_is_left_is_closed_once() -> None:
    left = snapshot(CLOSED[SocketState.TIME_WAIT])
    assert kinds(snapshot(connection()), left) == ["closed"]
    assert kinds(left, snapshot()) == []


@pytest.mark.parametrize("row", CLOSED.values(), ids=CLOSED.keys())
def test_what_is_not_open_neither_comes_nor_goes(row: OwnedSocket) -> None:
    assert kinds(snapshot(), snapshot(row)) == []
    assert kinds(snapshot(row), snapshot()) == []


def test_the_end_of_a_handshake_opens_a_connection() -> None:
    server = listener(HERE.port, APP, cookie=9)
    before = snapshot(server, CLOSED[SocketState.SYN_RECV])
    assert kinds(before, snapshot(server, connection())) == ["opened"]


def test_the_same_ends_with_another_cookie_are_another_connection() -> None:
    assert kinds(snapshot(connection()), snapshot(connection(cookie=2))) == ["closed", "opened"]


@pytest.mark.parametrize("cookies", [(None, None), (None, 1), (1, None)])
def test_without_cookies_inode_and_ends_tell(cookies: tuple[int | None, int | None]) -> None:
    """As where the one pass has read /proc, the other by sock_diag."""
    first, second = cookies
    before = snapshot(connection(cookie=first))
    assert kinds(before, snapshot(connection(cookie=second))) == []
    assert kinds(before, snapshot(connection(cookie=second, inode=8))) == ["closed", "opened"]


def test_a_row_without_an_inode_is_the_connection_of_the_same_ends() -> None:
    waiting = connection(inode=0, cookie=None)
    waiting = waiting._replace(owners=(), container_id=None)
    assert kinds(snapshot(waiting), snapshot(connection(cookie=None))) == []


def test_a_connection_that_is_accepted_does_not_change_hands() -> None:
    server = listener(HERE.port, APP, cookie=9)
    waiting = socket(SocketState.ESTABLISHED, HERE, THERE, inode=0, verdict=VerdictKind.ACCEPT_QUEUE)
    assert kinds(snapshot(server, waiting), snapshot(server, connection())) == []
    assert kinds(snapshot(server, connection()), snapshot(server, waiting)) == []


def test_a_listener_of_another_process_is_no_new_one() -> None:
    """Also if its socket is another one."""
    before, after = snapshot(listener(80, NGINX)), snapshot(listener(80, APP, cookie=2, inode=8))
    (change,) = diff_snapshots(before, after)
    assert change.kind is KINDS.HOLDER_CHANGED
    assert (change.before, change.socket and change.socket.holders) == (
        ((10, 100, "nginx"),),
        ((20, 100, "app"),),
    )


def test_a_pid_that_was_given_out_again_is_another_holder() -> None:
    again = process(10, "nginx", start_ticks=500)
    assert kinds(snapshot(listener(80, NGINX)), snapshot(listener(80, again))) == ["holder_changed"]


def test_nobody_is_another_holder_only_where_it_is_known_who_has_the_socket() -> None:
    held = snapshot(listener(80, NGINX))
    for verdict, changed in ((VerdictKind.IN_FLIGHT, ["holder_changed"]), (VerdictKind.HIDDEN, [])):
        bare = snapshot(socket(SocketState.LISTEN, Endpoint("0.0.0.0", 80), verdict=verdict))
        assert kinds(held, bare) == changed
        assert kinds(bare, held) == changed


def test_sockets_that_share_an_endpoint_are_one_listener() -> None:
    one, both = snapshot(listener(80, NGINX)), snapshot(listener(80, NGINX), listener(80, APP, cookie=2))
    assert kinds(one, both) == ["holder_changed"]
    (change,) = diff_snapshots(snapshot(), both)
    assert change.kind is KINDS.NEW_LISTENER
    assert change.socket is not None
    assert change.socket.holders == ((10, 100, "nginx"), (20, 100, "app"))


@pytest.mark.parametrize("pod_names", [(None, None), ("web-7d9c-xk2p4", "web-7d9c-9zzq1")])
def test_a_container_that_was_made_anew_listens_as_the_one_before(pod_names: tuple[str | None, str | None]) -> None:
    old_pod, new_pod = (None if name is None else pod(name, name) for name in pod_names)
    old, new = container("web", "a", old_pod), container("web", "b", new_pod)
    before = snapshot(
        listener(80, process(30, container=old), netns=WEB),
        containers=[old],
        netns=[make_netns(HOST), make_netns(WEB, cookie=5)],
    )
    after = snapshot(
        listener(80, process(40, container=new), netns=9, cookie=2),
        containers=[new],
        netns=[make_netns(HOST), make_netns(9, cookie=6)],
    )
    assert kinds(before, after) == ["container_gone", "container_come", "holder_changed"]


def test_another_port_protocol_address_or_device_is_another_listener() -> None:
    before = snapshot(listener(80, NGINX))
    for other in (
        listener(81, NGINX, cookie=2),
        socket(SocketState.CLOSE, Endpoint("0.0.0.0", 80), ANY, NGINX, protocol=Protocol.UDP, cookie=2),
        socket(SocketState.LISTEN, Endpoint("127.0.0.1", 80), ANY, NGINX, cookie=2),
        socket(SocketState.LISTEN, Endpoint("0.0.0.0", 80), ANY, NGINX, cookie=2, interface="eth0"),
        listener(80, process(30, container=container("web")), cookie=2, netns=WEB),
    ):
        assert kinds(before, snapshot(listener(80, NGINX), other)) == ["new_listener"]
        assert kinds(before, snapshot(other)) == ["listener_gone", "new_listener"]


def test_a_udp_socket_on_a_port_of_clients_is_no_listener() -> None:
    client = socket(SocketState.CLOSE, Endpoint("0.0.0.0", 40000), ANY, APP, protocol=Protocol.UDP)
    assert kinds(snapshot(), snapshot(client)) == ["opened"]


def test_a_netns_that_got_the_inode_of_another_one_is_not_that() -> None:
    before = snapshot(listener(80, NGINX, netns=WEB, cookie=None), netns=[make_netns(WEB, cookie=5)])
    after = snapshot(listener(80, NGINX, netns=WEB, cookie=None), netns=[make_netns(WEB, cookie=6)])
    assert kinds(before, after) == ["listener_gone", "new_listener"]


def test_a_listener_of_which_it_is_not_known_any_more_whose_it_is_stays_the_same() -> None:
    web = container("web")
    before = snapshot(listener(80, process(30, container=web), netns=WEB), containers=[web])
    hidden = socket(SocketState.LISTEN, Endpoint("0.0.0.0", 80), netns=WEB, verdict=VerdictKind.HIDDEN)
    assert kinds(before, snapshot(hidden, containers=[web])) == []


def test_a_first_connection_to_an_endpoint_is_a_new_peer_once() -> None:
    two = snapshot(connection(), connection(cookie=2, inode=8), taken_at=T1)
    assert kinds(snapshot(), two) == ["new_peer", "opened", "opened"]
    assert kinds(snapshot(connection()), two) == ["opened"]


def test_a_peer_of_another_unit_or_container_is_its_own() -> None:
    web = container("web")
    before = snapshot(connection(process(20, unit="app.service")), containers=[web])
    for client in (process(30, unit="other.service"), process(30, container=web)):
        after = snapshot(connection(process(20, unit="app.service")), connection(client, cookie=2), containers=[web])
        assert kinds(before, after) == ["new_peer", "opened"]


def test_a_connection_that_was_accepted_has_no_new_peer() -> None:
    server = listener(HERE.port, APP, cookie=9)
    assert kinds(snapshot(server), snapshot(server, connection())) == ["opened"]
    # Its listener has gone meanwhile.
    assert kinds(snapshot(server), snapshot(connection())) == ["listener_gone", "opened"]


def test_a_connection_that_is_not_there_yet_has_no_new_peer_before_it_is() -> None:
    asking = snapshot(connection(state=SocketState.SYN_SENT))
    assert kinds(snapshot(), asking) == ["opened"]
    assert kinds(asking, snapshot(connection())) == ["state_changed", "new_peer"]
    asking_again = snapshot(connection(cookie=2), connection(state=SocketState.SYN_SENT))
    assert kinds(asking_again, snapshot(connection(cookie=2), connection())) == ["state_changed"]


def test_a_connection_that_has_come_and_gone_between_two_passes_tells_its_peer() -> None:
    web = container("web")
    over = CLOSED[SocketState.TIME_WAIT]._replace(container_id=web.id)
    assert kinds(snapshot(containers=[web]), snapshot(over, containers=[web])) == ["new_peer"]


GAP_OF_WEB = Gap(Stage.TABLES, Subject(Kind.TABLE, str(WEB), Protocol.TCP), Reason.INTERRUPTED)
LATE = Gap(Stage.PROCESSES, Subject(Kind.PROCESSES), Reason.LATE, count=7)


@pytest.mark.parametrize(
    "blind",
    [
        snapshot(gaps=merge_gaps([GAP_OF_WEB])),
        snapshot(netns=[make_netns(HOST), make_netns(WEB, engine=None)]),
        snapshot(netns=[make_netns(HOST)], gaps=merge_gaps([LATE])),
        snapshot(netns=[make_netns(HOST)], processes=ProcessCounts(5, 4, 0, 0, 1)),
        snapshot(protocols=(Protocol.UDP,)),
    ],
    ids=["table not read", "netns not read", "cut short", "processes skipped", "not asked for"],
)
def test_what_a_pass_could_not_see_is_neither_gone_nor_new(blind: Snapshot) -> None:
    seeing = snapshot(listener(80, NGINX, netns=WEB), connection(netns=WEB, cookie=2))
    assert kinds(seeing, blind) == []
    assert kinds(blind, seeing) == []


def test_a_netns_that_is_gone_takes_its_sockets_with_it() -> None:
    before = snapshot(listener(80, NGINX, netns=WEB), connection(netns=WEB, cookie=2))
    assert kinds(before, snapshot(netns=[make_netns(HOST)])) == ["listener_gone", "closed"]


def test_a_container_is_not_gone_from_a_pass_that_was_cut_short() -> None:
    web = container("web")
    assert kinds(snapshot(containers=[web]), snapshot()) == ["container_gone"]
    assert kinds(snapshot(containers=[web]), snapshot(gaps=merge_gaps([LATE]))) == []


def test_a_process_that_may_not_be_read_any_more_still_holds_its_sockets() -> None:
    denied = Gap(Stage.FDS, Subject(Kind.PROCESS, "20"), Reason.DENIED, "EACCES")
    both, one = snapshot(listener(80, NGINX, APP)), snapshot(listener(80, NGINX))
    assert kinds(both, one) == kinds(one, both) == ["holder_changed"]
    blind = one._replace(coverage=one.coverage._replace(gaps=merge_gaps([denied])))
    assert kinds(both, blind) == kinds(blind, both) == []


def test_where_no_holder_was_looked_for_nothing_changes_hands() -> None:
    by_container = snapshot(listener(80, APP))
    by_container = by_container._replace(coverage=by_container.coverage._replace(owners=OwnersWanted.CONTAINER))
    assert kinds(snapshot(listener(80, NGINX)), by_container) == []


def test_of_another_boot_containers_and_listeners_compare_and_no_connection_does() -> None:
    web = container("web")
    server = process(30, container=web)
    before = snapshot(listener(80, server, netns=WEB), listener(22, NGINX), connection(cookie=3), containers=[web])
    after = snapshot(
        listener(80, server, netns=WEB), listener(23, NGINX), connection(cookie=3), containers=[web], boot_id="next"
    )
    assert kinds(before, after) == ["listener_gone", "new_listener", "closed", "opened"]


def test_a_netns_without_a_name_is_no_place_of_another_boot() -> None:
    before, after = (snapshot(listener(80, NGINX, netns=WEB), boot_id=boot) for boot in ("one", "two"))
    assert kinds(before, after) == ["listener_gone", "new_listener"]


def test_what_is_open_is_told_as_if_all_had_come_at_once() -> None:
    web = container("web")
    whole = snapshot(listener(80, NGINX), connection(cookie=2), CLOSED[SocketState.TIME_WAIT], containers=[web])
    assert [change.kind for change in list_open(whole)] == [KINDS.CONTAINER_COME, KINDS.NEW_LISTENER, KINDS.OPENED]
    assert [change for change in diff_snapshots(snapshot(), whole) if change.kind is not KINDS.NEW_PEER] == list(
        list_open(whole)
    )


def shop(*names: str) -> tuple[Snapshot, list[Container]]:
    """A snapshot with a listener of each of these containers, whose ids begin like their names."""
    there = [container(name, name[0]) for name in names]
    rows = [
        listener(8000 + i, process(30 + i, container=each), netns=WEB, cookie=i + 1) for i, each in enumerate(there)
    ]
    return snapshot(*rows, containers=there), there


def test_a_container_that_only_one_snapshot_knows_can_be_asked_for() -> None:
    empty = snapshot()
    full, _ = shop("web", "db")
    only = Filter(containers=("web",))
    assert [change.kind for change in diff_selected(empty, full, only)] == [KINDS.CONTAINER_COME, KINDS.NEW_LISTENER]
    assert [change.kind for change in diff_selected(full, empty, only)] == [KINDS.CONTAINER_GONE, KINDS.LISTENER_GONE]
    assert diff_selected(empty, full, Filter()) == diff_snapshots(empty, full)


def test_one_that_only_the_first_knows_and_one_that_only_the_second_knows_go_together() -> None:
    (web, _), (both, _) = shop("web"), shop("other", "db")
    db = both._replace(sockets=both.sockets[1:], containers=both.containers[1:])
    changed = diff_selected(web, db, Filter(containers=("web", "db")))
    assert {(change.container_name, change.kind.value) for change in changed} == {
        ("web", "container_gone"),
        ("db", "container_come"),
        ("web", "listener_gone"),
        ("db", "new_listener"),
    }


def test_one_that_neither_knows_is_not_found() -> None:
    with pytest.raises(NotFound):
        diff_selected(snapshot(), snapshot(), Filter(containers=("nosuch",)))


def test_a_filter_of_sockets_leaves_containers_out() -> None:
    full, _ = shop("web", "db")
    changed = diff_selected(snapshot(), full, Filter(ports=frozenset({8001})))
    assert [(change.kind, change.container_name) for change in changed] == [(KINDS.NEW_LISTENER, "db")]


def test_passes_of_different_engines_over_one_netns_differ_in_nothing() -> None:
    rows = [listener(80, NGINX), connection(cookie=2, inode=8)]
    bare = [row._replace(row=row.row._replace(cookie=None)) for row in rows]
    by_proc = snapshot(*bare, netns=[make_netns(HOST, engine=EngineName.PROC)])
    by_diag = snapshot(*rows, netns=[make_netns(HOST, cookie=1)])
    assert kinds(by_proc, by_diag) == kinds(by_diag, by_proc) == []
