"""Who the processes are that events tell of, though many have ended before anybody looks."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from nsagent.events.identities import NOBODY, Identities
from nsagent.kernel.boot_clock import count_ticks
from nsagent.kernel.procfs import ProcFs
from nsagent.model.container import Container, NameState, Pod, Runtime, ToldBy
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
    return reading(pid, comm="httpd", uid=33, netns=WEB_NETNS, cgroup=WEB_CGROUP)._replace(**fields)  # type: ignore[arg-type]


def passed(
    *processes: ProcessReading, containers: Sequence[Container] = (WEB,), placed: Sequence[Placed] = ()
) -> Facts:
    return facts(processes)._replace(containers=tuple(containers), placed=tuple(placed))


def begin(tree: ProcTree, *passes: Facts) -> Identities:
    """What is known after these passes, of this procfs."""
    identities = Identities(ProcFs(tree.path), clock_ns=lambda: 2 * 10**18, monotonic_ns=lambda: LATE_NS + 500_000_000)
    for began_ns, each in enumerate(passes):
        learn(identities, each, began_ns)
    return identities


def learn(identities: Identities, each: Facts, began_ns: int) -> None:
    """Take a pass that began then."""
    identities.learn(attribute(each), each, began_ns)


def name(identities: Identities, event: ProcessEvent) -> NamedProcessEvent:
    return identities.name(event, identities.follow(event))


def test_an_event_is_told_with_the_container_and_the_time_of_day(tree: ProcTree) -> None:
    named = name(begin(tree, passed(httpd())), replace_pid(EXIT, PARENT))
    assert named == NamedProcessEvent(
        2e9 - 0.5, replace_pid(EXIT, PARENT), IN_WEB, "web", "shop/web:1", Pod(PodUid("11-22"), "web-7d9c", "shop")
    )


def replace_pid(event: ProcessEvent, pid: Pid) -> ProcessEvent:
    return event._replace(pid=pid)


def test_a_child_has_what_its_parent_has_until_it_ends(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    child = IN_WEB._replace(source=IdentitySource.PARENT, start_ticks=None)
    assert [name(identities, each).identity for each in (FORK, EXIT, EXIT)] == [child, child, NOBODY]


def test_what_has_ended_before_anybody_looks_has_no_command_any_more(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    name(identities, FORK)
    gone = IN_WEB._replace(source=IdentitySource.PARENT, start_ticks=None, comm=None)
    assert [name(identities, each).identity for each in (EXEC, EXIT)] == [gone, gone]


def test_who_executes_a_program_is_looked_at(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    tree.process(CHILD, "curl", start_ticks=200, netns=WEB_NETNS, cgroup=WEB_CGROUP)
    name(identities, FORK)
    curl = Identity(IdentitySource.LOOK, 200, "curl", os.getuid(), WEB_NETNS, ContainerId(WEB_ID))
    assert [name(identities, each).identity for each in (EXEC, EXIT)] == [curl, curl]


def test_who_was_moved_to_another_container_is_in_that(tree: ProcTree) -> None:
    identities = begin(tree, passed(reading(PARENT, comm="shim"), httpd(12)))
    tree.process(CHILD, "httpd", cgroup=WEB_CGROUP)
    assert name(identities, FORK).container_name is None
    assert name(identities, EXEC).container_name == "web"


def test_who_has_the_pid_by_now_is_not_taken_for_who_had_it(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    tree.process(CHILD, "other", start_ticks=1 << 50)
    name(identities, FORK)
    assert name(identities, EXEC).identity.comm is None


def test_of_a_process_whose_parent_nobody_knows_the_parent_is_looked_at(tree: ProcTree) -> None:
    tree.process(PARENT, "sh", cgroup="0::/system.slice/cron.service\n")
    unit = Identity(IdentitySource.PARENT, None, "sh", os.getuid(), HOST_NETNS, unit="cron.service")
    assert name(begin(tree), FORK).identity == unit


def test_an_agent_looks_at_no_more_processes_than_it_may(tree: ProcTree) -> None:
    now = LATE_NS
    identities = Identities(ProcFs(tree.path), looks_a_second=2, monotonic_ns=lambda: now)
    for pid in (1, 2, 3):
        tree.process(pid, "sh")
    told = [name(identities, replace_pid(EXEC, Pid(pid))).identity.comm for pid in (1, 2, 3)]
    now += 1_000_000_000
    assert [*told, name(identities, replace_pid(EXEC, Pid(3))).identity.comm] == ["sh", "sh", None, "sh"]


def test_who_was_not_looked_at_when_it_ran_a_program_is_nobody_until_it_is(tree: ProcTree) -> None:
    """What it was before is not what it is: a runtime moves a process, and has it run the program of a container."""
    now = LATE_NS
    identities = Identities(ProcFs(tree.path), looks_a_second=1, monotonic_ns=lambda: now)
    learn(identities, passed(httpd()), 0)
    tree.process(CHILD, "curl", netns=WEB_NETNS, cgroup=WEB_CGROUP)
    told = [name(identities, each).identity for each in (FORK, EXEC, EXEC)]
    assert [one.source for one in told] == [IdentitySource.PARENT, IdentitySource.LOOK, IdentitySource.NONE]
    assert (told[2], identities.not_looked_at) == (NOBODY, 1)
    now += 1_000_000_000
    assert name(identities, EXEC).identity == told[1]


def test_what_ended_after_it_was_looked_at_before_is_not_told_by_a_look(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    directory = tree.process(CHILD, "curl", netns=WEB_NETNS, cgroup=WEB_CGROUP)
    looked = name(identities, EXEC).identity
    directory.rename(tree.root / "gone")
    assert name(identities, EXEC).identity == looked._replace(source=IdentitySource.PARENT, comm=None)


def test_a_container_that_runs_programs_in_a_loop_leaves_looks_for_the_others(tree: ProcTree) -> None:
    identities = Identities(ProcFs(tree.path), looks_a_second=8, monotonic_ns=lambda: LATE_NS)
    learn(identities, passed(httpd()), 0)
    tree.process(PARENT, "loop", netns=WEB_NETNS, cgroup=WEB_CGROUP)
    tree.process(1, "sh")
    told = [name(identities, replace_pid(EXEC, Pid(pid))).identity for pid in (*[PARENT] * 9, 1)]
    look, none = IdentitySource.LOOK, IdentitySource.NONE
    assert [one.source for one in told] == [look, look, *[none] * 7, look]


def test_a_parent_is_looked_at_once(tree: ProcTree) -> None:
    identities = begin(tree)
    directory = tree.process(PARENT, "sh")
    name(identities, FORK)
    directory.rename(tree.root / "gone")
    assert name(identities, FORK).identity.comm == "sh"


def test_of_a_process_that_a_look_has_found_itself_is_told(tree: ProcTree) -> None:
    """It runs another program by now, of which no event will tell."""
    tree.process(CHILD, "curl", cgroup=WEB_CGROUP)
    named = name(begin(tree, passed(httpd())), FORK._replace(found_by=EventEngine.POLL))
    assert (named.pid, named.parent, named.identity.comm, named.container_name) == (CHILD, PARENT, "curl", "web")


def test_nobody_is_named_where_nobody_is_known(tree: ProcTree) -> None:
    identities = begin(tree)
    assert [name(identities, each).identity for each in (FORK, EXEC, EXIT)] == [NOBODY] * 3


def is_named(tree: ProcTree, cgroup: str, *, uid: int) -> bool:
    """Whether the child of a process that a pass has placed in a container is told to be in it by looks."""
    placed = passed(httpd(cgroup="0::/x\n", uid=uid), reading(12), placed=[Placed(ContainerId(WEB_ID), PARENT, 100)])
    identities = begin(tree, placed)
    tree.process(CHILD, "curl", start_ticks=200, cgroup=cgroup)
    name(identities, FORK)
    first, second = name(identities, EXEC), name(identities, EXEC)
    assert first == second
    assert first.identity.comm == "curl"
    return first.container_name == "web"


@pytest.mark.parametrize(
    ("cgroup", "uid", "named"),
    [("0::/x\n", 0, True), ("0::/y\n", 0, False), ("0::/x\n", 1, False)],
    ids=["as its parent", "moved", "another user's"],
)
def test_a_pass_tells_whose_a_process_without_a_cgroup_of_its_own_is(
    tree: ProcTree, cgroup: str, uid: int, *, named: bool
) -> None:
    """What it executes, and its children, are in the same container."""
    assert is_named(tree, cgroup, uid=os.getuid() + uid) is named


def test_who_has_the_pid_of_one_without_a_cgroup_of_its_own_is_not_in_its_container(tree: ProcTree) -> None:
    """Nobody has told of the end of that one."""
    placed = passed(httpd(CHILD, cgroup="0::/x\n", uid=os.getuid()), placed=[Placed(ContainerId(WEB_ID), CHILD, 100)])
    identities = begin(tree, placed)
    tree.process(CHILD, "curl", start_ticks=200, cgroup="0::/x\n")
    assert name(identities, EXEC).identity.container_id is None


def test_whoever_shares_the_cgroup_of_one_without_its_own_is_not_in_its_container(tree: ProcTree) -> None:
    placed = passed(httpd(cgroup="0::/x\n"), reading(12), placed=[Placed(ContainerId(WEB_ID), PARENT, 100)])
    identities = begin(tree, placed)
    tree.process(CHILD, "curl", cgroup="0::/x\n")
    name(identities, FORK._replace(pid=Pid(12)))
    assert name(identities, EXEC).identity.container_id is None


def test_who_was_moved_out_of_a_container_is_in_it_no_more(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd(CHILD)))
    tree.process(CHILD, "httpd")
    assert name(identities, EXEC).identity.container_id is None


def test_where_a_netns_may_not_be_read_it_is_not_the_parent_s(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    directory = tree.process(CHILD, "curl", netns=None, cgroup=WEB_CGROUP)
    (directory / "ns").mkdir(exist_ok=True)
    (directory / "ns" / "net").write_text("no link")
    name(identities, FORK)
    told = name(identities, EXEC).identity
    assert (told.comm, told.netns, told.container_id) == ("curl", None, WEB_ID)


def test_a_cgroup_that_bears_the_id_of_another_container_is_not_believed(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    tree.process(CHILD, "evil", cgroup=f"0::/user.slice/user-1.slice/user@1.service/docker/{WEB_ID}\n")
    assert name(identities, EXEC).identity.container_id is None


@pytest.mark.parametrize("uid", [0, 1, 2], ids=["the system's", "that user's", "another user's"])
def test_of_a_container_that_shows_no_process_a_user_s_cgroup_has_the_name_by_that_user_s_engine_alone(
    tree: ProcTree, uid: int
) -> None:
    told = WEB._replace(told_by=ToldBy("docker", uid, named=False))
    identities = begin(tree, passed(reading(12), containers=[told]))
    tree.process(CHILD, "curl", cgroup=f"0::/user.slice/user-1.slice/user@1.service/docker/{WEB_ID}\n")
    named = name(identities, EXEC)
    assert (named.identity.container_id, named.container_name) == ((WEB_ID, "web") if uid == 1 else (None, None))


def test_a_flood_of_new_cgroups_is_not_read(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()))
    ids = [ContainerId(f"{number:064x}") for number in range(100)]
    for pid, id_ in enumerate(ids, 1000):
        tree.process(pid, cgroup=f"0::/docker/{id_}\n")
    told = []
    for pid in map(Pid, range(1000, 1100)):
        name(identities, FORK._replace(child=pid))
        told.append(name(identities, replace_pid(EXEC, pid)).identity.container_id)
    assert told == [*ids[:64], *[None] * 36]


def test_a_pass_forgets_who_is_gone_but_one_that_began_since_the_one_before_after_the_next(tree: ProcTree) -> None:
    identities = begin(tree, passed(httpd()), passed(httpd()))
    name(identities, FORK)
    sizes = []
    for later_ns in (1, 2, 3):
        learn(identities, passed(httpd()), LATE_NS + later_ns)
        sizes.append(len(identities))
    assert sizes == [2, 1, 1]


@pytest.mark.parametrize(("began_ns", "named"), [(LATE_NS + 1, None), (LATE_NS, "web")])
def test_a_pass_tells_where_a_process_is_that_was_not_seen_since_it_began(
    tree: ProcTree, began_ns: int, named: str | None
) -> None:
    identities = begin(tree, passed(httpd()))
    name(identities, FORK)
    learn(identities, passed(httpd(), reading(CHILD)), began_ns)
    assert name(identities, EXIT._replace(timestamp_ns=LATE_NS + 2)).container_name == named


def test_a_birth_that_is_told_late_does_not_undo_what_a_pass_has_seen(tree: ProcTree) -> None:
    """Somebody has moved it meanwhile."""
    at_ns = time.monotonic_ns()
    identities = begin(tree, passed(reading(PARENT), httpd(CHILD, start_ticks=count_ticks(at_ns))))
    told = [name(identities, each._replace(timestamp_ns=at_ns)).container_name for each in (FORK, EXIT)]
    assert told == [None, "web"]


def test_what_was_executed_before_a_pass_does_not_undo_what_that_has_seen(tree: ProcTree) -> None:
    identities = begin(tree)
    learn(identities, passed(httpd(CHILD)), LATE_NS + 1)
    told = [name(identities, each).identity.comm for each in (EXEC, EXIT._replace(timestamp_ns=LATE_NS + 2))]
    assert told == [None, "httpd"]


@pytest.mark.parametrize("kind", [ProcessEventKind.EXIT, ProcessEventKind.EXEC])
def test_what_is_told_late_of_who_had_the_pid_before_is_not_of_who_has_it_now(
    tree: ProcTree, kind: ProcessEventKind
) -> None:
    at_ns = time.monotonic_ns()
    identities = begin(tree, passed(httpd(CHILD, start_ticks=count_ticks(at_ns) + 100)))
    late = EXIT._replace(kind=kind, timestamp_ns=at_ns)
    assert [name(identities, each).container_name for each in (late, EXIT)] == [None, "web"]
    assert name(identities, late).identity == NOBODY


def test_a_pass_does_not_bring_back_who_has_ended_since_it_began(tree: ProcTree) -> None:
    """The next one that has its pid may have begun unheard."""
    identities = begin(tree, passed(httpd(), httpd(CHILD)))
    name(identities, EXIT)
    learn(identities, passed(httpd(), httpd(CHILD)), LATE_NS)
    assert name(identities, EXEC._replace(timestamp_ns=LATE_NS + 1)).identity == NOBODY


def test_real_processes_are_told_with_their_commands() -> None:
    identities = Identities(ProcFs())
    with subprocess.Popen(["sleep", "60"]) as child:
        named = name(identities, EXEC._replace(pid=Pid(child.pid), timestamp_ns=LATE_NS))
        child.kill()
    assert (named.identity.comm, named.identity.netns) == ("sleep", os.stat("/proc/self/ns/net").st_ino)
