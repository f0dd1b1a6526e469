"""Mounts of neighbours that are too many or malformed: they are read once for all who have them, not once for each."""

import pytest

from nsagent.errors import Reason
from nsagent.kernel.procfs import ProcFs
from nsagent.model.gap import Gap, Kind
from nsagent.scan.collect.walk import Reach, walk_processes
from tests.kernel.proc_tree import ROOT_MOUNT, ProcTree
from tests.scan.collect.passes import open_pass

TOO_LONG = "x" * (2 << 20)
"""One line of more than is kept of any."""
MALFORMED = ROOT_MOUNT + "damaged - nsfs nsfs rw\n"
ROOTS, PIDS = 40, 3


def make(tree: ProcTree, mountinfo: str, *, roots: int = 1) -> None:
    """Processes with the same mounts, PIDS of them below each of the roots, the first of which is that of all."""
    for number in range(roots * PIDS):
        pid = 10 + number
        tree.process(pid, mountinfo=mountinfo)
        tree.write(f"{pid}/schedstat", "5 6 7\n")
        tree.link(f"{pid}/root", f"/srv/{number // PIDS}")


def list_told(gaps: list[Gap]) -> list[tuple[Kind, str, Reason]]:
    return [(gap.subject.kind, gap.subject.id, gap.reason) for gap in gaps]


@pytest.mark.parametrize(
    ("mountinfo", "kind", "reason"),
    [(TOO_LONG, Kind.MOUNTS, Reason.TOO_MANY), (MALFORMED, Kind.MOUNTINFO, Reason.MALFORMED)],
    ids=["too long", "malformed"],
)
def test_what_cannot_be_read_for_one_process_is_not_read_again_for_others_with_the_same_mounts(
    tree: ProcTree, mountinfo: str, kind: Kind, reason: Reason
) -> None:
    make(tree, mountinfo)
    with open_pass(ProcFs(tree.path)) as context:
        before = walk_processes(context)
        assert (before.ok, list_told(context.gaps.list_gaps())) == (PIDS, [(kind, "10", reason)])
    with open_pass(ProcFs(tree.path)) as context:
        walk = walk_processes(context, Reach(rested=before.resting))
        assert (len(walk.rested), list_told(context.gaps.list_gaps())) == (PIDS, [(kind, "10", reason)])


def test_below_many_roots_they_are_read_for_the_first_of_these_alone(tree: ProcTree) -> None:
    make(tree, MALFORMED, roots=ROOTS)
    with open_pass(ProcFs(tree.path)) as context:
        walk_processes(context)
        told = list_told(context.gaps.list_gaps())
    read = [pid for kind, pid, _ in told if kind is Kind.MOUNTINFO]
    assert read == [str(10 + PIDS * number) for number in range(16)]
    assert len(told) == 16 + PIDS * (ROOTS - 16)
