"""What one pass hands on to the next: less work, and the same answer."""

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cmp_to_key
from pathlib import Path

import pytest

from nsagent.errors import Aborted
from nsagent.kernel.pidfd import compare_fd_tables
from nsagent.kernel.procfs import ProcFs
from nsagent.model.facts import Facts, FoundBy, ProcessReading
from nsagent.model.ids import Fd, Pid, SocketInode
from nsagent.scan.collect.carried import Carried, find_shared_tables
from nsagent.scan.collect.pace import Pace
from nsagent.scan.collect.walk import walk_processes
from tests.kernel.children import IN_NEW_NETNS, Child, start_child
from tests.kernel.proc_tree import ProcTree
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until
from tests.live.made_cgroups import MadeCgroups, find_hierarchies
from tests.scan.collect.passes import open_pass, run_pass
from tests.scan.collect.test_run_marks import GIVER, TAKER, await_rest

HOLDER = """
made = socket.create_server(("127.0.0.1", 0))
ready(f"{made.fileno()} {os.fstat(made.fileno()).st_ino}")
while sys.stdin.readline():
    more = socket.create_server(("127.0.0.1", 0))
    ready(f"{more.fileno()} {os.fstat(more.fileno()).st_ino}")
"""
SHARER = """
import ctypes, signal
CLONE_FILES = 0x400
made = socket.create_server(("127.0.0.1", 0))
libc = ctypes.CDLL(None)
child = libc.syscall({clone}, CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
if child == 0:
    time.sleep(3600)
    os._exit(0)
ready(f"{{child}} {{made.fileno()}} {{os.fstat(made.fileno()).st_ino}}")
wait()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
"""
"""A process and a child with one fd table between them; the child never runs again."""

MOUNTER = """
import ctypes
ready(os.stat("/proc/self/ns/net").st_ino)
path = sys.stdin.readline().strip()
open(path, "w").close()
assert ctypes.CDLL(None).mount(b"/proc/self/ns/net", path.encode(), None, 4096, None) == 0
ready("mounted")
wait()
"""
"""Mounts its netns where it is told to."""

LATE_SHARER = """
import ctypes, signal
CLONE_FILES = 0x400
signal.signal(signal.SIGUSR1, lambda *_: made.append(socket.create_server(("127.0.0.1", 0))))
made = []
ready()
sys.stdin.readline()
libc = ctypes.CDLL(None)
child = libc.syscall({clone}, CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
if child == 0:
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    while True:
        signal.pause()
ready(child)
wait()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
"""
"""The same, once it is told to; its child makes a socket when it gets a signal."""

SHARING_THREAD = """
import ctypes, signal
CLONE_FILES = 0x400
first = socket.create_server(("127.0.0.1", 0))
fds = [os.dup(0) for _ in range(40)]
told = os.pipe()
def share():
    libc = ctypes.CDLL(None)
    libc.unshare(CLONE_FILES)
    child = libc.syscall({clone}, CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        time.sleep(3600)
        os._exit(0)
    ready(child)
    os.read(told[0], 1)
    more = socket.create_server(("127.0.0.1", 0))
    ready(os.fstat(more.fileno()).st_ino)
    sys.stdin.read()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
thread = threading.Thread(target=share)
thread.start()
sys.stdin.readline()
os.write(told[1], b"x")
thread.join()
"""
"""A thread with an fd table of its own, at first with the same fds, that a child shares; told to, it makes a socket."""

CLONE = {"x86_64": 56, "aarch64": 220}


@pytest.fixture
def carried() -> Carried:
    require(Capability.ROOT, Capability.NETNS)
    return Carried()


@contextmanager
def start_resting(program: str, *prefix: str) -> Iterator[Child]:
    """The child, once it has come to rest."""
    with start_child(program, *prefix) as child:
        await_rest(child)
        yield child


def reading_of(facts: Facts, pid: int) -> ProcessReading:
    (reading,) = (one for one in facts.processes if one.pid == pid)
    return reading


def holders_of(facts: Facts, inode: int) -> list[int]:
    return sorted(one.pid for one in facts.processes if any(held == inode for _, held in one.socket_fds or ()))


def test_the_fds_of_a_process_that_has_not_run_are_not_read_again(carried: Carried) -> None:
    with start_resting(HOLDER, *IN_NEW_NETNS) as child:
        first = run_pass(carried=carried)
        links = carried.resting[Pid(child.pid)].links
        second = run_pass(carried=carried)
        assert carried.resting[Pid(child.pid)].links is links
        assert reading_of(second, child.pid) == reading_of(first, child.pid)
        assert reading_of(second, child.pid).netns_inode in {one.id.inode for one in second.netns if one.id}


def test_a_process_that_has_not_run_is_in_the_cgroup_into_which_others_move_it(carried: Carried) -> None:
    cgroups = MadeCgroups()
    try:
        with start_resting(HOLDER, *IN_NEW_NETNS) as child:
            before = run_pass(carried=carried)
            links = carried.resting[Pid(child.pid)].links
            cgroups.enter(child.pid, "/nsagent-moved", find_hierarchies())
            facts = run_pass(carried=carried)
            assert carried.resting[Pid(child.pid)].links is links
        moved = reading_of(facts, child.pid)
        assert "/nsagent-moved\n" in moved.cgroup
        assert moved._replace(cgroup="") == reading_of(before, child.pid)._replace(cgroup="")
        (netns,) = (one for one in facts.netns if one.id and one.id.inode == moved.netns_inode)
        assert FoundBy.PROCESS in netns.found_by
    finally:
        cgroups.close()


def test_netns_that_are_mounted_where_nobody_has_run_since_are_seen(carried: Carried, tmp_path: Path) -> None:
    in_mounts = ("unshare", "--mount", "--propagation", "private", "--")
    with start_resting("ready(); wait()", *in_mounts) as rests:
        run_pass(carried=carried)
        assert Pid(rests.pid) in carried.resting
        enter = ("nsenter", f"--mount=/proc/{rests.pid}/ns/mnt", "--", *IN_NEW_NETNS)
        with start_child(MOUNTER, *enter) as mounter:
            assert mounter.say(str(tmp_path / "netns")) == "mounted"
            inode = int(mounter.said)
        facts = run_pass(carried=carried)
    (netns,) = (one for one in facts.netns if one.id and one.id.inode == inode)
    # Another program that looks at netns may hold an fd on it.
    assert FoundBy.MOUNT in netns.found_by
    assert FoundBy.PROCESS not in netns.found_by
    assert netns.foreign_mounts == (str(tmp_path / "netns"),)


def test_a_process_that_has_run_is_read_anew(carried: Carried) -> None:
    with start_resting(HOLDER, *IN_NEW_NETNS) as child:
        run_pass(carried=carried)
        fd, inode = map(int, child.say("more").split())
        assert (Fd(fd), SocketInode(inode)) in (reading_of(run_pass(carried=carried), child.pid).socket_fds or ())


def test_a_socket_that_was_handed_on_between_two_passes_has_the_new_owner_alone(
    carried: Carried, tmp_path: Path
) -> None:
    path = str(tmp_path / "way")
    with start_resting(GIVER, *IN_NEW_NETNS) as giver, start_child("ready();" + TAKER) as taker:
        inode = int(giver.said)
        assert taker.say(path) == "listens"
        await_rest(taker)
        assert holders_of(run_pass(carried=carried), inode) == [giver.pid]
        assert giver.say(path) == "given"
        assert holders_of(run_pass(carried=carried), inode) == [taker.pid]


def test_who_shares_an_fd_table_with_another_process_is_read_each_time(carried: Carried) -> None:
    """The other one changes it while this one rests."""
    program = SHARER.format(clone=CLONE[os.uname().machine])
    with start_resting(program, *IN_NEW_NETNS) as parent, start_resting(HOLDER, *IN_NEW_NETNS) as apart:
        child, _, inode = map(int, parent.said.split())
        assert holders_of(run_pass(carried=carried), inode) == sorted((parent.pid, child))
        assert {parent.pid, child}.isdisjoint(carried.resting)
        assert apart.pid in carried.resting


class Meanwhile(Pace):
    """Has something done once, after a pass has listed the processes and before it reads the first."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__()
        self._do: Callable[[], object] | None = do

    def keep(self, *_: object) -> None:
        do, self._do = self._do, None
        if do is not None:
            do()


def test_who_shares_an_fd_table_with_a_child_that_was_not_listed_yet_is_read_each_time(carried: Carried) -> None:
    program = LATE_SHARER.format(clone=CLONE[os.uname().machine])
    children: list[int] = []
    with start_resting(program, *IN_NEW_NETNS) as parent:

        def fork() -> None:
            children.append(int(parent.say("fork")))
            await_rest(parent)

        carried.pace = Meanwhile(fork)
        run_pass(carried=carried)
        (child,) = children
        os.kill(child, signal.SIGUSR1)
        fds = Path(f"/proc/{child}/fd")
        until(lambda: any(os.readlink(fd).startswith("socket:") for fd in fds.iterdir()), "the child has made a socket")
        facts = run_pass(carried=carried)
        assert reading_of(facts, parent.pid).socket_fds == reading_of(facts, child).socket_fds != ()


def test_who_shares_an_fd_table_with_one_that_a_late_walk_did_not_reach_is_read_each_time(carried: Carried) -> None:
    program = SHARER.format(clone=CLONE[os.uname().machine])
    with start_resting(program, *IN_NEW_NETNS) as parent, open_pass(ProcFs()) as context:
        walk = walk_processes(context)
        assert parent.pid in walk.resting
        child = int(parent.said.split()[0])
        walk.readings = [reading for reading in walk.readings if reading.pid != child]
        walk.tables.remove(child)
        carried.take(walk, context.procfs.list_pids, comparable=True)
    assert parent.pid not in carried.resting


def test_who_shares_the_fd_table_of_a_thread_alone_is_read_each_time(carried: Carried) -> None:
    """That is told of the table, also while the thread has only such fds as its process has."""
    require(Capability.FD_COUNTS)
    with start_resting(SHARING_THREAD.format(clone=CLONE[os.uname().machine]), *IN_NEW_NETNS) as parent:
        child = int(parent.said)
        run_pass(carried=carried)
        assert parent.pid in carried.resting
        assert child not in carried.resting
        inode = int(parent.say("more"))
        assert holders_of(run_pass(carried=carried), inode) == sorted((parent.pid, child))


def test_a_pass_that_was_stopped_leaves_what_is_known(carried: Carried) -> None:
    with start_resting(HOLDER, *IN_NEW_NETNS) as child:
        run_pass(carried=carried)
        before, stop = carried.resting, threading.Event()
        carried.pace = Meanwhile(stop.set)
        with pytest.raises(Aborted):
            run_pass(carried=carried, stop=stop)
        assert carried.resting is before
        assert child.pid in before


class EndMidway(list[int]):
    """Threads, of which some end when it comes to the last, and leave zombies."""

    def __init__(self, numbers: Iterable[int], ending: Collection[int]) -> None:
        super().__init__(numbers)
        self._ending = ending

    def __iter__(self) -> Iterator[int]:
        for number in super().__iter__():
            if number == self[-1]:
                for pid in self._ending:
                    make_zombie(pid)
            yield number


def make_zombie(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "it is a zombie")


def test_tables_that_are_one_are_told_though_others_end_meanwhile(carried: Carried) -> None:
    """What has ended compares as one without a table: by the last comparisons the child would be beside them."""
    program = LATE_SHARER.format(clone=CLONE[os.uname().machine])
    with ExitStack() as started:
        *three, ended = (started.enter_context(start_child(program)) for _ in range(4))
        make_zombie(ended.pid)
        side = compare_fd_tables(three[0].pid, ended.pid)
        # Of three tables one has both others on that side.
        three.sort(key=cmp_to_key(lambda one, other: side * compare_fd_tables(one.pid, other.pid)))
        parent, *beyond = three
        child, pids = int(parent.say("fork")), [one.pid for one in beyond]
        shared, _ = find_shared_tables(EndMidway([parent.pid, *pids, child], pids))
    assert {parent.pid, child} <= shared


def test_tables_are_sorted_so_that_any_two_that_are_one_are_told(carried: Carried) -> None:
    program = SHARER.format(clone=CLONE[os.uname().machine])
    with start_child(program) as one, start_child(program) as other, start_child("ready(); wait()") as apart:
        children = [int(each.said.split()[0]) for each in (one, other)]
        everybody = {one.pid, other.pid, apart.pid, os.getpid(), *children}
        assert find_shared_tables(everybody) == ({one.pid, other.pid, *children}, set())
        assert compare_fd_tables(one.pid, apart.pid) == -compare_fd_tables(apart.pid, one.pid) != 0


def test_one_that_is_gone_is_told_and_all_others_are_compared(carried: Carried) -> None:
    program = SHARER.format(clone=CLONE[os.uname().machine])
    with start_child(program) as one, start_child("ready(); wait()") as first, start_child("ready(); wait()") as last:
        child = int(one.said.split()[0])
        for ended in (first, last):
            ended.end()
        orders = ([first.pid, one.pid, last.pid, child], [one.pid, first.pid, child, last.pid, os.getpid()])
        for numbers in orders:
            assert find_shared_tables(numbers) == ({one.pid, child}, {first.pid, last.pid})


def test_nothing_of_a_copied_tree_is_carried(tmp_path: Path) -> None:
    """Its processes are none of this PID namespace: their fd tables cannot be compared."""
    tree = ProcTree(tmp_path)
    tree.process(10, fds={3: "socket:[7]"})
    tree.write("10/schedstat", "5 6 7\n")
    carried = Carried()
    run_pass(str(tmp_path), carried=carried)
    assert carried.resting == {}


def test_what_was_let_go_is_read_again(carried: Carried) -> None:
    with start_resting(HOLDER, *IN_NEW_NETNS) as child:
        run_pass(carried=carried)
        links = carried.resting[Pid(child.pid)].links
        carried.forget()
        run_pass(carried=carried)
        assert carried.resting[Pid(child.pid)].links is not links


def test_who_takes_over_knows_the_rows_of_the_pass_before_and_who_forgets_does_not() -> None:
    first, second = Carried(), Carried()
    second.take_over(first)
    assert second.decoder is first.decoder
    second.forget()
    assert second.decoder is not first.decoder
