"""No more than a share of a CPU: pauses of the right length, in any process, and who pauses is not taken to hang."""

import os
import threading
import time

import pytest

from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid
from nsagent.scan.collect.carried import Carried
from nsagent.scan.collect.pace import Pace
from tests.kernel.children import start_child
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import run_pass


class Clocks:
    """Two clocks and an event whose wait moves the first one."""

    def __init__(self) -> None:
        self.now = self.cpu = 0.0
        self.pauses: list[float] = []
        self.stop = _Stop(self)


class _Stop(threading.Event):
    def __init__(self, clocks: Clocks) -> None:
        super().__init__()
        self._clocks = clocks

    def wait(self, timeout: float | None = None) -> bool:
        self._clocks.now += timeout or 0.0
        self._clocks.pauses.append(timeout or 0.0)
        return self.is_set()


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def make_pace(clocks: Clocks, share: float) -> Pace:
    return Pace(share, clock=lambda: clocks.now, cpu_clock=lambda: clocks.cpu)


def test_a_second_s_worth_is_taken_at_once(clocks: Clocks) -> None:
    pace = make_pace(clocks, 0.05)
    clocks.cpu = 0.05
    pace.keep(clocks.stop)
    assert clocks.pauses == []


def test_what_is_taken_beyond_the_share_is_paused_for(clocks: Clocks) -> None:
    pace = make_pace(clocks, 0.05)
    for _ in range(20):
        clocks.cpu += 0.02
        pace.keep(clocks.stop)
    assert clocks.now * 0.05 + 0.05 == pytest.approx(clocks.cpu, abs=0.006)


def test_time_in_which_nothing_was_done_is_not_saved_up(clocks: Clocks) -> None:
    pace = make_pace(clocks, 0.5)
    clocks.now = 3600.0
    clocks.cpu = 1.5
    pace.keep(clocks.stop)
    assert sum(clocks.pauses) == pytest.approx(2.0)


def test_whoever_is_told_to_stop_pauses_no_more(clocks: Clocks) -> None:
    pace = make_pace(clocks, 0.01)
    clocks.cpu = 10.0
    clocks.stop.set()
    pace.keep(clocks.stop)
    assert len(clocks.pauses) == 1


def test_whoever_is_late_pauses_no_more(clocks: Clocks) -> None:
    pace = make_pace(clocks, 0.01)
    clocks.cpu = 10.0
    pace.keep(clocks.stop, lambda: clocks.now > 1.0)
    assert clocks.now == pytest.approx(1.1)


def test_without_a_share_there_is_no_pause(clocks: Clocks) -> None:
    clocks.cpu = 10.0
    Pace().keep(clocks.stop)
    assert clocks.pauses == []


def test_a_process_with_very_many_fds_is_read_in_slices() -> None:
    calls = []
    fds = [os.dup(0) for _ in range(2500)]
    try:
        with ProcFs().open_process(Pid(os.getpid())) as process:
            links = process.read_fd_links(lambda: calls.append(1))
    finally:
        for fd in fds:
            os.close(fd)
    assert len(calls) == 1 + (links.fds - 1) // 1024 >= 3


def test_who_pauses_for_long_is_not_taken_to_hang() -> None:
    require(Capability.ROOT)
    with start_child("ready(); wait()"):
        # As if all took thirty times as long.
        carried = Carried(Pace(0.1, clock=time.monotonic, cpu_clock=lambda: 30 * time.process_time()))
        started = time.monotonic()
        facts = run_pass(carried=carried, patience_seconds=0.5, deadline_seconds=5.0)
    assert time.monotonic() - started > 1.0
    assert not [gap for gap in facts.gaps if gap.reason == "no_answer"]
