"""The clocks that a process's start and the time of day are told by, held against each other.

Source: clock_gettime(2). start_ticks of /proc/PID/stat are of CLOCK_BOOTTIME, in the reader's time namespace as well.
"""

import os
import time
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
BIRTH_SLACK_TICKS: Final = 10
"""So much later than it began the kernel may tell of a process that it put aside meanwhile: 100 ms."""


def date_start(start_ticks: int) -> float:
    """When a process started, in seconds since the epoch, by the time of day as it is set now."""
    running_seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / _TICKS_A_SECOND
    return time.time() - running_seconds


def count_ticks(monotonic_ns: int) -> int:
    """The clock ticks since boot, as start_ticks, of a time by CLOCK_MONOTONIC, which stands still in suspend.

    Of a time before the last suspend it is too many.
    """
    # In this order: an interruption in between makes it more, and no process seem to have started later than it did.
    monotonic = time.monotonic_ns()
    since_boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - monotonic + monotonic_ns
    return since_boot_ns * _TICKS_A_SECOND // 1_000_000_000


def count_slept_ns() -> int:
    """How long this machine has slept since boot: by so much CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC."""
    monotonic = time.monotonic_ns()
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - monotonic
