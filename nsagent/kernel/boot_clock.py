"""The clocks that a process's start and the time of day are told by, held against each other.

Source: clock_gettime(2). start_ticks of /proc/PID/stat are of CLOCK_BOOTTIME, in the reader's time namespace as well.
"""

import os
import time


def date_start(start_ticks: int) -> float:
    """When a process started, in seconds since the epoch, by the time of day as it is set now."""
    running_seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - running_seconds
