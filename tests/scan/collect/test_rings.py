"""io_urings of neighbours: who makes many of them, or one of which much is told, hides nothing but what is in those."""

import os
from pathlib import Path

import pytest

from nsagent.errors import Reason
from nsagent.kernel.formats.release import is_at_least
from nsagent.kernel.procfs import ProcFs
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Fd, Pid
from nsagent.scan.collect.rings import MAX_RINGS, Rings
from tests.kernel.children import start_child
from tests.kernel.proc_tree import BUSY_SOCKSTAT, TCP_HEADER, ProcTree
from tests.live.capabilities import Capability, lack
from tests.scan.collect.passes import run_pass
from tests.scan.facts import listen_row, reading

TELLS = "pos:\t0\nSqThreadCpu:\t-1\nUserFiles:\t9\n{files}UserBufs:\t0\nPollList:\n"
WEB = "0::/docker/" + "c0de" * 16 + "\n"
MANY_SLOTS = """
import ctypes, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
libc = ctypes.CDLL(None, use_errno=True)
place = {place!r}
for _ in range(4):
    place += "/" + "\\n" * 250
    os.mkdir(place)
def make_ring(*files):
    ring = libc.syscall(425, 1, (ctypes.c_char * 120)())
    if ring < 0:
        ready(os.strerror(ctypes.get_errno())); wait(); sys.exit()
    assert libc.syscall(427, ring, 2, (ctypes.c_int * len(files))(*files), len(files)) == 0
    return ring
made = socket.create_server(("127.0.0.1", 0))
inode = os.fstat(made.fileno()).st_ino
large = make_ring(*[os.open(place, os.O_RDONLY)] * 1500)
ready(f"{{large}} {{make_ring(made.fileno())}} {{inode}}")
wait()
"""


def gap(pid: int, reason: Reason) -> Gap:
    return Gap(Stage.FDS, Subject(Kind.IO_URING, str(pid)), reason)


def tell(tree: ProcTree, pid: int, fd: int, *inodes: int) -> None:
    """Have the ring at this fd tell of these sockets."""
    files = "".join(f"    {slot}: socket:[{inode}]\n" for slot, inode in enumerate(inodes))
    tree.write(f"{pid}/fdinfo/{fd}", TELLS.format(files=files))


def find(
    looked: Rings, tree: ProcTree, pid: int, *fds: int, wanted: tuple[int, ...] = (7,), cgroup: str = WEB
) -> list[tuple[int, int]]:
    with ProcFs(tree.path).open_process(Pid(pid)) as process:
        told = reading(pid, cgroup=cgroup)
        return list(looked.find_registered(process, told, map(Fd, fds), wanted))


def test_what_is_wanted_is_told_once_for_each_ring(tree: ProcTree) -> None:
    tree.process(10)
    tell(tree, 10, 3, 7, 8, 7)
    tell(tree, 10, 4, 7)
    looked = Rings(shows_paths=True)
    assert find(looked, tree, 10, 3, 4, 5) == [(3, 7), (4, 7)]
    assert looked.gaps == {}


def test_a_ring_that_tells_too_much_hides_no_other_one(tree: ProcTree) -> None:
    tree.process(10)
    tree.write("10/fdinfo/3", TELLS.format(files="    0: /" + "x" * (4 << 20) + "\n"))
    tell(tree, 10, 4, 7)
    looked = Rings(shows_paths=True)
    assert find(looked, tree, 10, 3, 4) == [(4, 7)]
    assert list(looked.gaps) == [gap(10, Reason.TOO_LARGE)]


def test_who_makes_too_many_rings_hides_nobody_elses(tree: ProcTree) -> None:
    for pid in (10, 11):
        tree.process(pid)
        tell(tree, pid, 3, 7)
    looked = Rings(shows_paths=True)
    assert len(find(looked, tree, 10, *[3] * (MAX_RINGS + 1))) == MAX_RINGS
    assert find(looked, tree, 11, 3, cgroup="0::/docker/" + "beef" * 16 + "\n") == [(3, 7)]
    assert list(looked.gaps) == [gap(10, Reason.TOO_MANY)]


def test_rings_of_which_much_is_told_count_for_more(tree: ProcTree) -> None:
    tree.process(10)
    tree.write("10/fdinfo/3", TELLS.format(files="    0: /" + "x" * (4 << 20) + "\n"))
    read: list[int] = []
    looked = Rings(shows_paths=True, keep_pace=lambda: read.append(1))
    assert find(looked, tree, 10, *[3] * MAX_RINGS) == []
    assert len(read) == MAX_RINGS // (4 << 10) + 1
    assert list(looked.gaps) == [gap(10, Reason.TOO_LARGE), gap(10, Reason.TOO_MANY)]


def test_no_ring_is_read_once_the_pass_is_over(tree: ProcTree) -> None:
    tree.process(10)
    tell(tree, 10, 3, 7)
    looks = iter([False, True])
    looked = Rings(shows_paths=True, is_over=lambda: next(looks))
    assert find(looked, tree, 10, 3, 3, 3) == [(3, 7)]
    assert list(looked.gaps) == [gap(10, Reason.LATE)]


@pytest.mark.parametrize(("release", "held"), [("6.13.9", False), ("6.14.0", True), (None, False)])
def test_a_file_that_is_called_as_a_socket_owns_none_on_kernels_that_show_bare_names(
    tree: ProcTree, release: str | None, held: bool
) -> None:
    net = {"sockstat": BUSY_SOCKSTAT, "tcp": TCP_HEADER + listen_row(80, 7)}
    tree.process(10, fds={5: "anon_inode:[io_uring]"}, net=net)
    tell(tree, 10, 5, 7)
    if release is not None:
        tree.write("sys/kernel/osrelease", release + "\n")
    facts = run_pass(tree.path)
    found = [(one.pid, one.socket_fds) for one in facts.processes if (5, 7) in (one.socket_fds or ())]
    assert found == ([(10, ((5, 7),))] if held else [])
    assert (gap(10, Reason.NOT_TOLD) in facts.gaps) is not held


def test_a_real_ring_with_long_paths_in_it_hides_no_other_one(tmp_path: Path) -> None:
    with start_child(MANY_SLOTS.format(place=str(tmp_path))) as child:
        if not child.said[:1].isdigit():
            lack(Capability.IO_URING, child.said)
        large, small, inode = map(int, child.said.split())
        looked = Rings(shows_paths=is_at_least(os.uname().release, 6, 14))
        with ProcFs().open_process(Pid(child.pid)) as process:
            found = list(looked.find_registered(process, reading(child.pid), (Fd(large), Fd(small)), (inode,)))
    assert found == ([(small, inode)] if looked.shows_paths else [])
    assert gap(child.pid, Reason.TOO_LARGE) in looked.gaps
