"""Stopping a process, and waiting until it has stopped.

Who is told to stop while it waits in a system call still takes what comes before it gets a CPU: a
connection, a request.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.live.deadlines import until


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does nothing while this lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: has_stopped(pid), f"process {pid} has stopped")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def has_stopped(pid: int) -> bool:
    """Whether every thread of the process has; see proc_pid_stat(5)."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/stat", encoding="utf-8", errors="replace") as stat:
            if stat.read().rpartition(")")[2].split()[0] != "T":
                return False
    return True
