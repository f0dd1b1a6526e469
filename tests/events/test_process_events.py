"""Real processes as they come and go, and what programs are told of them."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from nsagent.errors import EventsUnavailable, NotRead, ProcessGone, Reason, UsageError
from nsagent.events.losses import Losses
from nsagent.events.process_events import ProcessEvents
from nsagent.kernel.boot_clock import count_ticks
from nsagent.kernel.formats.cn_proc import Fork
from nsagent.kernel.proc_events import Batch, ProcConnector, Timed, open_connector
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid
from nsagent.model.process_event import EventEngine, ExitStatus, Ids, ProcessEvent, ProcessEventKind
from tests.kernel.children import Child, start_child
from tests.live.capabilities import Capability, require, trials
from tests.live.deadlines import until

PROCFS = ProcFs()
FORK, EXEC, EXIT = ProcessEventKind.FORK, ProcessEventKind.EXEC, ProcessEventKind.EXIT
SECONDS = 120.0
OBEY = """
ready()
for line in sys.stdin:
    exec(line)
    ready(repr(said) if "said" in globals() else "")
"""
"""A child that does what each line says, and then tells `said`."""
STORM = "[os.waitpid(os.fork() or os._exit(0), 0) for _ in range(%d)]"
SMALL = partial(open_connector, clock=time.monotonic, receive_bytes=1 << 14)


def no_connector(_: ProcFs) -> ProcConnector:
    raise EventsUnavailable("made so", Reason.NO_ANSWER)


@pytest.fixture
def events(same_fds: None) -> Iterator[ProcessEvents]:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    with ProcessEvents() as events:
        assert (events.engine, events.failure) == (EventEngine.CONNECTOR, None)
        yield events


@pytest.fixture
def polled(same_fds: None) -> Iterator[ProcessEvents]:
    with ProcessEvents(connect=no_connector, poll_seconds=0.01) as events:
        yield events


def test_who_does_not_want_looks_is_told_that_there_are_no_events(same_fds: None) -> None:
    with pytest.raises(EventsUnavailable, match="made so"):
        ProcessEvents(connect=no_connector, poll_seconds=None)


@pytest.fixture
def child() -> Iterator[Child]:
    with start_child(OBEY) as child:
        yield child


def take_until(events: ProcessEvents, is_last: Callable[[ProcessEvent], bool]) -> list[ProcessEvent]:
    """What comes until one that is the last, that one too."""
    found: list[ProcessEvent] = []
    while not found or not is_last(found[-1]):
        event = events.take(SECONDS)
        assert event is not None, found
        found.append(event)
    return found


def is_exit_of(pid: int) -> Callable[[ProcessEvent], bool]:
    return lambda event: (event.kind, event.pid) == (EXIT, pid)


def kinds_and_pids(found: list[ProcessEvent]) -> list[tuple[str, int]]:
    return [(event.kind, event.pid) for event in found]


def test_bug_78_what_a_process_does_and_how_it_ends_is_told(events: ProcessEvents, child: Child) -> None:
    events.watch(child.pid)
    child.say("open('/proc/self/comm', 'w').write('renamed'); os.setresgid(1, 2, 0); os.setresuid(3, 4, 0)")
    child.kill()
    found = take_until(events, is_exit_of(child.pid))
    times = [event.timestamp_ns for event in found]
    assert times == sorted(times)
    make = partial(ProcessEvent, pid=Pid(child.pid), timestamp_ns=0, found_by=EventEngine.CONNECTOR)
    assert [event._replace(timestamp_ns=0) for event in found] == [
        make(ProcessEventKind.COMM, comm="renamed"),
        make(ProcessEventKind.GID, ids=Ids(1, 2)),
        make(ProcessEventKind.UID, ids=Ids(3, 4)),
        make(EXIT, status=ExitStatus(0, 9, False)),
    ]


def test_a_child_that_is_followed_is_told_of_to_its_exit_code(events: ProcessEvents, child: Child) -> None:
    events.watch(child.pid, follow=True)
    made = int(child.say("said = os.posix_spawnp('sh', ['sh', '-c', 'exit 3'], os.environ); os.waitpid(said, 0)"))
    found = take_until(events, is_exit_of(made))
    assert kinds_and_pids(found) == [("fork", child.pid), ("exec", made), ("exit", made)]
    assert (found[0].child, found[2].status) == (made, ExitStatus(3, 0, False))


def read_start(pid: int) -> int:
    with PROCFS.open_process(Pid(pid)) as process:
        return process.read_stat().start_ticks


def read_comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().removesuffix("\n")


def test_who_wants_keys_has_the_start_and_the_name_of_who_begins_and_of_who_runs_another_program(
    same_fds: None, child: Child
) -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    with ProcessEvents(with_keys=True) as events:
        events.watch(child.pid, follow=True)
        made = int(child.say("said = os.fork() or time.sleep(1000)"))
        (fork,) = take_until(events, lambda event: event.child == made)
        assert (fork.start_ticks, fork.comm) == (read_start(made), read_comm(made))
        os.kill(made, 9)
        child.say(f"os.waitpid({made}, 0)")
        child.say("ready(); os.execvp('sleep', ['sleep', '1000'])")
        own = read_start(child.pid)
        found = take_until(events, lambda event: event.kind is EXEC)
        assert [(each.pid, each.start_ticks, each.comm) for each in found] == [
            (made, fork.start_ticks, None),
            (child.pid, own, "sleep"),
        ]
        child.kill()


def test_who_has_ended_before_being_looked_at_has_not_the_start_of_whoever_has_the_pid_then(same_fds: None) -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS, Capability.LAST_PID)
    with ProcessEvents(with_keys=True) as events:
        events.watch_all((FORK, EXEC))
        first = subprocess.Popen(["true"])
        first.wait()
        ended = count_ticks(time.monotonic_ns())
        until(lambda: count_ticks(time.monotonic_ns()) > ended + 1, "another tick")
        again = until(lambda: hold_as(first.pid), "a new process has the pid")
        assert again is not None
        try:
            last = read_start(again.pid)
            found = take_until(events, lambda event: event.child == again.pid and event.start_ticks is not None)
        finally:
            again.kill()
            again.wait()
        own = [event for event in found if first.pid in (event.pid, event.child)]
        assert [(each.start_ticks, each.comm) for each in own[:2]] == [(None, None)] * 2
        assert own[-1].start_ticks == last


def hold_as(pid: int) -> subprocess.Popen[bytes] | None:
    """A child that goes on and gets this pid, which is free; None where it got another one, and is gone."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    made = subprocess.Popen(["sleep", "1000"])
    if made.pid == pid:
        return made
    made.kill()
    made.wait()
    return None


def test_bug_68_and_69_threads_that_come_and_go_are_no_processes(events: ProcessEvents, child: Child) -> None:
    events.watch(child.pid, follow=True)
    child.say("for _ in range(60): thread = threading.Thread(target=int); thread.start(); thread.join()")
    child.kill()
    assert kinds_and_pids(take_until(events, is_exit_of(child.pid))) == [("exit", child.pid)]


def test_bug_68_a_process_goes_on_without_its_first_thread(events: ProcessEvents) -> None:
    program = """
import ctypes
def end():
    wait()
    os._exit(7)
threading.Thread(target=end).start()
ready()
ctypes.CDLL(None).pthread_exit(None)
"""
    with start_child(program) as child:
        events.watch(child.pid)
        until(lambda: is_zombie(child.pid), "the first thread has ended")
        assert events.take(0) is None
        assert child.end() == 7
        (event,) = take_until(events, is_exit_of(child.pid))
        assert event.status == ExitStatus(7, 0, False)


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].startswith(b"Z")


def test_an_exec_by_a_thread_is_one_of_its_process(events: ProcessEvents, child: Child) -> None:
    events.watch(child.pid)
    child.say("ready(); threading.Thread(target=os.execvp, args=('sleep', ['sleep', '1000'])).start(); time.sleep(99)")
    assert kinds_and_pids(take_until(events, lambda event: event.kind is EXEC)) == [("exec", child.pid)]
    child.kill()
    assert kinds_and_pids(take_until(events, is_exit_of(child.pid))) == [("exit", child.pid)]


def test_bug_70_a_watch_without_exec_follows(events: ProcessEvents, child: Child) -> None:
    events.watch(child.pid, (FORK, EXIT), follow=True)
    child.say("os.waitpid(os.fork() or os._exit(5), 0)")
    child.kill()
    found = take_until(events, is_exit_of(child.pid))
    assert [event.kind for event in found] == [FORK, EXIT, EXIT]
    assert found[1].status == ExitStatus(5, 0, False)


def test_only_kinds_that_are_wanted_are_told(events: ProcessEvents, child: Child) -> None:
    events.watch(child.pid, (EXIT,))
    child.say("os.waitpid(os.fork() or os._exit(5), 0)")
    child.kill()
    assert kinds_and_pids(take_until(events, is_exit_of(child.pid))) == [("exit", child.pid)]


def test_bug_71_watches_come_and_go_while_others_read(events: ProcessEvents, child: Child) -> None:
    done = threading.Event()

    def watch_and_unwatch() -> None:
        while not done.is_set():
            events.watch(os.getpid(), follow=True)
            events.unwatch(os.getpid())
            time.sleep(0.001)  # Threads that never wait leave the one that reads a hundredth of the time.

    with ThreadPoolExecutor(2) as threads:
        others = [threads.submit(watch_and_unwatch) for _ in range(2)]
        try:
            events.watch(child.pid, follow=True)
            child.say(STORM % 100)
            child.kill()
            found = [event for event in take_until(events, is_exit_of(child.pid)) if event.pid != os.getpid()]
        finally:
            done.set()
        for other in others:
            other.result()
    assert len(found) == 201


def test_a_storm_of_forks_is_told_whole(events: ProcessEvents, child: Child) -> None:
    count = trials(default=500, full=100_000)
    events.watch(child.pid, (FORK, EXIT), follow=True)
    storm = threading.Thread(target=child.say, args=(STORM % count,))
    storm.start()
    found = [event for _, event in zip(range(2 * count), events, strict=False)]
    storm.join()
    born, ended = ([event for event in found if event.kind is kind] for kind in (FORK, EXIT))
    assert [event.child for event in born] == [event.pid for event in ended]
    assert (len(born), {event.status for event in ended}) == (count, {ExitStatus(0, 0, False)})
    assert events.losses == Losses()


def test_events_that_come_thick_are_let_gather() -> None:
    """To be woken for each takes as long as to take in two of them."""
    own = os.getpid()
    with ProcessEvents(connect=lambda _: OneByOne(own)) as events:
        events.watch(own, (FORK,))
        started = time.monotonic()
        assert len({event.child for _, event in zip(range(30), events, strict=False)}) == 30
        assert time.monotonic() - started > 0.025


class OneByOne:
    """Tells of one child after the other, each of whom is waited for, though never long."""

    def __init__(self, parent: int) -> None:
        self._parent, self._number, self._has_told = parent, 0, True
        self._ready = os.eventfd(1, os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._ready

    def read(self) -> Batch:
        self._has_told = not self._has_told
        if self._has_told:
            return Batch((), None, drained=True)
        self._number += 1
        fork = Fork(self._number, self._number, self._parent)
        return Batch((Timed(time.monotonic_ns(), fork),), None, drained=True)

    def close(self) -> None:
        os.close(self._ready)


def test_bug_72_and_73_who_does_not_read_loses_events_and_then_knows_what_there_is(same_fds: None) -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    with start_child(OBEY) as child, ProcessEvents(connect=SMALL) as events:
        events.watch(child.pid, (FORK, EXIT), follow=True)
        each_cpu = [f"os.sched_setaffinity(0, {{{cpu}}}); {STORM % 1}" for cpu in os.sched_getaffinity(0)]
        for act in each_cpu:
            child.say(act)  # A CPU of which no number is known yet loses events that nobody counts.
        early = int(
            child.say(f"os.sched_setaffinity(0, {os.sched_getaffinity(0)}); said = os.fork() or time.sleep(1000)")
        )
        take_until(events, lambda event: event.child == early)
        child.say(STORM % 300)
        late = int(child.say("said = os.fork() or time.sleep(1000)"))
        child.say(f"os.kill({early}, 9); os.waitpid({early}, 0)")
        found = take_until(events, lambda event: event.child == late)
        while (event := events.take(0)) is not None:
            found.append(event)
        assert (EXIT, early) in kinds_and_pids(found)
        for act in each_cpu:
            child.say(act)
        while (event := events.take(0)) is not None:
            found.append(event)
        assert events.losses.gaps >= 1
        assert events.losses.events >= 600 - len(found)
        os.kill(late, 9)
        assert take_until(events, is_exit_of(late))[-1].child is None


class Deaf:
    """A source that loses everything, and knows of nothing."""

    def __init__(self, _: ProcFs) -> None:
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        return self._reader

    def read(self) -> Batch:
        return Batch((), None, drained=True)

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def test_what_was_lost_without_a_trace_is_found_by_a_look_now_and_then(same_fds: None, child: Child) -> None:
    """What a CPU lost before its first event has no number that is missing."""
    ahead = [0]
    with ProcessEvents(connect=Deaf, clock_ns=lambda: time.monotonic_ns() + ahead[0]) as events:
        events.watch(child.pid)
        child.kill()
        ahead[0] = 500 * 10**9
        assert events.take(0) is None
        ahead[0] = 700 * 10**9
        event = events.take(0)
        assert event is not None
        assert (event.kind, event.pid, event.found_by) == (EXIT, child.pid, EventEngine.POLL)
        assert (events.engine, events.losses, events.take(0)) == (EventEngine.CONNECTOR, Losses(), None)


def test_bug_74_closing_wakes_who_waits_and_leaves_no_fd(same_fds: None) -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    events = ProcessEvents()
    events.watch_all(())
    told: list[list[ProcessEvent]] = []
    readers = [threading.Thread(target=lambda: told.append(list(events)), daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    until(lambda: events._waiter._waiting == 3, "three threads wait")
    events.close()
    for reader in readers:
        reader.join(SECONDS)
    assert told == [[], [], []]


def test_bug_75_closing_twice_and_using_it_afterwards_does_nothing(same_fds: None) -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    events = ProcessEvents()
    events.close()
    events.close()
    assert (list(events), events.take(), events.unwatch(1)) == ([], None, False)


def test_bug_80_what_ran_before_is_known(child: Child) -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    grandchild = int(child.say("said = os.fork() or time.sleep(1000)"))
    with ProcessEvents() as events:
        events.watch(child.pid, follow=True)
        os.kill(grandchild, 15)
        (event,) = take_until(events, is_exit_of(grandchild))
        assert event.status == ExitStatus(0, 15, False)


def test_what_came_before_a_watch_is_known_and_not_told(events: ProcessEvents, child: Child) -> None:
    grandchild = int(child.say("said = os.fork() or time.sleep(1000)"))
    events.watch(child.pid, follow=True)
    os.kill(grandchild, 15)
    assert kinds_and_pids(take_until(events, is_exit_of(grandchild))) == [("exit", grandchild)]


def test_who_is_unwatched_is_told_of_no_more(events: ProcessEvents, child: Child) -> None:
    events.watch(child.pid)
    assert (events.unwatch(child.pid), events.unwatch(child.pid)) == (True, False)
    child.kill()
    marker = subprocess.Popen(["sleep", "1000"])
    events.watch(marker.pid, (EXIT,))
    marker.kill()
    marker.wait()
    assert kinds_and_pids(take_until(events, is_exit_of(marker.pid))) == [("exit", marker.pid)]


def test_all_processes_can_be_watched_those_to_come_too(events: ProcessEvents) -> None:
    events.watch_all((FORK, EXIT))
    made = subprocess.Popen(["sh", "-c", "exit 3"])
    made.wait()
    found = [event for event in take_until(events, is_exit_of(made.pid)) if made.pid in (event.pid, event.child)]
    assert kinds_and_pids(found) == [("fork", os.getpid()), ("exit", made.pid)]


def test_who_is_not_there_and_who_is_no_process_cannot_be_watched(events: ProcessEvents) -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    with pytest.raises(ProcessGone):
        events.watch(done.pid)
    release = threading.Event()
    thread = threading.Thread(target=release.wait, daemon=True)
    thread.start()
    assert thread.native_id is not None
    with pytest.raises(UsageError, match=f"pid {thread.native_id} is a thread of process {os.getpid()}"):
        events.watch(thread.native_id)
    release.set()
    thread.join()


def test_a_pid_that_is_given_out_anew_is_not_watched(events: ProcessEvents) -> None:
    require(Capability.LAST_PID)
    first = subprocess.Popen(["sleep", "1000"])
    events.watch(first.pid, (EXIT,), follow=True)
    first.kill()
    first.wait()
    again = until(lambda: fork_as(first.pid), "a new process has the pid")
    assert again == first.pid
    marker = subprocess.Popen(["sleep", "1000"])
    events.watch(marker.pid, (EXIT,))
    marker.kill()
    marker.wait()
    found = take_until(events, is_exit_of(marker.pid))
    assert kinds_and_pids(found) == [("exit", first.pid), ("exit", marker.pid)]
    assert found[0].status == ExitStatus(0, 9, False)


def fork_as(pid: int) -> int | None:
    """Its pid if a child that ends at once gets this one, which is free."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    made = os.posix_spawnp("true", ["true"], os.environ)
    os.waitpid(made, 0)
    return made if made == pid else None


def test_polled_processes_are_told_of_with_what_two_looks_show(polled: ProcessEvents, child: Child) -> None:
    assert (polled.engine, str(polled.failure)) == (EventEngine.POLL, "made so")
    polled.watch(child.pid, follow=True)
    made = int(child.say("said = os.fork() or time.sleep(1000)"))
    (event,) = take_until(polled, lambda event: event.child == made)
    found_by = EventEngine.POLL
    assert event == ProcessEvent(
        FORK,
        Pid(child.pid),
        event.timestamp_ns,
        found_by,
        Pid(made),
        comm=read_comm(made),
        start_ticks=read_start(made),
    )
    os.kill(made, 9)
    child.say(f"os.waitpid({made}, 0); os.setresgid(1, 2, 0)")
    found = take_until(polled, lambda event: event.kind is ProcessEventKind.GID)
    child.say("ready(); os.execvp('sleep', ['sleep', '1000'])")
    found += take_until(polled, lambda event: event.kind is EXEC)
    child.kill()
    found += take_until(polled, is_exit_of(child.pid))
    assert sorted(kinds_and_pids(found)) == sorted(
        [("exit", made), ("gid", child.pid), ("exec", child.pid), ("exit", child.pid)]
    )
    assert {(event.found_by, event.status) for event in found} == {(EventEngine.POLL, None)}


def test_in_another_pid_namespace_it_says_so_and_polls() -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    program = """
import os, subprocess, nsagent
with nsagent.ProcessEvents(poll_seconds=0.01) as events:
    print(events.engine, events.failure.reason)
    child = subprocess.Popen(["sleep", "1000"])
    events.watch(child.pid)
    child.kill()
    child.wait()
    print(next(event for event in events if event.kind == "exit").pid == child.pid)
"""
    command = ["unshare", "--pid", "--mount-proc", "--fork", "--kill-child", "--", sys.executable, "-c", program]
    assert subprocess.check_output(command, text=True, timeout=60) == "poll pid_namespace\nTrue\n"


def test_without_a_procfs_there_is_nothing(tmp_path: Path, same_fds: None) -> None:
    with pytest.raises(NotRead):
        ProcessEvents(proc_root=str(tmp_path / "none"))


def test_coroutines_are_told_too_and_one_that_is_cancelled_takes_nothing_along(
    events: ProcessEvents, child: Child
) -> None:
    async def read() -> list[ProcessEvent]:
        waiting = [asyncio.ensure_future(anext(events)) for _ in range(3)]
        await asyncio.to_thread(until, lambda: events._waiter._waiting == 3, "three tasks wait")
        for each in waiting[1:]:
            each.cancel()
        await asyncio.wait(waiting[1:])
        await asyncio.to_thread(child.say, "os.waitpid(os.fork() or os._exit(0), 0)")
        found = [await waiting[0]]
        child.kill()
        async for event in events:
            found.append(event)
            if is_exit_of(child.pid)(event):
                events.close()
        return found

    events.watch(child.pid, follow=True)
    assert [event.kind for event in asyncio.run(read())] == [FORK, EXIT, EXIT]


def test_events_that_are_read_for_a_new_watch_wake_all_who_wait_for_one(events: ProcessEvents, child: Child) -> None:
    async def read() -> list[ProcessEvent]:
        waiting = [asyncio.ensure_future(anext(events)) for _ in range(3)]
        await asyncio.to_thread(until, lambda: events._waiter._waiting == 3, "three tasks wait")
        # None of this lets the loop run, which would see that there is something to read.
        child.say("os.waitpid(os.fork() or os._exit(0), 0)")
        child.kill()
        events.watch_all(())
        return list(await asyncio.wait_for(asyncio.gather(*waiting), SECONDS))

    events.watch(child.pid, follow=True)
    assert sorted(event.kind for event in asyncio.run(read())) == [EXIT, EXIT, FORK]


def test_without_fds_to_wait_with_nothing_is_left_open(same_fds: None, few_fds: Callable[[int], None]) -> None:
    def connect(procfs: ProcFs) -> Deaf:
        source = Deaf(procfs)
        few_fds(0)
        return source

    with pytest.raises(EventsUnavailable, match="EMFILE"):
        ProcessEvents(connect=connect)
