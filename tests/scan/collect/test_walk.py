"""What becomes of processes that end while they are walked, or of which something cannot be read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nsagent.errors import Reason
from nsagent.kernel.formats.pid_stat import PF_EXITING
from nsagent.kernel.procfs import ProcFs
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Pid, SocketInode
from nsagent.scan.collect.walk import Reach, Walk, walk_processes
from tests.kernel.children import start_child
from tests.kernel.proc_tree import ProcTree
from tests.live.capabilities import Capability, require
from tests.live.made_cgroups import DeepCgroup, find_hierarchies
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


class Only(ProcFs):
    """A procfs that lists one process."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pids = [Pid(pid)]

    def list_pids(self) -> list[Pid]:
        return self._pids


@pytest.fixture
def deep() -> Iterator[DeepCgroup]:
    require(Capability.ROOT)
    made = DeepCgroup(next(iter(find_hierarchies().values())))
    yield made
    made.close()


def summarize(walk: Walk) -> tuple[list[tuple[str, list[SocketInode]]], tuple[int, int, int], list[Gap]]:
    """Cgroup and inodes of each reading; counts of ok, denied, skipped; gaps."""
    readings = [(one.cgroup, [inode for _, inode in one.socket_fds or ()]) for one in walk.readings]
    return readings, (walk.ok, walk.denied, walk.skipped), walk.gaps


def untold(pid: int) -> Gap:
    return Gap(Stage.CGROUPS, Subject(Kind.PROCESS, str(pid)), Reason.FAILED, "ENAMETOOLONG")


@pytest.fixture
def shown(tree: ProcTree) -> Path:
    """The cgroup file of pid 10: in its directory is but a link, so that this stays as it was."""
    tree.process(10, fds={3: "socket:[7]"})
    (tree.root / "10/cgroup").rename(tree.root / "shown")
    tree.link("10/cgroup", "../shown")
    tree.write("10/schedstat", "5 6 7\n")
    return tree.root / "shown"


def have_not_told(shown: Path) -> None:
    """A link with a name that no file can have: ENAMETOOLONG."""
    shown.unlink()
    shown.symlink_to("x" * 300)


def test_a_process_whose_cgroup_cannot_be_told_is_read_as_any_other(tree: ProcTree, shown: Path) -> None:
    have_not_told(shown)
    with open_pass(ProcFs(tree.path)) as context:
        assert summarize(walk_processes(context)) == ([("", [7])], (1, 0, 0), [untold(10)])


def test_one_that_rests_and_whose_cgroup_cannot_be_told_any_more_holds_what_it_held(
    tree: ProcTree, shown: Path
) -> None:
    with open_pass(ProcFs(tree.path)) as context:
        before = walk_processes(context)
        assert summarize(before) == ([("0::/init.scope\n", [7])], (1, 0, 0), [])
        have_not_told(shown)
        walk = walk_processes(context, Reach(rested=before.resting))
    assert walk.rested == {10}
    assert summarize(walk) == ([("", [7])], (1, 0, 0), [untold(10)])


def test_a_zombie_whose_cgroup_cannot_be_told_is_counted_as_any_other(tree: ProcTree) -> None:
    tree.process(10, state="Z")
    have_not_told(tree.root / "10/cgroup")
    with open_pass(ProcFs(tree.path)) as context:
        assert summarize(walk_processes(context)) == ([("", [])], (1, 0, 0), [untold(10)])


def test_a_process_in_a_cgroup_with_too_long_a_path_is_read_as_any_other(deep: DeepCgroup) -> None:
    """Before Linux 6.8 its path is not told, since then the first 4,095 bytes of it."""
    program = "made = socket.create_server(('127.0.0.1', 0)); ready(os.fstat(made.fileno()).st_ino); wait()"
    with start_child(program) as child, open_pass(Only(child.pid)) as context:
        deep.enter(child.pid)
        ((cgroup, inodes),), counts, gaps = summarize(walk_processes(context))
        assert (inodes, counts) == ([int(child.said)], (1, 0, 0))
        assert gaps == ([] if cgroup else [untold(child.pid)])
