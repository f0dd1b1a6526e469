"""A read that never ends costs its process, and not the pass."""

import os
from pathlib import Path

from nsagent.errors import Reason
from nsagent.model.facts import ProcessCounts
from nsagent.model.gap import Gap, Kind, Stage, Subject
from tests.kernel.proc_tree import ProcTree
from tests.scan.collect.passes import run_pass

PATIENCE_SECONDS = 0.2


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
