"""When processes started, by the time of day."""

import subprocess
import time
from pathlib import Path

from nsagent.kernel.boot_clock import count_ticks, date_start
from nsagent.kernel.formats.pid_stat import parse_pid_stat


def test_a_process_that_was_just_started_is_dated_by_the_time_of_day() -> None:
    before = time.time()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        after = time.time()
        stat = parse_pid_stat(Path(f"/proc/{process.pid}/stat").read_bytes())
    tick_seconds = 0.02
    assert before - tick_seconds <= date_start(stat.start_ticks) <= after + tick_seconds


def test_a_moment_is_counted_in_the_ticks_that_processes_start_by() -> None:
    before = time.monotonic_ns()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        after = time.monotonic_ns()
        stat = parse_pid_stat(Path(f"/proc/{process.pid}/stat").read_bytes())
    assert count_ticks(before) <= stat.start_ticks <= count_ticks(after)
