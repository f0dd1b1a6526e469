"""What the loop publishes is what readers get, and when an agent is no longer well."""

import pytest

from nsagent.agent.board import CHANGES_KEPT, Board, ChangesSince, LastPass, NumberedChange
from nsagent.agent.status import PassStatus
from nsagent.scan.attribute import attribute
from tests.agent.boards import make_change, make_pass_status, make_status, recorded_facts


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_readers_get_the_last_pass_and_the_last_status() -> None:
    seen: list[PassStatus] = []
    board = Board(30.0, clock=Clock(), on_pass=seen.append)
    assert (board.last_pass, board.status) == (None, None)
    facts = recorded_facts()
    snapshot = attribute(facts)
    for number in (1, 2):
        board.publish_pass(snapshot, facts, make_pass_status(number))
        board.publish_status(make_status(passes=number))
    assert board.last_pass == LastPass(snapshot, facts, make_pass_status(2), {})
    assert board.status == make_status(passes=2)
    assert [status.number for status in seen] == [1, 2]


@pytest.mark.parametrize(
    ("took", "now", "well"),
    [(0.0, 190.0, True), (0.0, 190.5, False), (60.0, 250.0, True), (60.0, 250.5, False)],
)
def test_an_agent_is_well_for_three_intervals_and_as_long_as_its_last_pass_took(
    took: float, now: float, well: bool
) -> None:
    clock = Clock()
    board = Board(30.0, clock=clock)
    facts = recorded_facts()
    board.publish_pass(attribute(facts), facts, make_pass_status(finished_seconds=100.0, duration_seconds=took))
    clock.now = now
    assert board.is_well() is well


def test_an_agent_whose_first_pass_is_under_way_is_well_for_three_intervals() -> None:
    clock = Clock(1000.0)
    board = Board(30.0, clock=clock)
    clock.now = 1090.0
    assert board.is_well()
    clock.now = 1090.5
    assert not board.is_well()
    board.interval_seconds = 60.0
    assert board.is_well()


def test_changes_are_numbered_and_told_after_a_number() -> None:
    board = Board(30.0, clock=Clock())
    assert board.list_changes(0) == ChangesSince((), 0, 0)
    changes = [make_change(number) for number in range(1, 4)]
    board.publish_changes(changes[:2])
    board.publish_changes(changes[2:])
    numbered = tuple(NumberedChange(number, change) for number, change in enumerate(changes, 1))
    assert board.list_changes(0) == ChangesSince(numbered, 0, 3)
    assert board.list_changes(2) == ChangesSince(numbered[2:], 0, 3)
    assert board.list_changes(3) == ChangesSince((), 0, 3)


def test_changes_that_were_let_go_are_counted() -> None:
    board = Board(30.0, clock=Clock())
    board.publish_changes(map(make_change, range(CHANGES_KEPT + 5)))
    read = board.list_changes(2)
    assert (len(read.changes), read.missed, read.last) == (CHANGES_KEPT, 3, CHANGES_KEPT + 5)
    assert read.changes[0].number == 6


def test_a_number_of_an_agent_before_this_one_gets_all_changes() -> None:
    board = Board(30.0, clock=Clock())
    board.publish_changes([make_change(1)])
    assert board.list_changes(700) == ChangesSince((NumberedChange(1, make_change(1)),), 0, 1)
