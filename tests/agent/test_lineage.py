"""Who was whose child, whoever has ended since."""

import pytest

from nsagent.agent.lineage import MOST_TOLD, Lineage
from nsagent.agent.living import Ended, Living
from nsagent.model.ids import Pid
from nsagent.model.process_event import ExitStatus

SHELL, MIDDLE, CHILD, GRANDCHILD = map(Pid, (10, 11, 12, 13))
FAILED = ExitStatus(3, 0, core_dumped=False)


def ended(pid: Pid) -> Ended:
    return Ended(20, Living(pid, 10, None, "sh", None), FAILED)


@pytest.fixture
def lineage() -> Lineage:
    """A shell, its child and its grandchild."""
    lineage = Lineage(2)
    lineage.begin(MIDDLE, SHELL)
    lineage.begin(CHILD, MIDDLE)
    return lineage


def test_parents_are_told_up_to_one_whose_own_nobody_has_told(lineage: Lineage) -> None:
    assert lineage.list_parents(CHILD) == [MIDDLE, SHELL]
    assert (lineage.list_parents(SHELL), lineage.list_parents(Pid(99))) == ([], [])


def test_a_parent_that_has_ended_is_told_as_long_as_a_child_lives(lineage: Lineage) -> None:
    lineage.end(ended(MIDDLE))
    assert lineage.list_parents(CHILD) == [ended(MIDDLE), SHELL]
    lineage.begin(GRANDCHILD, CHILD)
    lineage.end(ended(CHILD))
    assert lineage.list_parents(GRANDCHILD) == [ended(CHILD), ended(MIDDLE), SHELL]
    lineage.end(ended(SHELL))
    lineage.end(ended(GRANDCHILD))
    assert len(lineage) == 0


def test_whoever_has_the_pid_of_a_parent_that_has_ended_is_not_that_parent(lineage: Lineage) -> None:
    lineage.end(ended(MIDDLE))
    lineage.begin(MIDDLE, Pid(1))
    assert lineage.list_parents(CHILD) == [ended(MIDDLE), SHELL]
    assert lineage.list_parents(MIDDLE) == [1]


def test_only_the_first_parent_told_of_counts(lineage: Lineage) -> None:
    lineage.begin(CHILD, Pid(1))
    lineage.begin(SHELL, SHELL)
    assert lineage.list_parents(CHILD) == [MIDDLE, SHELL]


def test_of_too_many_that_have_ended_the_first_is_forgotten_and_who_was_before_it(lineage: Lineage) -> None:
    lineage.begin(GRANDCHILD, CHILD)
    lineage.begin(Pid(14), GRANDCHILD)
    for pid in (MIDDLE, CHILD, GRANDCHILD):
        lineage.end(ended(pid))
    assert lineage.list_parents(Pid(14)) == [ended(GRANDCHILD), ended(CHILD)]
    lineage.end(ended(Pid(14)))
    assert len(lineage) == 1
    lineage.end(ended(SHELL))
    assert len(lineage) == 0


def test_one_who_forks_and_ends_again_and_again_is_remembered_within_bounds() -> None:
    lineage = Lineage(500)
    for number in range(2000):
        lineage.begin(Pid(number + 1), Pid(number))
        lineage.end(ended(Pid(number)))
    assert len(lineage) == 501
    assert len(lineage.list_parents(Pid(2000))) == MOST_TOLD
