"""The table of processes by what events tell, and as real ones come and go, held against /proc."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nsagent.agent.living import Living
from nsagent.agent.process_feed import ProcessFeed
from nsagent.agent.processes import Processes
from nsagent.errors import Gone
from nsagent.kernel.procfs import ProcFs
from nsagent.model.choices import EngineName
from nsagent.model.forebear import Forebear
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.named_event import Identity, IdentitySource
from nsagent.model.process_event import EventEngine, ExitStatus, ProcessEvent, ProcessEventKind
from nsagent.model.snapshot import Snapshot
from nsagent.scan.memory import Lodger
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import Taken, take_snapshot
from tests.events.named import PARENT, PID, event
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.live.capabilities import Capability, require, trials
from tests.live.deadlines import until
from tests.live.made_cgroups import MadeCgroups, find_hierarchies
from tests.scan.facts import facts
from tests.scan.snapshots import make_netns, process, snapshot

PROCFS = ProcFs()
WEB = ContainerId("ab" * 32)
PARENT_TICKS = process(PARENT, "sh").start_ticks
NETNS, COOKIE = 4026532500, 4101
AGAIN = 'read line; exec sh -c "$AGAIN"'
"""A shell that runs another one in its place at each line."""
STORM = """
import os, random, sys
while True:
    if os.getppid() == 1: break
    if os.fork() == 0:
        os.execv("/bin/true", ["true"]) if random.random() < 0.2 else os._exit(0)
    os.wait()
"""


IN_WEB = Identity(IdentitySource.LOOK, 100, "curl", 0, NETNS, WEB)
"""By a look."""


def of(kind: ProcessEventKind, identity: Identity = IN_WEB) -> tuple[ProcessEvent, Identity]:
    """What PID does, or that its parent has it, and who that is."""
    return event(kind, timestamp_ns=20), identity


def begin() -> Processes:
    """A table after a pass that has seen PARENT alone, and that it has PID since."""
    processes = Processes(clock_ns=lambda: 30, wall_clock=lambda: 1000.0, count_slept_ns=lambda: 0)
    seen = process(PARENT, "sh")._replace(netns=NETNS)
    passed = snapshot(netns=[make_netns(NETNS, cookie=COOKIE)])._replace(processes=(seen,))
    processes.learn(passed, facts(), 10)
    processes.take(*of(ProcessEventKind.FORK, Identity(IdentitySource.PARENT, None, "sh", 0, NETNS)))
    return processes


def take_pass() -> tuple[Taken, int]:
    """A pass over this host, and when it began."""
    started_ns = time.monotonic_ns()
    request = SnapshotRequest("h", 0, engine=EngineName.AUTO, deadline_seconds=600.0)
    return take_snapshot(request, None, clock=time.monotonic), started_ns


def learn(processes: Processes, hearing: ProcessFeed) -> Snapshot:
    taken, started_ns = take_pass()
    for each in (hearing.identities, processes):
        each.learn(taken.snapshot, taken.facts, started_ns)
    return taken.snapshot


@contextmanager
def feed(processes: Processes) -> Iterator[ProcessFeed]:
    """The table hears meanwhile."""
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    feed = ProcessFeed("/proc", [processes.take], tell=pytest.fail)
    feed.begin()
    try:
        until(lambda: feed.status(processes.count()).engine is EventEngine.CONNECTOR, "the kernel tells")
        yield feed
    finally:
        feed.close()


def list_living() -> set[Pid]:
    """All that /proc has, but for those that only wait for their parents."""
    found = set()
    for pid in PROCFS.list_pids():
        try:
            with PROCFS.open_process(pid) as process:
                stat = process.read_stat()
        except Gone:
            continue
        if not (stat.is_dead and stat.num_threads <= 1):
            found.add(pid)
    return found


def is_as_proc(processes: Processes) -> bool:
    """Whether the table has all who live, and nobody else."""
    before = list_living()
    known = {pid for pid in PROCFS.list_pids() if processes.find(pid) is not None}
    number, after = processes.count().living, list_living()
    return before & after <= known and number <= len(before | after)


def is_no_larger_than_proc(processes: Processes) -> bool:
    """Whether it has about as many as live, and as wait for their parents."""
    return processes.count().living <= len(PROCFS.list_pids()) + 200


def test_a_child_lives_where_its_parent_does_until_a_look_tells_where() -> None:
    processes = begin()
    assert processes.find(PID) == Living(PID, 20, None, "sh", Lodger(NETNS, COOKIE, None))
    processes.take(*of(ProcessEventKind.EXEC))
    assert processes.find(PID) == Living(PID, 20, 100, "curl", Lodger(NETNS, COOKIE, WEB))
    processes.take(event(ProcessEventKind.COMM, comm="worker"), IN_WEB)
    assert processes.find(PID) == Living(PID, 20, 100, "worker", Lodger(NETNS, COOKIE, WEB))
    processes.take(*of(ProcessEventKind.EXIT))
    assert processes.find(PID) is None


@pytest.mark.parametrize(
    "identity",
    [
        IN_WEB._replace(comm=None),
        IN_WEB._replace(netns=None),
        IN_WEB._replace(source=IdentitySource.PARENT),
        IN_WEB._replace(source=IdentitySource.SNAPSHOT),
    ],
    ids=["an earlier look", "without a netns", "its parent's", "a pass"],
)
def test_what_is_not_seen_at_an_event_leaves_a_process_where_it_was(identity: Identity) -> None:
    processes = begin()
    processes.take(*of(ProcessEventKind.EXEC, identity))
    assert processes.find(PID) == Living(PID, 20, None, "sh", Lodger(NETNS, COOKIE, None))


def test_a_child_that_was_looked_at_lives_where_that_tells() -> None:
    """Its parent is not known, or it was found by a look itself."""
    processes = begin()
    processes.take(*of(ProcessEventKind.FORK))
    assert processes.find(PID) == Living(PID, 20, 100, "curl", Lodger(NETNS, COOKIE, WEB))


def test_a_netns_in_which_nobody_was_seen_has_no_cookie_by_its_number() -> None:
    processes = begin()
    for pid in (PARENT, PID):
        processes.take(event(ProcessEventKind.EXIT, pid=pid, timestamp_ns=20), IN_WEB)
    processes.take(*of(ProcessEventKind.EXEC))
    assert processes.find(PID) == Living(PID, 20, 100, "curl", Lodger(NETNS, None, WEB))


def test_a_parent_that_has_ended_is_told_to_whoever_asks_by_pid_and_start() -> None:
    processes = begin()
    assert processes.list_forebears(PID, 0) == (Forebear(PARENT, PARENT_TICKS, "sh", None, None, None),)
    gone = event(ProcessEventKind.EXIT, pid=PARENT, timestamp_ns=25, status=ExitStatus(3, 0, core_dumped=False))
    processes.take(gone, IN_WEB)
    (lost,) = processes.list_forebears(PID, 0) or ()
    status = ExitStatus(3, 0, core_dumped=False)
    assert lost == Forebear(PARENT, PARENT_TICKS, "sh", None, lost.ended_seconds, status)
    assert lost.ended_seconds == pytest.approx(1000.0 - 5e-9, abs=1e-9)
    assert processes.list_forebears(PID, 1 << 40) is None
    assert processes.list_forebears(PARENT, PARENT_TICKS) is None


def test_whose_child_a_look_found_it_to_be_is_not_who_began_it() -> None:
    processes = begin()
    found = event(ProcessEventKind.FORK, child=Pid(12), timestamp_ns=20, found_by=EventEngine.POLL)
    processes.take(found, IN_WEB)
    assert processes.list_forebears(Pid(12), 100) == ()


def test_when_a_parent_ended_is_told_as_it_was_also_after_the_machine_has_slept() -> None:
    """CLOCK_MONOTONIC stands still meanwhile, and the time of day does not."""
    now_ns, wall, slept_ns = [30], [1000.0], [5]
    processes = Processes(
        clock_ns=lambda: now_ns[0], wall_clock=lambda: wall[0], count_slept_ns=lambda: slept_ns[0], grace_seconds=1e9
    )
    seen = process(PARENT, "sh")._replace(netns=NETNS)
    passed = snapshot(netns=[make_netns(NETNS, cookie=COOKIE)])._replace(processes=(seen,))
    processes.learn(passed, facts(), 10)
    processes.take(*of(ProcessEventKind.FORK, IN_WEB))
    processes.take(event(ProcessEventKind.EXIT, pid=PARENT, timestamp_ns=30), IN_WEB)
    awake, hour_ns = 2_000_000_000, 3_600_000_000_000
    now_ns[0], slept_ns[0], wall[0] = 30 + awake, 5 + hour_ns, 1000.0 + 2 + 3600
    (parent,) = processes.list_forebears(PID, 100) or ()
    assert parent.ended_seconds == pytest.approx(1000.0, abs=0.001)


def test_a_container_that_begins_and_ends_between_two_passes_is_known_where_it_lived() -> None:
    require(Capability.ROOT, Capability.NSENTER)
    processes, hierarchies, cgroups = Processes(), find_hierarchies(), MadeCgroups()
    try:
        with feed(processes) as hearing, start_child("ready(); wait()", *IN_NEW_NETNS) as home:
            passed = learn(processes, hearing)
            number = os.stat(f"/proc/{home.pid}/ns/net").st_ino
            cookie = next(one.cookie for one in passed.netns if one.number == number)
            assert processes.list_lodgers(number, cookie) == {None}
            enter = ["nsenter", f"--net=/proc/{home.pid}/ns/net", "--", "sh", "-c", AGAIN]
            with subprocess.Popen(enter, stdin=subprocess.PIPE, bufsize=0, env={**os.environ, "AGAIN": AGAIN}) as web:
                cgroups.enter(web.pid, f"/docker/{WEB}", hierarchies)

                def is_known() -> bool:
                    assert web.stdin is not None
                    web.stdin.write(b"\n")
                    return WEB in processes.list_lodgers(number, cookie)

                until(is_known, "who runs another program is looked at, beside as many others as there may be")
                web.kill()
            until(lambda: processes.find(Pid(web.pid)) is None, "its end is heard")
            assert processes.list_lodgers(number, cookie) == {None, WEB}
            assert Lodger(number, cookie, WEB) in processes.map_lodgers()[number]
            assert processes.list_lodgers(number, 1) == frozenset()
    finally:
        cgroups.close()


def test_the_table_is_what_proc_has_and_no_larger_while_processes_come_and_go() -> None:
    seconds = trials(default=6, full=3600)
    processes = Processes(most_ended=200)
    with feed(processes) as hearing:
        learn(processes, hearing)
        storms = [subprocess.Popen([sys.executable, "-c", STORM]) for _ in range(2)]
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                learn(processes, hearing)
                assert processes.count().ended <= 200
                until(lambda: is_no_larger_than_proc(processes), "it is no larger than /proc, once it has heard all")
        finally:
            for storm in storms:
                storm.kill()
                storm.wait()
        learn(processes, hearing)
        until(lambda: is_as_proc(processes), "the table is what /proc has")
        status = hearing.status(processes.count())
        assert status.events > 100 * seconds or os.getloadavg()[0] > 4
        assert status.found_by_passes < status.events / 100
