"""The netns that a pass meets: which are held, for how long, and what of a mount is a gap."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsagent.errors import Reason
from nsagent.kernel.formats.mountinfo import Mount
from nsagent.kernel.netns import list_own_netns_fds
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Fd
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.netns import NetnsRegistry
from nsagent.scan.collect.room import Room
from nsagent.scan.collect.walk import walk_processes
from tests.kernel.proc_tree import ProcTree
from tests.scan.collect.passes import open_pass
from tests.scan.facts import WEB_NETNS

COVERED = "/run/netns/covered"


def make_registry(gaps: GapSink | None = None) -> NetnsRegistry:
    return NetnsRegistry(Room(threading.Event()), gaps or GapSink())


class Unmounting(ProcessDir):
    """A process whose nsfs mounts are another list at each read."""

    answers: Iterator[list[Mount]]

    def read_nsfs_mounts(self) -> list[Mount]:
        return next(self.answers)


def see_mounts(tree: ProcTree, *answers: list[Mount]) -> list[Gap]:
    """The gaps of a process whose mounts lead nowhere."""
    path = tree.process(10)
    gaps = GapSink()
    with Unmounting(os.open(path, os.O_RDONLY), 10, "pid 10", str(path)) as process, make_registry(gaps) as registry:
        process.answers = iter(answers)
        registry.see_mounts(process)
    return gaps.list_gaps()


MOUNT = Mount(0, 4, "net:[4026532500]", COVERED, "nsfs")


def test_a_mount_that_is_there_and_leads_to_no_netns_is_a_gap(tree: ProcTree) -> None:
    assert see_mounts(tree, [MOUNT], [MOUNT]) == [Gap(Stage.NETNS, Subject(Kind.MOUNT, COVERED), Reason.UNREACHABLE)]


def test_a_mount_that_was_undone_meanwhile_is_none(tree: ProcTree) -> None:
    assert see_mounts(tree, [MOUNT], []) == []


@pytest.mark.usefixtures("nothing_left")
def test_a_netns_that_a_late_read_opens_is_not_held() -> None:
    with make_registry() as registry:
        pass
    registry.see_socket(lambda: os.open("/proc/self/ns/net", os.O_RDONLY))
    assert (registry.list_met(), list_own_netns_fds()) == ([], frozenset())


def test_what_the_pass_holds_open_itself_leads_nowhere(tree: ProcTree) -> None:
    for pid in (10, 11):
        tree.process(pid, fds={4: f"net:[{WEB_NETNS}]"})
    tree.link("self", "10")
    noted: list[tuple[int, Fd, int]] = []

    class Noting(NetnsRegistry):
        def see_fd(self, process: ProcessDir, fd: Fd, inode: int) -> None:
            noted.append((process.number, fd, inode))

    with open_pass(ProcFs(tree.path)) as context:
        walk_processes(context._replace(registry=Noting(context.room, context.gaps)))
    assert noted == [(11, 4, WEB_NETNS)]


def test_a_netns_that_is_known_by_key_alone_is_met_once(tree: ProcTree) -> None:
    path = tree.process(10)
    (Path(path) / "ns/net").unlink()
    with ProcessDir(os.open(path, os.O_RDONLY), 10, "pid 10", str(path)) as process, make_registry() as registry:
        keys = {registry.see_key(process, process.number) for _ in range(2)}  # type: ignore[arg-type]
        assert [one.key for one in registry.list_met()] == list(keys)
