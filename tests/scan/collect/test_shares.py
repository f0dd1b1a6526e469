"""What one container or user piles up costs them, and nobody else."""

import pytest

from nsagent.errors import Reason
from nsagent.kernel.procfs import FdLinks, ProcFs
from nsagent.model.facts import ProcessReading
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Pid
from nsagent.scan.collect.holders import Search, ThreadTables, list_fair_threads, search_processes
from nsagent.scan.collect.shares import Shares, in_turns
from nsagent.scan.collect.walk import Reach, walk_processes
from tests.kernel.children import Child, start_child
from tests.kernel.proc_tree import ProcTree
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import open_pass
from tests.scan.facts import reading

HOST, WEB = "0::/\n", "0::/docker/" + "c0de" * 16 + "\n"
APART = """
import ctypes, os, threading
made = threading.Event()
def live_apart():
    assert ctypes.CDLL(None).unshare(0x400) == 0
    listener = socket.create_server(("127.0.0.1", 0))
    apart.extend((threading.get_native_id(), os.fstat(listener.fileno()).st_ino))
    made.set()
    threading.Event().wait()
apart = []
threading.Thread(target=live_apart, daemon=True).start()
made.wait()
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
ready(" ".join(map(str, apart)))
wait()
"""
"""Five threads, of which one has an fd table of its own with a listener."""


def test_each_may_use_as_much_as_one_may_once_all_use_more() -> None:
    shares = Shares(10)
    assert [shares.take(HOST, 0, 4), shares.take(WEB, 5, 4), shares.take(WEB, 6, 4)] == [4, 4, 4]
    assert [shares.take(WEB, 0, 4), shares.take(WEB, 7, 1), shares.take(HOST, 0, 6)] == [2, 0, 6]
    assert [shares.take(HOST, 0, 1), shares.take(HOST, 1, 100)] == [0, 10]


def test_what_comes_in_turns_keeps_its_order_otherwise() -> None:
    assert in_turns(["a1", "a2", "a3", "b1", "b2", "c1"], lambda text: text[0]) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_fds_of_those_who_had_enough_are_not_read_and_their_processes_are_told(tree: ProcTree) -> None:
    """The process with which they pass the limit is read whole."""
    for pid, cgroup in ((10, WEB), (20, WEB), (30, WEB), (40, HOST)):
        tree.process(pid, cgroup=cgroup, fds={fd: f"socket:[{pid + fd}]" for fd in range(5)})
    with open_pass(ProcFs(tree.path)) as context:
        walk = walk_processes(context, Reach(shares=Shares(7)))
    assert [one.pid for one in walk.readings if one.socket_fds is None] == [30]
    assert [one.pid for one in walk.readings if len(one.socket_fds or ()) == 5] == [10, 20, 40]
    assert walk.gaps == [Gap(Stage.FDS, Subject(Kind.PROCESS, "30"), Reason.TOO_MANY)]


def look(child: Child, threads: ThreadTables) -> list[ProcessReading]:
    """The fd tables of its threads that are not that of the process."""
    of_process = reading(child.pid)._replace(threads=5)
    with ProcFs().open_process(Pid(child.pid)) as process:
        return list(threads.look(process, process, of_process, process.read_fd_links()))


def test_a_thread_with_an_fd_table_of_its_own_is_found_among_those_that_share() -> None:
    require(Capability.ROOT)
    threads = ThreadTables(comparable=True, deep=False)
    with start_child(APART) as child:
        tid, inode = map(int, child.said.split())
        (found,) = look(child, threads)
    assert (found.tid, [held for _, held in found.socket_fds or ()]) == (tid, [inode])
    assert (threads.seen, threads.skipped, threads.gaps) == (4, 0, [])


@pytest.mark.parametrize("deep", [False, True])
def test_threads_that_cannot_be_compared_are_read_by_a_deep_scan_and_else_told(deep: bool) -> None:
    require(Capability.ROOT)
    threads = ThreadTables(comparable=False, deep=deep)
    with start_child(APART) as child:
        tid, _ = map(int, child.said.split())
        found = look(child, threads)
        gap = Gap(Stage.PROCESSES, Subject(Kind.THREADS, str(child.pid)), Reason.NOT_TOLD, count=4)
    assert [one.tid for one in found] == ([tid] if deep else [])
    assert (threads.skipped, threads.gaps) == ((0, []) if deep else (4, [gap]))


def test_threads_beyond_a_share_are_counted_and_told() -> None:
    with start_child(APART) as child, ProcFs().open_process(Pid(child.pid)) as process:
        tids, gap = list_fair_threads(process, reading(child.pid), Shares(3))
        assert tids == process.list_threads()[:3]
        assert gap == Gap(Stage.PROCESSES, Subject(Kind.THREADS, str(child.pid)), Reason.TOO_MANY, count=2)


def test_links_of_a_process_without_threads_are_enough() -> None:
    with start_child("ready(''); wait()") as child, ProcFs().open_process(Pid(child.pid)) as process:
        threads = ThreadTables(comparable=True)
        assert list(threads.look(process, process, reading(child.pid), FdLinks((), ()))) == []
        assert threads.seen == 0


def test_of_sockets_beyond_a_share_the_queues_are_not_looked_at_and_they_are_told(tree: ProcTree) -> None:
    """Once each: who holds the same sockets after those who have had enough has them looked at."""
    for pid, cgroup in ((10, WEB), (20, WEB), (30, HOST)):
        tree.process(pid, cgroup=cgroup, fds={fd: f"socket:[{min(pid, 20) + fd}]" for fd in range(5)})
        for fd in range(5):
            tree.write(f"{pid}/fdinfo/{fd}", "pos:\t0\nscm_fds: 1\n")
    search = Search(set(), {10}, ThreadTables(comparable=False), queues=Shares(7))
    with open_pass(ProcFs(tree.path)) as context:
        search_processes(context, search, {})
    gap = Gap(Stage.FDS, Subject(Kind.IN_FLIGHT, "20"), Reason.TOO_MANY, count=2)
    assert (search.in_flight, search.gaps) == (4 + 3 + 2, [gap])
