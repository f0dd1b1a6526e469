"""Which events a filter asks for."""

from dataclasses import replace

import pytest

from nsagent.errors import NotFound
from nsagent.model.change import Change
from nsagent.model.ids import PodUid
from nsagent.model.named_event import Identity, IdentitySource
from nsagent.model.net import Endpoint, SocketState
from nsagent.model.process_event import ProcessEventKind
from nsagent.model.snapshot import Snapshot
from nsagent.query.events import EventFilter
from nsagent.query.filter import Filter, make_filter, narrow_filter
from nsagent.query.grammar import parse_expression
from nsagent.scan.diff import diff_snapshots
from tests.events.named import WEB_POD, in_web, outside
from tests.scan.snapshots import WEB, container, listener, pod, process, snapshot, socket

WEB_CONTAINER = container("web", pod=replace(pod("web-7d9c", "11-22"), uid=PodUid("11-22")))
CALLED = "web-7d9c/web"
SERVER, CLIENT = process(10, "httpd", container=WEB_CONTAINER), process(20, "curl")
LISTENER = listener(80, SERVER, netns=WEB, cookie=3)
CONNECTION = socket(SocketState.ESTABLISHED, Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.9", 443), CLIENT, cookie=2)
EMPTY = snapshot(containers=[WEB_CONTAINER])
FULL = snapshot(LISTENER, CONNECTION, containers=[WEB_CONTAINER])._replace(processes=(SERVER, CLIENT))
EXEC = ProcessEventKind.EXEC
HOST_CURL = outside(EXEC, Identity(IdentitySource.LOOK, 100, "curl", 0, 4026531840))


def changes_of(*snapshots: Snapshot) -> dict[int, Change]:
    """Those of sockets, by the local port."""
    return {each.socket.local.port: each for each in diff_snapshots(*snapshots) if each.socket is not None}


COME, GONE = changes_of(EMPTY, FULL), changes_of(FULL, EMPTY)


def of_expression(text: str) -> Filter:
    return Filter(expression=parse_expression(text))


def taken(wanted: Filter, *snapshots: Snapshot) -> tuple[set[int], bool, bool]:
    """The ports of the sockets that it takes, whether it takes a process in web, and one outside."""
    asked = EventFilter(wanted)
    for each in snapshots or (FULL,):
        asked.learn(each)
    ports = {port for port, change in COME.items() if asked.takes_socket(change)}
    return ports, asked.takes_process(in_web(EXEC)), asked.takes_process(HOST_CURL)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), ({80, 40000}, True, True)),
        (make_filter(container=[CALLED]), ({80}, True, False)),
        (make_filter(pod=["shop/web-7d9c"]), ({80}, True, False)),
        (make_filter(kube_namespace=["shop"]), ({80}, True, False)),
        (narrow_filter(Filter(), netns=[str(WEB)]), ({80}, True, False)),
        (narrow_filter(Filter(), port=["443"]), ({40000}, False, False)),
        (narrow_filter(Filter(), state=["listen"]), ({80}, False, False)),
        (narrow_filter(Filter(), protocol=["udp"]), (set(), False, False)),
        (narrow_filter(Filter(), listening=True), ({80}, False, False)),
        (of_expression("comm = curl"), ({40000}, False, True)),
        (of_expression("not comm = curl"), ({80}, True, False)),
        (of_expression(f"container = {CALLED} or comm = curl"), ({80, 40000}, True, True)),
        (of_expression("sport = :80 or comm = curl"), ({80, 40000}, False, False)),
        (of_expression("not autobound"), ({80}, False, False)),
        (of_expression("uid = 33"), (set(), True, False)),
        (of_expression("unit = containerd.service"), (set(), True, False)),
    ],
)
def test_a_socket_is_taken_as_its_row_and_a_process_as_whoever_holds_one(
    wanted: Filter, expected: tuple[set[int], bool, bool]
) -> None:
    assert taken(wanted) == expected


def test_a_holder_before_counts_too() -> None:
    after = FULL._replace(sockets=(LISTENER, CONNECTION._replace(owners=listener(1, process(30, "nc")).owners)))
    asked = EventFilter(of_expression("comm = curl"))
    asked.learn(after)
    [change] = [each for each in diff_snapshots(FULL, after) if each.before]
    assert asked.takes_socket(change)


def test_a_socket_in_another_state_is_taken_by_either() -> None:
    left = CONNECTION._replace(row=CONNECTION.row._replace(state=SocketState.CLOSE_WAIT))
    change = changes_of(FULL, FULL._replace(sockets=(left,)))[40000]
    for state, wanted in (("established", True), ("close_wait", True), ("last_ack", False)):
        asked = EventFilter(narrow_filter(Filter(), state=[state]))
        asked.learn(FULL)
        assert asked.takes_socket(change) is wanted, state


def test_what_nobody_has_at_the_start_is_an_error() -> None:
    with pytest.raises(NotFound):
        EventFilter(make_filter(container=["nosuch"])).learn(FULL)


def test_a_name_means_what_it_means_in_the_last_two_snapshots() -> None:
    other = container("web", "b", WEB_CONTAINER.pod)
    anew = FULL._replace(containers=(other,))
    wanted = make_filter(container=[CALLED])
    assert taken(wanted, FULL, anew) == ({80}, True, False)
    assert taken(wanted, FULL, anew, anew) == (set(), False, False)
    asked = EventFilter(wanted)
    for each in (FULL, FULL._replace(containers=()), anew):
        asked.learn(each)
    assert asked.takes_process(in_web(EXEC)._replace(identity=in_web(EXEC).identity._replace(container_id=other.id)))


def test_an_end_is_told_by_the_names_of_before() -> None:
    asked = EventFilter(make_filter(container=[CALLED]))
    asked.learn(FULL)
    asked.learn(snapshot())
    assert [asked.takes_socket(GONE[port]) for port in (80, 40000)] == [True, False]


def test_what_only_a_pod_is_charged_with_is_taken_by_the_pod() -> None:
    asked = EventFilter(make_filter(pod=["web-7d9c"]))
    asked.learn(FULL)
    charged = COME[40000]._replace(pod=WEB_POD)
    assert (asked.takes_socket(charged), asked.takes_socket(COME[40000])) == (True, False)


def test_containers_that_a_holder_is_in_count_beside_the_first_ones() -> None:
    shared = CONNECTION._replace(owners=(*CONNECTION.owners, *LISTENER.owners))
    asked = EventFilter(make_filter(container=[CALLED]))
    asked.learn(FULL)
    assert asked.takes_socket(changes_of(EMPTY, FULL._replace(sockets=(shared,)))[40000])
