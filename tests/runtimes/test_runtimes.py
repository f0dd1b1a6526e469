"""All runtimes at once: the deadline, the breaker, and passes that do not mix."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.model.container import Container, NameState, Pod
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.runtimes.runtimes import Answers, Runtimes
from nsagent.runtimes.source import Sources
from tests.gaps import unnamed
from tests.runtimes.stand_in import (
    Clock,
    StandIn,
    fails,
    find_threads,
    hangs,
    hangs_until_it_comes_back,
    is_no_engine,
    knows,
    let_return,
    names,
    times_out,
    wait_until,
)


def ask_until_answered(runtimes: Runtimes) -> tuple[Container, ...]:
    """The answer of the next pass that has no gap."""
    answers: list[Answers] = []

    def is_answered() -> bool:
        runtimes.start()
        time.sleep(0.02)
        answers.append(runtimes.collect())
        return not answers[-1].gaps

    wait_until(is_answered)
    return answers[-1].containers


def test_the_answers_come_in_the_order_of_the_sources() -> None:
    def slowly(source: StandIn) -> tuple[Container, ...]:
        time.sleep(0.05)
        return knows("a", "b")(source)

    runtimes = Runtimes([StandIn("one", slowly), StandIn("two", knows("c"))], clock=time.monotonic)
    runtimes.start()
    containers, gaps, asked, _ = runtimes.collect()
    assert (names(containers), gaps, asked) == (["a", "b", "c"], (), ("one", "two"))


def test_one_that_fails_is_a_gap_and_the_others_answer() -> None:
    runtimes = Runtimes([StandIn("one", fails), StandIn("two", knows("c"))], clock=time.monotonic)
    runtimes.start()
    containers, gaps, asked, _ = runtimes.collect()
    assert (names(containers), asked) == (["c"], ("one", "two"))
    assert gaps == (unnamed("one", "broken", Reason.FAILED),)


@pytest.mark.parametrize("field", ["name", "image", "container_name", "pod"])
def test_a_name_that_is_too_long_costs_its_own_container_its_names_and_is_told(field: str) -> None:
    """A user's engine may say anything, and a table is as wide as the longest cell."""
    (short, long) = knows("a" * 64, "b" * 64)(StandIn("podman"))
    name = "n" * 1025
    wrong = long._replace(**{field: Pod(None, name) if field == "pod" else name})  # type: ignore[arg-type]
    most = short._replace(name="n" * 1024)
    runtimes = Runtimes([StandIn("podman", lambda _: (most, wrong))], clock=time.monotonic)
    runtimes.start()
    answers = runtimes.collect()
    nameless = wrong._replace(name=None, name_state=NameState.UNKNOWN, image=None, container_name=None, pod=None)
    assert [one._replace(told_by=None) for one in answers.containers] == [most, nameless]
    gap = Gap(Stage.NAMES, Subject(Kind.RECORDS, "podman"), Reason.TOO_LARGE, detail="b" * 12)
    assert answers.gaps == (gap,)


def test_those_that_hang_share_one_deadline_and_are_abandoned_at_the_end() -> None:
    sources = [StandIn(str(number), hangs) for number in range(20)]
    runtimes = Runtimes(sources, 0.2, clock=time.monotonic)
    began = time.monotonic()
    runtimes.start()
    containers, gaps, _, _ = runtimes.collect()
    assert time.monotonic() - began < 2
    assert containers == ()
    assert [gap.detail for gap in gaps] == ["no answer within 0.2 s"] * 20
    assert not any(source.abandoned.is_set() for source in sources)
    runtimes.close()
    assert all(source.abandoned.is_set() for source in sources)


def test_the_deadline_counts_from_the_start() -> None:
    """A scan that took longer than the deadline does not wait for an engine at all."""
    clock = Clock()
    source = StandIn("one", hangs)
    runtimes = Runtimes([source], 60.0, clock=clock)
    runtimes.start()
    clock.now += 61
    began = time.monotonic()
    assert [gap.detail for gap in runtimes.collect().gaps] == ["no answer within 60 s"]
    assert time.monotonic() - began < 30
    runtimes.close()


class Loading(StandIn):
    """A source that loads a client before it asks."""

    def __init__(self, load: Callable[[], None], *behaviours: Callable[[StandIn], tuple[Container, ...]]) -> None:
        super().__init__("one", *behaviours)
        self.prepare = load


def test_the_loading_of_a_client_is_no_time_of_the_engine_s() -> None:
    """Its 0.7 s begin when 0.4 s of import are over."""

    def answers_late(source: StandIn) -> tuple[Container, ...]:
        time.sleep(0.4)
        return knows("a")(source)

    runtimes = Runtimes([Loading(lambda: time.sleep(0.4), answers_late)], 0.7, clock=time.monotonic)
    runtimes.start()
    assert names(runtimes.collect().containers) == ["a"]


def test_who_is_still_connecting_at_the_deadline_is_not_waited_for() -> None:
    release = threading.Event()

    def connect() -> None:
        release.wait(60)

    runtimes = Runtimes([Loading(connect, knows("a"))], 0.1, clock=time.monotonic)
    began = time.monotonic()
    runtimes.start()
    assert [gap.detail for gap in runtimes.collect().gaps] == ["no answer within 0.1 s"]
    assert time.monotonic() - began < 10
    release.set()
    runtimes.close()


def test_a_source_that_cannot_be_reached_says_why() -> None:
    def fail() -> None:
        raise RuntimeUnavailable("No such file or directory (ENOENT)", Reason.ABSENT, "ENOENT")

    runtimes = Runtimes([Loading(fail)], clock=time.monotonic)
    runtimes.start()
    told = Gap(Stage.NAMES, Subject(Kind.SOURCE, "one"), Reason.ABSENT, "ENOENT", "No such file or directory (ENOENT)")
    assert runtimes.collect().gaps == (told,)


def test_an_answer_that_is_there_after_the_deadline_counts() -> None:
    """It came in time; only the scan was late to ask for it."""
    clock = Clock()
    runtimes = Runtimes([StandIn("one", knows("a"))], 2.0, clock=clock)
    runtimes.start()
    time.sleep(0.1)
    clock.now += 10
    assert names(runtimes.collect().containers) == ["a"]


def test_a_late_answer_is_not_the_next_pass_s() -> None:
    source = StandIn("one", hangs_until_it_comes_back, knows("fresh"))
    runtimes = Runtimes([source], 0.1, clock=time.monotonic)
    runtimes.start()
    assert runtimes.collect().containers == ()
    let_return(source)
    runtimes.start()
    assert names(runtimes.collect().containers) == ["fresh"]


def test_who_is_still_being_waited_for_is_not_asked_again() -> None:
    """A minute; then the question is given up, and the next pass asks anew."""
    clock = Clock()
    source = StandIn("one", hangs, knows("a"))
    runtimes = Runtimes([source], 0.0, clock=clock)
    for seconds in (0, 10, 49.9):
        clock.now += seconds
        runtimes.start()
        gaps, asked = runtimes.collect()[1:3]
        assert not source.abandoned.is_set()
    assert (gaps, asked) == ((unnamed("one", "not asked: still busy with an earlier question", Reason.NOT_ASKED),), ())
    clock.now += 0.1
    runtimes.start()
    assert runtimes.collect().sources == ()
    assert source.abandoned.is_set()
    wait_until(lambda: not find_threads("ask one"))
    assert names(ask_until_answered(runtimes)) == ["a"]
    assert source.asked == 2


def test_after_three_failures_a_source_rests_for_a_minute() -> None:
    clock = Clock()
    source = StandIn("one", fails, fails, fails, fails, knows("a"), fails, knows("b"))
    runtimes = Runtimes([source], clock=clock)

    def reasons() -> list[str | None]:
        runtimes.start()
        return [gap.detail for gap in runtimes.collect().gaps]

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


def test_an_engine_started_anew_is_asked_at_once() -> None:
    """Its socket file is another one; before there may have been none."""
    clock = Clock()
    source = StandIn("one", *[fails] * 6, knows("a"))
    runtimes = Runtimes([source], clock=clock)
    for identity in ("first", "second"):
        for _ in range(4):
            runtimes.start()
            runtimes.collect()
        assert source.identity is None or source.asked == 6
        source.identity = identity
    runtimes.start()
    assert names(runtimes.collect().containers) == ["a"]


def test_an_engine_whose_file_is_gone_is_not_one_started_anew() -> None:
    clock = Clock()
    source = StandIn("one", fails, fails, fails)
    source.identity = "first"
    runtimes = Runtimes([source], clock=clock)
    for _ in range(3):
        runtimes.start()
        runtimes.collect()
    source.identity = None
    runtimes.start()
    assert "not asked: it failed 3 times" in (runtimes.collect().gaps[0].detail or "")


def test_an_engine_that_hung_is_asked_as_soon_as_it_says_anything() -> None:
    """The clock stands still: no rest is over."""
    source = StandIn("one", fails, fails, hangs_until_it_comes_back, knows("a"))
    runtimes = Runtimes([source], 0.1, clock=Clock())
    for _ in range(3):
        runtimes.start()
        runtimes.collect()
    runtimes.start()
    assert runtimes.collect().gaps[0].detail == "not asked: still busy with an earlier question"
    let_return(source)
    runtimes.start()
    assert names(runtimes.collect().containers) == ["a"]


def test_a_source_that_gives_up_waiting_is_asked_on_until_its_engine_answers() -> None:
    """Whatever that says: here that it is broken. Only the first outcome counts as that of the pass."""
    source = StandIn("one", times_out, times_out, fails, knows("a"))
    runtimes = Runtimes([source], 0.1, clock=Clock())
    runtimes.start()
    assert [gap.detail for gap in runtimes.collect().gaps] == ["no answer within 0.1 s"]
    wait_until(lambda: not find_threads("ask one"))
    assert source.asked == 3
    runtimes.start()
    assert names(runtimes.collect().containers) == ["a"]


class TestOtherProtocols:
    """Something listens there that is no engine of this kind."""

    def test_that_is_no_gap_where_it_was_merely_found(self) -> None:
        """Nor does it become one when it is not asked for a while."""
        source = StandIn("one", *[is_no_engine] * 3, named=False)
        runtimes = Runtimes([source], clock=Clock())
        for _ in range(5):
            runtimes.start()
            assert runtimes.collect() == ((), (), (), ())
        assert source.asked == 3

    def test_that_is_a_gap_where_it_was_named(self) -> None:
        runtimes = Runtimes([StandIn("one", is_no_engine)], clock=Clock())
        runtimes.start()
        gap = unnamed("one", "it speaks no HTTP", Reason.NOT_SERVED)
        assert runtimes.collect() == ((), (gap,), ("one",), ())


class Following(StandIn):
    """A source that can follow events."""

    follows = 0

    def follow(self, clock: Callable[[], float]) -> None:
        self.follows += 1

    def unfollow(self) -> None:
        self.follows = 0


@pytest.mark.parametrize("follow", [False, True])
def test_events_are_followed_from_the_start_to_the_close_if_it_is_wanted(follow: bool) -> None:
    source = Following("one", knows("a"), knows("a"))
    runtimes = Runtimes([source, StandIn("two", knows(), knows())], clock=Clock(), follow=follow)
    for _ in range(2):
        runtimes.start()
        assert names(runtimes.collect().containers) == ["a"]
    assert source.follows == (2 if follow else 0)
    runtimes.close()
    assert source.follows == 0


def test_others_are_asked_from_the_next_pass_on_and_what_was_known_is_kept() -> None:
    before, after = Following("one", knows("a"), knows("a")), Following("two", knows("b"))
    found = [None, Sources([after], (), None)]
    runtimes = Runtimes([before], clock=Clock(), follow=True, find_more=lambda: found.pop(0))
    told = []
    for _ in range(3):
        runtimes.start()
        answers = runtimes.collect()
        told.append((names(answers.containers), names(answers.kept), before.follows, after.follows))
    assert told == [(["a"], [], 1, 0), (["a"], [], 2, 0), (["b"], ["a"], 0, 1)]
    runtimes.close()
    assert after.follows == 0


def test_collect_without_start_has_nothing() -> None:
    runtimes = Runtimes([StandIn("one", knows("a"))], clock=time.monotonic)
    assert runtimes.collect() == ((), (), (), ())
    runtimes.start()
    assert names(runtimes.collect().containers) == ["a"]
    assert runtimes.collect() == ((), (), (), ())


def test_a_pass_that_is_given_up_leaves_no_thread() -> None:
    source = StandIn("one", hangs)
    runtimes = Runtimes([source], clock=time.monotonic)
    runtimes.start()
    runtimes.close()
    wait_until(lambda: not find_threads("ask one"))


def test_a_fault_of_ours_is_a_gap_at_once_and_its_traceback_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_buggy(source: StandIn) -> tuple[Container, ...]:
        raise AssertionError

    shown = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: shown.set())
    runtimes = Runtimes([StandIn("one", is_buggy)], clock=time.monotonic)
    began = time.monotonic()
    runtimes.start()
    assert [gap.detail for gap in runtimes.collect().gaps] == [
        "the question ended without an answer, by a fault of nsagent"
    ]
    assert time.monotonic() - began < 1
    assert shown.wait(60)


def test_an_engine_that_hangs_does_not_keep_the_process_from_exiting() -> None:
    program = """
import time
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.runtimes.runtimes import Runtimes
class Hangs:
    subject, named = "one", True
    def list_containers(self): time.sleep(60)
    def abandon(self): pass
runtimes = Runtimes([Hangs()], 0.1, clock=time.monotonic)
runtimes.start()
print(runtimes.collect()[1][0].detail)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("no answer within 0.1 s\n", "")
    assert time.monotonic() - began < 10
