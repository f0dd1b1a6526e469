"""Threads that somebody named, of this very process: a snapshot knows processes only."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsagent.cli.options import Host, Source
from nsagent.cli.threads import name_netns, name_processes
from nsagent.model.ids import Pid
from nsagent.query.filter import Filter
from nsagent.scan.attribute import attribute
from tests.kernel.proc_tree import ProcTree
from tests.scan.facts import facts, reading

PID = os.getpid()
SNAPSHOT = attribute(facts([reading(PID)]))
NOBODY = Pid(1 << 22)


@pytest.fixture
def tid() -> Iterator[int]:
    """The id of a thread beside the first."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    assert thread.native_id is not None
    yield thread.native_id
    end.set()
    thread.join()


def test_a_thread_goes_for_its_process_and_what_is_neither_stays(tid: int) -> None:
    wanted = Filter(pids=(Pid(PID), Pid(tid), NOBODY), netns=("web",))
    assert name_processes(wanted, SNAPSHOT, Source()) == Filter(pids=(Pid(PID), Pid(PID), NOBODY), netns=("web",))


def test_the_path_of_a_thread_goes_for_the_netns_that_it_is_in(tid: int) -> None:
    inode = os.stat("/proc/self/ns/net").st_ino
    for path in (f"/proc/{tid}/ns/net", f"/proc/{PID}/task/{tid}/ns/net"):
        assert name_netns(f"{path},web", SNAPSHOT, Source()) == f"{inode},web"
    for path in (f"/proc/{PID}/ns/net", f"/proc/{NOBODY}/ns/net"):
        assert name_netns(path, SNAPSHOT, Source()) == path


def test_a_thread_whose_netns_may_not_be_read_goes_for_its_process(tmp_path: Path) -> None:
    tree = ProcTree(tmp_path / "proc")
    tree.write("70/status", "Tgid:\t60\n")
    assert name_netns("/proc/70/ns/net", SNAPSHOT, Source(Host(proc_root=tree.root))) == "/proc/60/ns/net"


def test_a_capture_is_not_held_against_the_processes_of_now(tid: int) -> None:
    wanted = Filter(pids=(Pid(tid),), netns=(f"/proc/{tid}/ns/net",))
    assert name_processes(wanted, SNAPSHOT, Source(from_file=Path("capture"))) == wanted
