"""Reports on their way to outputs: real threads, an output each that the test holds up."""

import threading
import time

import pytest

from nsagent.agent.delivery import Delivery, Lane
from nsagent.agent.outputs.report import WrittenReport
from nsagent.agent.status import OutputStatus
from nsagent.errors import OutputFailed
from nsagent.model.choices import OutputFormat

SECONDS = 30.0


def report(number: int = 0) -> WrittenReport:
    return WrittenReport(
        "r", OutputFormat.JSON, "application/json", "2026-01-02T03:04:05.678Z", b"%d" % number, "node-1"
    )


class Kept:
    """An output that keeps what it is given; it waits first while `gate` is closed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.kept: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self._error = error
        self._inside = threading.Lock()

    def write(self, report: WrittenReport) -> None:
        assert self._inside.acquire(blocking=False), "two at once"
        self.entered.set()
        self.gate.wait(SECONDS)
        self._inside.release()
        if self._error is not None:
            raise self._error
        self.kept.append(report.data)

    def status(self) -> OutputStatus:
        return OutputStatus("kept", written=len(self.kept))

    def close(self, seconds: float = 0.0) -> None:
        self.gate.set()


class Heard:
    """What became of reports, in the order in which that was told."""

    def __init__(self) -> None:
        self.told: list[str | None] = []

    def __call__(self, error: str | None) -> None:
        self.told.append(error)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def await_told(heard: Heard, count: int) -> None:
    deadline = time.monotonic() + SECONDS
    while len(heard.told) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_reports_of_one_output_are_written_in_their_order(heard: Heard) -> None:
    delivery, out = Delivery(clock=time.monotonic), Kept()
    lane = Lane(out)
    for number in range(50):
        delivery.submit(lane, report(number), heard)
    assert delivery.wait(SECONDS)
    assert out.kept == [b"%d" % number for number in range(50)]
    await_told(heard, 50)
    assert heard.told == [None] * 50
    delivery.close()


def test_an_output_that_is_held_up_holds_up_no_other_one(heard: Heard) -> None:
    """However many there are: in their place other threads write."""
    now = [0.0]
    delivery = Delivery(clock=lambda: now[0])
    held = [Kept() for _ in range(5)]
    for out in held:
        out.gate.clear()
    lanes = [Lane(out) for out in held]
    for lane in lanes:
        delivery.submit(lane, report(), lambda _: None)
    assert all(out.entered.wait(SECONDS) for out in held[:4])
    now[0] = 6.0
    other = Kept()
    delivery.submit(Lane(other), report(7), heard)
    await_told(heard, 1)
    assert (other.kept, heard.told) == ([b"7"], [None])
    assert not delivery.wait(0.0)
    for out in held:
        out.gate.set()
    assert delivery.wait(SECONDS)
    delivery.close()


def test_what_fails_is_told_and_the_next_one_is_written(heard: Heard) -> None:
    delivery = Delivery(clock=time.monotonic)
    lane, well = Lane(Kept(OutputFailed("/x: cannot be written: No space left on device"))), Lane(Kept())
    delivery.submit(lane, report(), heard)
    await_told(heard, 1)
    delivery.submit(well, report(), heard)
    await_told(heard, 2)
    assert heard.told == ["/x: cannot be written: No space left on device", None]
    delivery.close()


def test_a_bug_of_an_output_costs_its_report_alone(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    delivery = Delivery(clock=time.monotonic)
    lane = Lane(Kept(ZeroDivisionError("x")))
    for _ in range(3):
        delivery.submit(lane, report(), heard)
    await_told(heard, 3)
    assert heard.told == ["a bug: ZeroDivisionError('x')"] * 3
    delivery.close()


def test_no_more_than_some_wait_for_one_output_and_the_oldest_is_let_go(heard: Heard) -> None:
    delivery, out = Delivery(clock=time.monotonic), Kept()
    out.gate.clear()
    lane = Lane(out)
    delivery.submit(lane, report(-1), heard)
    assert out.entered.wait(SECONDS)
    for number in range(70):
        delivery.submit(lane, report(number), heard)
    assert heard.told == ["kept: too many reports wait for it"] * 6
    assert lane.status().dropped == 6
    out.gate.set()
    assert delivery.wait(SECONDS)
    assert out.kept == [b"-1", *(b"%d" % number for number in range(6, 70))]
    delivery.close()


def test_threads_end_when_nothing_is_to_come(heard: Heard) -> None:
    delivery = Delivery(clock=time.monotonic)
    delivery.submit(Lane(Kept()), report(), heard)
    assert delivery.wait(SECONDS)
    writers = [thread for thread in threading.enumerate() if thread.name == "writer"]
    delivery.close()
    for thread in writers:
        thread.join(SECONDS)
        assert not thread.is_alive()
