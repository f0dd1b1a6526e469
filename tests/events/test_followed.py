"""Whose sockets are told of, while processes come and go."""

from nsagent.events.followed import Followed
from nsagent.model.change import Change
from nsagent.model.ids import Pid
from nsagent.model.net import Endpoint, SocketState
from nsagent.model.process_event import ProcessEventKind
from nsagent.scan.diff import diff_snapshots
from tests.events.named import PARENT, PID, event
from tests.scan.snapshots import process, snapshot, socket

ENDS = (Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.9", 443))
FORK, EXIT = event(ProcessEventKind.FORK), event(ProcessEventKind.EXIT)
PARENT_EXITS = EXIT._replace(pid=PARENT)


def opened_by(pid: Pid) -> Change:
    [change] = diff_snapshots(snapshot(), snapshot(socket(SocketState.ESTABLISHED, *ENDS, process(pid))))[-1:]
    return change


def test_children_are_followed_where_that_is_asked_for() -> None:
    alone, with_children = Followed([PARENT], children=False), Followed([PARENT], children=True)
    for each in (alone, with_children):
        each.add(FORK)
    assert [each.hold(opened_by(PID)) for each in (alone, with_children)] == [False, True]
    assert all(each.hold(opened_by(PARENT)) for each in (alone, with_children))


def test_a_child_of_somebody_else_is_not_followed() -> None:
    followed = Followed([Pid(99)], children=True)
    followed.add(FORK)
    assert not followed.hold(opened_by(PID))


def test_who_has_ended_counts_until_two_passes_more_are_compared() -> None:
    followed = Followed([PARENT], children=True)
    for each in (FORK, EXIT):
        followed.add(each)
    followed.end_pass()
    assert followed.hold(opened_by(PID))
    followed.end_pass()
    assert not followed.hold(opened_by(PID))


def test_they_are_gone_when_all_have_ended_and_their_sockets_are_told() -> None:
    followed = Followed([PARENT], children=True)
    for each in (FORK, PARENT_EXITS):
        followed.add(each)
    followed.end_pass()
    followed.end_pass()
    assert not followed.are_gone
    followed.add(EXIT)
    followed.end_pass()
    assert not followed.are_gone
    followed.end_pass()
    assert followed.are_gone


def test_a_socket_that_is_handed_on_was_theirs() -> None:
    [before, after] = (snapshot(socket(SocketState.ESTABLISHED, *ENDS, process(pid))) for pid in (PID, 99))
    [change] = diff_snapshots(before, after)
    assert Followed([PID], children=False).hold(change)
