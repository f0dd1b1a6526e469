"""A read that never ends costs its process, and not the pass."""

import os
from pathlib import Path

from nsagent.errors import Reason
from nsagent.model.facts import ProcessCounts
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.scan.attribute import attribute
from tests.kernel.proc_tree import ProcTree
from tests.scan.collect.passes import run_pass
from tests.scan.facts import WEB_NETNS

PATIENCE_SECONDS = 0.2
DEADLINE_SECONDS = 3.0
"""In which any machine has read the first process."""


def block(tree: ProcTree, pid: int) -> Path:
    """Make the stat of a process a file that blocks whoever opens it."""
    path = tree.root / str(pid) / "stat"
    path.unlink()
    os.mkfifo(path)
    return path


def release(path: Path) -> None:
    """Let those go on who wait for the file."""
    os.close(os.open(path, os.O_RDWR))


def test_a_process_whose_reading_never_ends_is_skipped_and_the_others_are_read(tree: ProcTree) -> None:
    for pid in (10, 20, 30):
        tree.process(pid)
    stuck = block(tree, 20)
    try:
        facts = run_pass(tree.path, patience_seconds=PATIENCE_SECONDS)
    finally:
        release(stuck)
    assert [reading.pid for reading in facts.processes] == [10, 30]
    assert facts.process_counts == ProcessCounts(3, 2, 0, 0, 1)
    assert facts.gaps == (Gap(Stage.PROCESSES, Subject(Kind.PROCESS, "20"), Reason.NO_ANSWER),)


def test_two_stuck_processes_in_a_row_are_both_skipped(tree: ProcTree) -> None:
    for pid in (10, 20, 30):
        tree.process(pid)
    stuck = [block(tree, pid) for pid in (10, 20)]
    try:
        facts = run_pass(tree.path, patience_seconds=PATIENCE_SECONDS)
    finally:
        for path in stuck:
            release(path)
    assert [reading.pid for reading in facts.processes] == [30]
    assert facts.process_counts == ProcessCounts(3, 1, 0, 0, 2)


def test_a_pass_that_is_late_ends_and_tells_what_it_has_not_read(tree: ProcTree) -> None:
    for pid in (10, 20, 30, 40):
        tree.process(pid, netns=WEB_NETNS)
    stuck = block(tree, 20)
    try:
        facts = run_pass(tree.path, deadline_seconds=DEADLINE_SECONDS)
    finally:
        release(stuck)
    assert [reading.pid for reading in facts.processes] == [10]
    assert facts.process_counts == ProcessCounts(4, 1, 0, 0, 3)
    assert set(facts.gaps) == {
        Gap(Stage.PROCESSES, Subject(Kind.PROCESS, "20"), Reason.NO_ANSWER),
        Gap(Stage.PROCESSES, Subject(Kind.PROCESSES), Reason.LATE, count=2),
        Gap(Stage.NETNS, Subject(Kind.NETNS, str(WEB_NETNS)), Reason.LATE),
        Gap(Stage.NETNS, Subject(Kind.NETNS_OF_SOCKETS), Reason.LATE),
    }
    assert not attribute(facts).coverage.complete


def test_a_pass_over_this_host_without_any_time_reads_nothing_and_says_so() -> None:
    facts = run_pass(deadline_seconds=0)
    assert (facts.processes, facts.netns) == ((), ())
    assert {gap.reason for gap in facts.gaps if gap.stage is not Stage.CGROUPS} == {Reason.LATE}
