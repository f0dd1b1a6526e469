"""Real processes, handed on as the kernel tells of them."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from nsagent.agent.process_feed import ProcessFeed
from nsagent.agent.processes import ProcessesKnown
from nsagent.agent.status import EventsStatus
from nsagent.errors import EventsUnavailable, NotRead, Reason
from nsagent.events.losses import Losses
from nsagent.events.process_events import ProcessEvents
from nsagent.kernel.formats.cn_proc import Exit, Fork
from nsagent.kernel.proc_events import Batch, ProcConnector, Timed
from nsagent.kernel.procfs import ProcFs
from nsagent.model.named_event import Identity, NamedProcessEvent
from nsagent.model.process_event import EventEngine, ProcessEvent, ProcessEventKind
from tests.kernel.conftest import same_fds
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until

__all__ = ["same_fds"]

KNOWN = ProcessesKnown(3, 2, 1)
SILENT = EventsUnavailable("made so", Reason.NO_ANSWER)


def refuse(_: str) -> ProcessEvents:
    raise SILENT


def refuse_source(_: ProcFs) -> ProcConnector:
    raise SILENT


@pytest.fixture(autouse=True)
def no_thread_left(same_fds: None) -> Iterator[None]:
    yield
    until(lambda: not [each for each in threading.enumerate() if each.name == "process events"], "the thread has ended")


def test_every_sink_takes_what_the_kernel_tells() -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    first: list[tuple[ProcessEvent, Identity]] = []
    second: list[NamedProcessEvent] = []
    feed = ProcessFeed("/proc", [lambda *each: first.append(each)], named_sinks=[second.append], tell=pytest.fail)
    feed.begin()
    until(lambda: feed.status(KNOWN).engine is EventEngine.CONNECTOR, "the kernel tells")
    pid = subprocess.Popen(["true"])
    pid.wait()
    until(lambda: any(each.pid == pid.pid and each.event.kind is ProcessEventKind.EXIT for each in second), "its end")
    feed.close()
    told = [each.event.kind for each in second if each.pid == pid.pid]
    assert told == [ProcessEventKind.FORK, ProcessEventKind.EXEC, ProcessEventKind.EXIT]
    assert first == [(each.event, each.identity) for each in second]
    assert feed.status(KNOWN) == EventsStatus(EventEngine.POLL, None, len(first), 0, 0, 3, 2, 1)


def test_no_more_than_its_share_is_taken_however_much_happens() -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    share, most = 0.3, 300
    times: list[tuple[float, float]] = []

    def work(*_: object) -> None:
        times.append((time.monotonic(), time.thread_time()))
        until_cpu = time.thread_time() + 0.004
        while time.thread_time() < until_cpu:
            pass

    feed = ProcessFeed("/proc", [work], tell=pytest.fail, share=share)
    feed.begin()
    until(lambda: feed.status(KNOWN).engine is EventEngine.CONNECTOR, "the kernel tells")
    for _ in range(most // 3):
        subprocess.run(["true"], check=True)
    until(lambda: len(times) >= most, "three events of each")
    feed.close()
    (began, cpu_began), (ended, cpu_ended) = times[0], times[-1]
    # What may be taken at once, and what is taken until that is looked at.
    assert cpu_ended - cpu_began <= share * (ended - began + 1.0) + 64 * 0.004 + 0.1


def test_events_of_threads_of_which_nobody_is_told_take_no_more_than_the_share() -> None:
    share, seconds, pid = 0.2, 4.0, os.getpid()
    times: list[tuple[float, float]] = []

    class Rush:
        """A kernel that always has more to tell of a thread."""

        def __init__(self) -> None:
            self._always, other = os.pipe()
            os.close(other)

        def fileno(self) -> int:
            return self._always

        def read(self) -> Batch:
            times.append((time.monotonic(), time.thread_time()))
            now = time.monotonic_ns()
            return Batch((Timed(now, Fork(1 << 22, pid, pid)), Timed(now, Exit(1 << 22, pid, 0))) * 500, None, False)

        def close(self) -> None:
            os.close(self._always)

    def hear(_: str) -> ProcessEvents:
        events = ProcessEvents(connect=lambda _: Rush())
        events.watch_all()
        times.clear()
        return events

    feed = ProcessFeed("/proc", [], tell=pytest.fail, hear=hear, share=share)
    feed.begin()
    until(lambda: times and times[-1][0] - times[0][0] >= seconds, "time has passed")
    feed.close()
    (began, cpu_began), (ended, cpu_ended) = times[0], times[-1]
    # What may be taken at once, and what is taken until that is looked at.
    assert cpu_ended - cpu_began <= share * (ended - began + 1.0) + 1.0 + 0.2


def test_that_the_kernel_tells_nothing_is_said_once_and_nobody_looks() -> None:
    told: list[str] = []
    heard: list[NamedProcessEvent] = []
    feed = ProcessFeed("/proc", [], named_sinks=[heard.append], tell=told.append, hear=refuse)
    feed.begin()
    until(lambda: told, "it is said")
    assert feed.status(KNOWN) == EventsStatus(EventEngine.POLL, "made so", 0, 0, 0, 3, 2, 1)
    feed.close()
    assert heard == []
    assert told == ["process events: made so: only passes tell which processes there are"]


def test_where_a_report_tells_of_events_looks_are_compared_instead_and_said_so() -> None:
    def poll(proc_root: str) -> ProcessEvents:
        events = ProcessEvents(proc_root=proc_root, poll_seconds=0.1, connect=refuse_source)
        events.watch_all()
        return events

    told: list[str] = []
    heard: list[NamedProcessEvent] = []
    feed = ProcessFeed("/proc", [], named_sinks=[heard.append], tell=told.append, hear=poll)
    feed.begin()
    until(lambda: told, "it is said")
    with subprocess.Popen(["sleep", "60"]) as child:
        until(lambda: any(each.parent is not None and each.pid == child.pid for each in heard), "its birth")
        child.kill()
    status = feed.status(KNOWN)
    assert (status.engine, status.error) == (EventEngine.POLL, "made so")
    assert {each.event.found_by for each in heard} == {EventEngine.POLL}
    assert told == ["process events: made so: /proc is looked at instead, and tells less"]
    feed.close()


def test_what_fails_later_is_told_with_what_came_before() -> None:
    require(Capability.ROOT, Capability.PROCESS_EVENTS)
    told: list[str] = []
    broken = threading.Event()

    class Breaking(ProcessEvents):
        def take(self, seconds: float | None = None) -> ProcessEvent | None:
            event = super().take(seconds)
            if broken.is_set():
                raise NotRead("process events", Reason.FAILED, "EBADF")
            broken.set()
            return event

    def hear(proc_root: str) -> ProcessEvents:
        events = Breaking(proc_root=proc_root)
        events.watch_all()
        return events

    feed = ProcessFeed("/proc", [lambda *_: None], tell=told.append, hear=hear)
    feed.begin()
    until(lambda: subprocess.run(["true"], check=True) and told, "it is said")
    until(lambda: feed.status(KNOWN).engine is EventEngine.POLL, "its thread has ended")
    status = feed.status(KNOWN)
    assert status.events == 1
    assert status.error is not None
    assert "EBADF" in status.error
    feed.close()


def test_what_ended_is_heard_again_later_and_what_came_in_between_is_a_gap() -> None:
    """As where no file could be opened for a moment, since somebody else had too many open."""
    missing = NotRead("/proc", Reason.FAILED, "ENFILE")

    class Ending(ProcessEvents):
        def take(self, seconds: float | None = None) -> ProcessEvent | None:
            self.losses = Losses(2, 9)
            raise missing

    told: list[str] = []
    heard: list[NamedProcessEvent] = []
    tries = iter(["ends", "refused", "refused", "heard"])

    def hear(proc_root: str) -> ProcessEvents:
        this = next(tries)
        if this == "refused":
            raise missing
        events = (Ending if this == "ends" else ProcessEvents)(poll_seconds=0.1, connect=refuse_source)
        events.watch_all()
        return events

    feed = ProcessFeed("/proc", [], named_sinks=[heard.append], tell=told.append, hear=hear, again_seconds=0.01)
    feed.begin()
    until(lambda: subprocess.run(["true"], check=True) and heard, "what comes later")
    status = feed.status(KNOWN)
    assert (status.error, status.gaps, status.lost) == ("made so", 3, 9)
    assert told == [
        "process events: made so: /proc is looked at instead, and tells less",
        f"process events: {missing}: only passes tell which processes there are",
        "process events: made so: /proc is looked at instead, and tells less",
    ]
    feed.close()


@pytest.mark.parametrize(
    ("failure", "tried"),
    [
        (NotRead("/proc", Reason.FAILED, "EMFILE"), 3),
        (EventsUnavailable("made so", Reason.FAILED, "ENOBUFS"), 3),
        (EventsUnavailable("made so", Reason.DENIED, "EPERM"), 1),
    ],
)
def test_what_cannot_be_heard_at_first_is_tried_again_where_that_may_pass(
    failure: NotRead | EventsUnavailable, tried: int
) -> None:
    tries: list[int] = []
    told: list[str] = []

    def hear(_: str) -> ProcessEvents:
        tries.append(1)
        raise failure

    feed = ProcessFeed("/proc", [], tell=told.append, hear=hear, again_seconds=0.01)
    feed.begin()
    until(lambda: len(tries) >= tried, "it is tried")
    if tried == 1:
        feed._thread.join(60)
        assert tries == [1]
    feed.close()
    assert told == [f"process events: {failure}: only passes tell which processes there are"]


def test_an_end_before_the_kernel_has_answered_leaves_nothing_behind() -> None:
    asked, answered = threading.Event(), threading.Event()

    def answer_late(_: ProcFs) -> ProcConnector:
        asked.set()
        answered.wait()
        raise SILENT

    feed = ProcessFeed("/proc", [], tell=lambda _: None, hear=lambda _: ProcessEvents(connect=answer_late))
    feed.begin()
    asked.wait()
    feed.close()
    answered.set()
