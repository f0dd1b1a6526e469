"""All engines at once: the deadline, the breaker, and passes that do not mix."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nsagent.errors import RuntimeUnavailable
from nsagent.model.container import Container, NameState
from nsagent.model.facts import Gap, Stage
from nsagent.model.ids import ContainerId
from nsagent.runtimes.engines import Engines


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class StandIn:
    """A source that does what its next behaviour says."""

    def __init__(self, subject: str, *behaviours: Callable[["StandIn"], tuple[Container, ...]]) -> None:
        self.subject = subject
        self.abandoned = threading.Event()
        self.asked = 0
        self._behaviours: Iterator[Callable[[StandIn], tuple[Container, ...]]] = iter(behaviours)

    def list_containers(self) -> tuple[Container, ...]:
        self.asked += 1
        return next(self._behaviours)(self)

    def abandon(self) -> None:
        self.abandoned.set()


def knows(*names: str) -> Callable[[StandIn], tuple[Container, ...]]:
    """Answer with containers of these names."""
    return lambda source: tuple(
        Container(ContainerId(name), name, NameState.KNOWN, None, None, True, source.subject) for name in names
    )


def fails(source: StandIn) -> tuple[Container, ...]:
    raise RuntimeUnavailable("broken")


def hangs(source: StandIn) -> tuple[Container, ...]:
    """Until it is abandoned, and then say something that nobody wants to hear."""
    source.abandoned.wait()
    return knows("late")(source)


def names(containers: tuple[Container, ...]) -> list[str | None]:
    return [container.name for container in containers]


def test_the_answers_come_in_the_order_of_the_sources() -> None:
    def slowly(source: StandIn) -> tuple[Container, ...]:
        time.sleep(0.05)
        return knows("a", "b")(source)

    engines = Engines([StandIn("one", slowly), StandIn("two", knows("c"))], clock=time.monotonic)
    engines.start()
    containers, gaps, asked = engines.collect()
    assert (names(containers), gaps, asked) == (["a", "b", "c"], (), ("one", "two"))


def test_one_that_fails_is_a_gap_and_the_others_answer() -> None:
    engines = Engines([StandIn("one", fails), StandIn("two", knows("c"))], clock=time.monotonic)
    engines.start()
    containers, gaps, asked = engines.collect()
    assert (names(containers), asked) == (["c"], ("one", "two"))
    assert gaps == (Gap(Stage.NAMES, "one", "broken"),)


def test_those_that_hang_share_one_deadline_and_are_abandoned() -> None:
    sources = [StandIn(str(number), hangs) for number in range(5)]
    engines = Engines(sources, 0.2, clock=time.monotonic)
    began = time.monotonic()
    engines.start()
    containers, gaps, _ = engines.collect()
    assert time.monotonic() - began < 0.5
    assert containers == ()
    assert [gap.reason for gap in gaps] == ["no answer within 0.2 s"] * 5
    assert all(source.abandoned.is_set() for source in sources)


def test_the_deadline_counts_from_the_start() -> None:
    """A scan that took longer than the deadline does not wait for an engine at all."""
    clock = Clock()
    source = StandIn("one", hangs)
    engines = Engines([source], 60.0, clock=clock)
    engines.start()
    clock.now += 61
    began = time.monotonic()
    assert [gap.reason for gap in engines.collect()[1]] == ["no answer within 60 s"]
    assert time.monotonic() - began < 1


def test_an_answer_that_is_there_after_the_deadline_counts() -> None:
    """It came in time; only the scan was late to ask for it."""
    clock = Clock()
    engines = Engines([StandIn("one", knows("a"))], 2.0, clock=clock)
    engines.start()
    time.sleep(0.1)
    clock.now += 10
    assert names(engines.collect()[0]) == ["a"]


def test_a_late_answer_is_not_the_next_pass_s() -> None:
    source = StandIn("one", hangs, knows("fresh"))
    engines = Engines([source], 0.1, clock=time.monotonic)
    engines.start()
    assert engines.collect()[0] == ()
    time.sleep(0.1)
    engines.start()
    assert names(engines.collect()[0]) == ["fresh"]


def test_a_source_that_is_still_busy_is_not_asked_again() -> None:
    free = threading.Event()

    def hangs_for_good(source: StandIn) -> tuple[Container, ...]:
        free.wait(10)
        return ()

    source = StandIn("one", hangs_for_good)
    engines = Engines([source], 0.1, clock=time.monotonic)
    for reason, asked in (("no answer within 0.1 s", ("one",)), ("not asked: still busy with an earlier question", ())):
        engines.start()
        assert engines.collect() == ((), (Gap(Stage.NAMES, "one", reason),), asked)
    assert source.asked == 1
    free.set()


def test_after_three_failures_a_source_rests_for_a_minute() -> None:
    clock = Clock()
    source = StandIn("one", fails, fails, fails, fails, knows("a"), fails, knows("b"))
    engines = Engines([source], clock=clock)

    def reasons() -> list[str]:
        engines.start()
        return [gap.reason for gap in engines.collect()[1]]

    assert [reasons() for _ in range(3)] == [["broken"]] * 3
    clock.now += 10
    assert reasons() == ["not asked: it failed 3 times, next in 50 s"]
    assert source.asked == 3
    clock.now += 50
    assert reasons() == ["broken"], "after a minute it is asked once"
    assert reasons() == ["not asked: it failed 3 times, next in 60 s"]
    clock.now += 60
    assert reasons() == []
    assert reasons() == ["broken"], "one failure after a success is the first again"
    assert reasons() == []


def test_collect_without_start_has_nothing() -> None:
    engines = Engines([StandIn("one", knows("a"))], clock=time.monotonic)
    assert engines.collect() == ((), (), ())
    engines.start()
    assert names(engines.collect()[0]) == ["a"]
    assert engines.collect() == ((), (), ())


def test_a_pass_that_is_given_up_leaves_no_thread() -> None:
    source = StandIn("one", hangs)
    engines = Engines([source], clock=time.monotonic)
    engines.start()
    engines.close()
    until = time.monotonic() + 2
    while any(thread.name == "ask one" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_fault_of_ours_is_a_gap_at_once_and_its_traceback_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_buggy(source: StandIn) -> tuple[Container, ...]:
        raise AssertionError

    shown = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: shown.set())
    engines = Engines([StandIn("one", is_buggy)], clock=time.monotonic)
    began = time.monotonic()
    engines.start()
    assert [gap.reason for gap in engines.collect()[1]] == [
        "the question ended without an answer, by a fault of nsagent"
    ]
    assert time.monotonic() - began < 1
    assert shown.wait(2)


def test_an_engine_that_hangs_does_not_keep_the_process_from_exiting() -> None:
    program = """
import time
from nsagent.runtimes.engines import Engines
class Hangs:
    subject = "one"
    def list_containers(self): time.sleep(60)
    def abandon(self): pass
engines = Engines([Hangs()], 0.1, clock=time.monotonic)
engines.start()
print(engines.collect()[1][0].reason)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("no answer within 0.1 s\n", "")
    assert time.monotonic() - began < 10
