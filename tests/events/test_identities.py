"""Who the processes are that events tell of, though many have ended before anybody looks."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nsagent.events.identities import NOBODY, Identities
from nsagent.kernel.procfs import ProcFs
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.facts import Facts, Placed, ProcessReading
from nsagent.model.ids import ContainerId, Pid, PodUid
from nsagent.model.named_event import Identity, IdentitySource, NamedProcessEvent
from nsagent.model.process_event import EventEngine, ProcessEvent, ProcessEventKind
from nsagent.scan.attribute import attribute
from tests.kernel.proc_tree import HOST_NETNS, ProcTree
from tests.scan.facts import WEB_CGROUP, WEB_ID, WEB_NETNS, facts, reading

PARENT, CHILD = Pid(10), Pid(11)
LATE_NS = 1 << 62
"""Later than any process has begun."""
POD = Pod(PodUid("11-22"), "web-7d9c", "shop", {"app": "web"})
WEB = Container(
    ContainerId(WEB_ID),
    "k8s_web",
    NameState.KNOWN,
    Runtime.DOCKER,
    "shop/web:1",
    True,
    "cri",
    {},
    (),
    None,
    POD,
    "web",
)
IN_WEB = Identity(IdentitySource.SNAPSHOT, 100, "httpd", 33, WEB_NETNS, ContainerId(WEB_ID))
FORK = ProcessEvent(ProcessEventKind.FORK, PARENT, LATE_NS, EventEngine.CONNECTOR, child=CHILD)
EXEC = ProcessEvent(ProcessEventKind.EXEC, CHILD, LATE_NS, EventEngine.CONNECTOR)
EXIT = ProcessEvent(ProcessEventKind.EXIT, CHILD, LATE_NS, EventEngine.CONNECTOR)


@pytest.fixture
def tree(tmp_path: Path) -> ProcTree:
    return ProcTree(tmp_path)


def httpd(pid: int = PARENT, **fields: object) -> ProcessReading:
    return replace(reading(pid, comm="httpd", uid=33, netns=WEB_NETNS, cgroup=WEB_CGROUP), **fields)  # type: ignore[arg-type]


def passed(
    *processes: ProcessReading, containers: Sequence[Container] = (WEB,), placed: Sequence[Placed] = ()
) -> Facts:
    return replace(facts(processes), containers=tuple(containers), placed=tuple(placed))


def begin(tree: ProcTree, *passes: Facts) -> Identities:
    """What is known after these passes, of this procfs."""
    identities = Identities(ProcFs(tree.path), clock_ns=lambda: 2 * 10**18, monotonic_ns=lambda: LATE_NS + 500_000_000)
    for each in passes:
        identities.learn(attribute(each), each)
    return identities


def test_an_event_is_told_with_the_container_and_the_time_of_day(tree: ProcTree) -> None:
    named = begin(tree, passed(httpd())).name(replace_pid(EXIT, PARENT))
    assert named == NamedProcessEvent(
        2e9 - 0.5, replace_pid(EXIT, PARENT), IN_WEB, "web", "shop/web:1", Pod(PodUid("11-22"), "web-7d9c", "shop")
    )


def replace_pid(event: ProcessEvent, pid: Pid) -> ProcessEvent:
    return event._replace(pid=pid)


def test_a_child_has_what_its_parent_has_until_it_ends(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    child = IN_WEB._replace(source=IdentitySource.PARENT, start_ticks=None)
    assert [identities.name(each).identity for each in (FORK, EXIT, EXIT)] == [child, child, NOBODY]


def test_what_has_ended_before_anybody_looks_has_no_command_any_more(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    identities.name(FORK)
    gone = IN_WEB._replace(source=IdentitySource.PARENT, start_ticks=None, comm=None)
    assert [identities.name(each).identity for each in (EXEC, EXIT)] == [gone, gone]


def test_who_executes_a_program_is_looked_at(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    tree.process(CHILD, "curl", start_ticks=200, netns=WEB_NETNS, cgroup=WEB_CGROUP)
    identities.name(FORK)
    curl = Identity(IdentitySource.LOOK, 200, "curl", os.getuid(), WEB_NETNS, ContainerId(WEB_ID))
    assert [identities.name(each).identity for each in (EXEC, EXIT)] == [curl, curl]


def test_who_was_moved_to_another_container_is_in_that(tree: ProcTree) -> None:
    identities = begin(tree, passed(reading(PARENT, comm="shim"), httpd(12)))
    tree.process(CHILD, "httpd", cgroup=WEB_CGROUP)
    assert identities.name(FORK).container_name is None
    assert identities.name(EXEC).container_name == "web"


def test_who_has_the_pid_by_now_is_not_taken_for_who_had_it(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    tree.process(CHILD, "other", start_ticks=1 << 50)
    identities.name(FORK)
    assert identities.name(EXEC).identity.comm is None


def test_of_a_process_whose_parent_nobody_knows_the_parent_is_looked_at(tree: ProcTree) -> None:
    tree.process(PARENT, "sh", cgroup="0::/system.slice/cron.service\n")
    unit = Identity(IdentitySource.PARENT, None, "sh", os.getuid(), HOST_NETNS, unit="cron.service")
    assert begin(tree).name(FORK).identity == unit


def test_an_agent_looks_at_no_more_processes_than_it_may(tree: ProcTree) -> None:
    now = LATE_NS
    identities = Identities(ProcFs(tree.path), looks_a_second=2, monotonic_ns=lambda: now)
    for pid in (1, 2, 3):
        tree.process(pid, "sh")
    told = [identities.name(replace_pid(EXEC, Pid(pid))).identity.comm for pid in (1, 2, 3)]
    now += 1_000_000_000
    assert [*told, identities.name(replace_pid(EXEC, Pid(3))).identity.comm] == ["sh", "sh", None, "sh"]


def test_a_parent_is_looked_at_once(tree: ProcTree) -> None:
    identities = begin(tree)
    directory = tree.process(PARENT, "sh")
    identities.name(FORK)
    directory.rename(tree.root / "gone")
    assert identities.name(FORK).identity.comm == "sh"


def test_of_a_process_that_a_look_has_found_itself_is_told(tree: ProcTree) -> None:
    """It runs another program by now, of which no event will tell."""
    tree.process(CHILD, "curl", cgroup=WEB_CGROUP)
    named = begin(tree, passed(httpd())).name(FORK._replace(found_by=EventEngine.POLL))
    assert (named.pid, named.parent, named.identity.comm, named.container_name) == (CHILD, PARENT, "curl", "web")


def test_nobody_is_named_where_nobody_is_known(tree: ProcTree) -> None:
    identities = begin(tree)
    assert [identities.name(each).identity for each in (FORK, EXEC, EXIT)] == [NOBODY] * 3


def test_a_pass_tells_whose_a_process_without_a_cgroup_of_its_own_is(tree: ProcTree) -> None:
    """What it executes is in the same container: its cgroup told nothing before either."""
    placed = passed(httpd(CHILD, cgroup="0::/\n"), placed=[Placed(ContainerId(WEB_ID), CHILD, 100)])
    identities = begin(tree, placed)
    tree.process(CHILD, "curl", cgroup="0::/\n")
    assert identities.name(EXEC).container_name == "web"


def test_a_cgroup_that_bears_the_id_of_another_container_is_not_believed(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    tree.process(CHILD, "evil", cgroup=f"0::/user.slice/user-1.slice/user@1.service/docker/{WEB_ID}\n")
    assert identities.name(EXEC).identity.container_id is None


def test_a_flood_of_new_cgroups_is_not_read(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    ids = [ContainerId(f"{number:064x}") for number in range(100)]
    for pid, id_ in enumerate(ids, 1000):
        tree.process(pid, cgroup=f"0::/docker/{id_}\n")
    told = [identities.name(replace_pid(EXEC, Pid(pid))).identity.container_id for pid in range(1000, 1100)]
    assert told == [*ids[:64], *[None] * 36]


def test_a_pass_forgets_who_is_gone_but_none_that_was_seen_since_it_began(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()), passed(httpd()))
    identities.name(FORK)
    sizes = []
    for _ in range(3):
        snapshot = passed(httpd())
        identities.learn(attribute(snapshot), snapshot)
        sizes.append(len(identities))
    assert sizes == [2, 1, 1]


def test_real_processes_are_told_with_their_commands() -> None:
    identities = Identities(ProcFs())
    with subprocess.Popen(["sleep", "60"]) as child:
        named = identities.name(EXEC._replace(pid=Pid(child.pid), timestamp_ns=LATE_NS))
        child.kill()
    assert (named.identity.comm, named.identity.netns) == ("sleep", os.stat("/proc/self/ns/net").st_ino)
