"""Events of sockets by changes, each end told once."""

from nsagent.events.socket_changes import SocketChanges
from nsagent.model.change import Change, ChangeKind
from nsagent.model.net import Endpoint, SocketState
from nsagent.model.socket_event import OwnerSource, SocketEvent, SocketEventKind, SocketEventSource
from nsagent.scan.diff import diff_snapshots
from tests.scan.snapshots import container, listener, process, snapshot, socket

CLIENT, SERVER = process(20, "curl"), process(10, "httpd", container=container("web"))
HERE, THERE = Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.9", 443)
CONNECTION = socket(SocketState.ESTABLISHED, HERE, THERE, CLIENT, cookie=2)
LISTENER = listener(80, SERVER, cookie=3)
EMPTY, FULL = snapshot(), snapshot(CONNECTION, LISTENER)
COME, GONE = diff_snapshots(EMPTY, FULL), diff_snapshots(FULL, EMPTY)


def one(changes: tuple[Change, ...], kind: ChangeKind) -> Change:
    [change] = [each for each in changes if each.kind is kind]
    return change


def by_diff(kind: SocketEventKind, change: Change) -> SocketEvent:
    return SocketEvent(kind, change, SocketEventSource.DIFF, OwnerSource.SNAPSHOT)


def destroyed(change: Change) -> SocketEvent:
    return SocketEvent(SocketEventKind.CLOSE, change, SocketEventSource.DESTROY, OwnerSource.SNAPSHOT)


def test_listeners_and_connections_open_and_close() -> None:
    assert list(SocketChanges().tell(COME)) == [
        by_diff(SocketEventKind.OPEN, one(COME, ChangeKind.NEW_LISTENER)),
        by_diff(SocketEventKind.OPEN, one(COME, ChangeKind.OPENED)),
    ]
    assert list(SocketChanges().tell(GONE)) == [
        by_diff(SocketEventKind.CLOSE, one(GONE, ChangeKind.LISTENER_GONE)),
        by_diff(SocketEventKind.CLOSE, one(GONE, ChangeKind.CLOSED)),
    ]


def test_a_socket_that_is_handed_on_has_changed() -> None:
    handed_on = diff_snapshots(FULL, snapshot(CONNECTION, listener(80, process(11, "httpd"), cookie=3)))
    assert list(SocketChanges().tell(handed_on)) == [
        by_diff(SocketEventKind.CHANGE, one(handed_on, ChangeKind.HOLDER_CHANGED))
    ]


def test_a_socket_in_another_state_has_changed_unless_its_end_was_told() -> None:
    half_closed = CONNECTION._replace(row=CONNECTION.row._replace(state=SocketState.CLOSE_WAIT))
    changes = SocketChanges()
    told = diff_snapshots(FULL, snapshot(half_closed, LISTENER))
    assert list(changes.tell(told)) == [by_diff(SocketEventKind.CHANGE, one(told, ChangeKind.STATE_CHANGED))]
    changes.note(destroyed(one(GONE, ChangeKind.CLOSED)))
    assert list(changes.tell(told)) == []


def test_a_change_of_containers_is_no_event() -> None:
    changes = diff_snapshots(EMPTY, snapshot(containers=[container("web")]))
    assert ([each.kind for each in changes], list(SocketChanges().tell(changes))) == ([ChangeKind.CONTAINER_COME], [])


def test_nobody_is_named_where_nobody_holds_it() -> None:
    changes = diff_snapshots(EMPTY, snapshot(socket(SocketState.ESTABLISHED, HERE, THERE)))
    [event] = SocketChanges().tell(changes)
    assert event.owner_source is OwnerSource.NONE


def test_an_end_that_the_kernel_told_is_not_told_again_by_the_next_two_passes() -> None:
    """The second one may have read the table before the socket died, and the first not yet have been compared."""
    for passes_between in (0, 1):
        changes = SocketChanges()
        changes.note(destroyed(one(GONE, ChangeKind.CLOSED)))
        for _ in range(passes_between):
            assert list(changes.tell(())) == []
        assert [each.change.kind for each in changes.tell(GONE)] == [ChangeKind.LISTENER_GONE]


def test_of_a_socket_whose_end_was_told_it_is_not_told_later_that_it_opened() -> None:
    """A pass has read the table in between."""
    changes = SocketChanges()
    changes.note(destroyed(one(GONE, ChangeKind.CLOSED)))
    assert [each.change.kind for each in changes.tell(COME)] == [ChangeKind.NEW_LISTENER]


def test_what_the_kernel_told_is_forgotten_then() -> None:
    changes = SocketChanges()
    changes.note(destroyed(one(GONE, ChangeKind.CLOSED)))
    assert [*changes.tell(()), *changes.tell(())] == []
    assert len(list(changes.tell(GONE))) == 2
