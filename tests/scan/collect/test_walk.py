"""What becomes of processes that end while they are walked."""

import pytest

from nsagent.errors import Reason
from nsagent.kernel.formats.pid_stat import PF_EXITING
from nsagent.kernel.procfs import ProcFs
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.scan.collect.walk import walk_processes
from tests.kernel.proc_tree import ProcTree
from tests.scan.collect.passes import open_pass

GONE = Gap(Stage.PROCESSES, Subject(Kind.PROCESS, "10"), Reason.GONE)


@pytest.mark.parametrize(
    ("flags", "threads", "vanished", "gaps"),
    [
        pytest.param(PF_EXITING, 1, 1, [], id="on its way"),
        pytest.param(PF_EXITING, 2, 0, [GONE], id="on its way, and a thread stays"),
        pytest.param(0, 1, 0, [GONE], id="alive"),
    ],
)
def test_a_process_without_a_netns_has_vanished_if_it_exits(
    tree: ProcTree, flags: int, threads: int, vanished: int, gaps: list[Gap]
) -> None:
    tree.process(10, state="D", flags=flags, threads=threads, netns=None)
    with open_pass(ProcFs(tree.path)) as context:
        walk = walk_processes(context._replace(live=True))
    assert (walk.vanished, walk.gaps) == (vanished, gaps)
