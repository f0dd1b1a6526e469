"""Processes that have not run since: read once, and never once too few."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid, SocketInode
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.holders import Search, ThreadTables, search_processes
from nsagent.scan.collect.run_marks import RunMark, read_run_mark
from nsagent.scan.collect.settle import read_met, settle
from nsagent.scan.collect.walk import walk_processes
from tests.kernel.children import IN_NEW_NETNS, Child, start_child
from tests.kernel.proc_tree import ProcTree, stat_line
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until
from tests.scan.collect.passes import open_pass

GIVER = """
listener = socket.create_server(("127.0.0.1", 0))
ready(os.fstat(listener.fileno()).st_ino)
path = sys.stdin.readline().strip()
with socket.socket(socket.AF_UNIX) as way:
    way.connect(path)
    socket.send_fds(way, [b"x"], [listener.fileno()])
    listener.close()
    way.recv(1)
ready("given")
wait()
"""
TAKER = """
path = sys.stdin.readline().strip()
inbox = socket.socket(socket.AF_UNIX)
inbox.bind(path)
inbox.listen()
ready("listens")
way, _ = inbox.accept()
_, fds, _, _ = socket.recv_fds(way, 1, 1)
way.send(b"x")
ready("taken")
wait()
"""


def read_mark(procfs: ProcFs, pid: int) -> RunMark | None:
    with procfs.open_process(Pid(pid)) as process:
        schedstat = process.read_schedstat()
        return read_run_mark(process, schedstat, process.read_stat())


def await_rest(child: Child) -> RunMark:
    """Its mark once it has come to rest."""
    procfs = ProcFs()

    def has_settled() -> bool:
        before = read_mark(procfs, child.pid)
        time.sleep(0.05)
        return before is not None and before == read_mark(procfs, child.pid)

    until(has_settled, "the child rests")
    mark = read_mark(procfs, child.pid)
    assert mark is not None
    return mark


def make_resting(tree: ProcTree, pid: int, schedstat: str, fds: dict[int, str] | None = None) -> Path:
    path = tree.process(pid, fds=fds)
    tree.write(f"{pid}/schedstat", schedstat)
    return path


def search(context: PassContext, *inodes: int) -> list[tuple[Pid, int]]:
    """Who is found to hold these in a second walk, after files of the tree have changed."""
    walk = walk_processes(context)
    tree = ProcTree(Path(context.procfs.root))
    for pid in (10, 11):
        tree.link(f"{pid}/fd/9", "socket:[7]")
    tree.write("11/schedstat", "5 6 8\n")
    found, _ = search_processes(context, Search(inodes, set(), ThreadTables(comparable=False)), walk.resting)
    return [(reading.pid, inode) for reading in found for _, inode in reading.socket_fds or ()]


def test_only_who_has_run_since_is_read_again(tree: ProcTree) -> None:
    for pid in (10, 11):
        make_resting(tree, pid, "5 6 7\n")
    with open_pass(ProcFs(tree.path)) as context:
        assert search(context, 7) == [(11, 7)]


@pytest.mark.parametrize("schedstat", [None, "0 0 0\n"], ids=["no file", "nothing is counted"])
def test_who_tells_not_how_it_has_run_is_read_again(tree: ProcTree, schedstat: str | None) -> None:
    tree.process(10)
    if schedstat is not None:
        tree.write("10/schedstat", schedstat)
    make_resting(tree, 11, "5 6 7\n")
    with open_pass(ProcFs(tree.path)) as context:
        assert search(context, 7) == [(10, 7), (11, 7)]


def be_another(tree: ProcTree) -> None:
    (tree.root / "10").rename(tree.root / "ended")
    make_resting(tree, 10, "5 6 7\n")


def run(tree: ProcTree) -> None:
    tree.write("10/stat", stat_line(10, state="R"))


@pytest.mark.parametrize(("change", "rests"), [(be_another, [10]), (run, [])])
def test_another_process_under_its_number_and_one_that_runs_now_are_read_again(
    tree: ProcTree, change: Callable[[ProcTree], None], rests: list[int]
) -> None:
    make_resting(tree, 10, "5 6 7\n")
    with open_pass(ProcFs(tree.path)) as context:
        walk = walk_processes(context)
        assert list(walk.resting) == [10]
        change(tree)
        tree.link("10/fd/9", "socket:[7]")
        found, resting = search_processes(context, Search([7], set(), ThreadTables(comparable=False)), walk.resting)
    assert [reading.socket_fds for reading in found] == [((9, 7),)]
    assert list(resting) == rests


def test_a_process_whose_fds_may_not_be_read_is_asked_again(tree: ProcTree) -> None:
    make_resting(tree, 10, "5 6 7\n")
    (tree.root / "10/fd").rmdir()
    tree.write("10/fd", "no directory: ENOTDIR")
    with open_pass(ProcFs(tree.path)) as context:
        assert walk_processes(context).resting == {}


@pytest.mark.parametrize(
    ("release", "rests"), [("5.11.22-generic", [11]), (None, [11]), ("5.12.0", [10, 11]), ("6.1.0-56-amd64", [10, 11])]
)
def test_where_kernel_threads_do_what_an_io_uring_is_asked_its_process_is_read_again(
    tree: ProcTree, release: str | None, rests: list[int]
) -> None:
    make_resting(tree, 10, "5 6 7\n", {3: "anon_inode:[io_uring]", 4: "socket:[5]"})
    make_resting(tree, 11, "5 6 7\n", {3: "anon_inode:[eventfd]", 4: "socket:[6]"})
    if release is not None:
        tree.write("sys/kernel/osrelease", release + "\n")
    with open_pass(ProcFs(tree.path)) as context:
        assert list(walk_processes(context).resting) == rests


def test_a_process_that_waits_has_the_same_mark_until_it_runs() -> None:
    with start_child("ready(); sys.stdin.readline(); ready('ran'); wait()") as child:
        before = await_rest(child)
        assert child.say("run") == "ran"
        assert await_rest(child) != before


def test_every_thread_counts() -> None:
    """Where fds are not counted so cheaply, nothing is said of processes with threads: their fds are read again."""
    require(Capability.FD_COUNTS)
    program = """
def answer():
    sys.stdin.readline(); ready("ran"); time.sleep(3600)
threads = [threading.Thread(target=answer, daemon=True), threading.Thread(target=time.sleep, args=(3600,), daemon=True)]
for thread in threads: thread.start()
fds = [os.dup(0) for _ in range(40)]
ready()
time.sleep(3600)
"""
    with start_child(program) as child:
        try:
            before = await_rest(child)
            assert len(before) == 3
            assert child.say("run") == "ran"
            after = await_rest(child)
        finally:
            child.kill()
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_a_socket_that_moves_to_a_process_that_only_then_runs_has_its_owner(tmp_path: Path) -> None:
    require(Capability.ROOT, Capability.NETNS)
    path = str(tmp_path / "way")
    with start_child(GIVER, *IN_NEW_NETNS) as giver, start_child("ready();" + TAKER) as taker:
        inode = SocketInode(int(giver.said))
        assert taker.say(path) == "listens"
        await_rest(giver)
        await_rest(taker)
        with open_pass(ProcFs()) as context:
            walk = walk_processes(context)
            assert taker.pid in walk.resting
            # Behind the back of the walk: the one that was seen to hold it holds it no more.
            assert giver.say(path) == "given"
            walk.readings = [reading for reading in walk.readings if reading.pid != giver.pid]
            read_met(context, [met for met in context.registry.list_met() if giver.pid in met.members])
            found = settle(context, walk, [])
    holders = [reading.pid for reading in found.readings for _, held in reading.socket_fds or () if held == inode]
    assert holders == [taker.pid]
