"""The netns that a pass meets: which are held, for how long, and what of a mount is a gap."""

import os
import threading
from pathlib import Path

import pytest

from nsagent.errors import Reason
from nsagent.kernel.netns import list_own_netns_fds
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Fd, Pid
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.follow_mounts import follow_mounts
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.look_again import hold_others
from nsagent.scan.collect.netns import NetnsRegistry
from nsagent.scan.collect.room import Room
from nsagent.scan.collect.settle import read_met
from nsagent.scan.collect.walk import walk_processes
from tests.kernel.children import IN_NEW_NETNS, Child, start_child
from tests.kernel.proc_tree import ProcTree
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import open_pass
from tests.scan.facts import WEB_NETNS


def make_registry(gaps: GapSink | None = None) -> NetnsRegistry:
    return NetnsRegistry(Room(threading.Event()), gaps or GapSink())


def follow(tree: ProcTree, before: str, after: str) -> list[Gap]:
    """The gaps of a process whose mountinfo changes after it was walked, and leads nowhere."""
    tree.process(10, mountinfo=before)
    with open_pass(ProcFs(tree.path)) as context:
        with context.procfs.open_process(Pid(10)) as process:
            context.registry.see_mounts(process)
        tree.write("10/mountinfo", after)
        follow_mounts(context)
        return context.gaps.list_gaps()


MOUNTS = "".join(f"41{n} 30 0:4 net:[402653250{n}] /run/netns/{n} rw - nsfs nsfs rw\n" for n in range(3))


def test_mounts_that_are_there_and_lead_to_no_netns_are_a_gap(tree: ProcTree) -> None:
    gap = Gap(Stage.NETNS, Subject(Kind.MOUNTS, "10"), Reason.UNREACHABLE, count=3)
    assert follow(tree, MOUNTS, MOUNTS) == [gap]


def test_mounts_that_were_undone_meanwhile_are_none(tree: ProcTree) -> None:
    assert follow(tree, MOUNTS, "") == []


@pytest.mark.usefixtures("nothing_left")
def test_a_netns_that_a_late_read_opens_is_not_held() -> None:
    with make_registry() as registry:
        pass
    registry.see_socket(lambda: os.open("/proc/self/ns/net", os.O_RDONLY))
    assert (registry.list_met(), list_own_netns_fds()) == ([], frozenset())


def test_a_netns_that_is_met_again_after_it_was_let_go_is_known_as_the_same() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    with open_pass(ProcFs("/proc")) as context, start_child("ready(); wait()", *IN_NEW_NETNS) as child:
        meet(context, child)
        read_met(context, context.registry.list_met())
        (state,) = context.reader.list_states()
        assert (hold_others(context), state.let_go() > 0) == ([], True)
        meet(context, child)
        assert (state.met.path_since, hold_others(context)) == (f"/proc/{child.pid}/ns/net", [])
        assert (context.reader.list_states(), context.gaps.list_gaps()) == ([state], [])


def meet(context: PassContext, child: Child) -> None:
    with context.procfs.open_process(Pid(child.pid)) as process:
        context.registry.see_process(process, Pid(child.pid))


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
