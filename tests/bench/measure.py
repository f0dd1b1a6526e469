"""One run of one program: wall time, CPU time and peak RSS, by wait4(2)."""

import os
import random
import select
import signal
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LIMIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took.

    `peak_rss_bytes` is never less than the RSS of the process that measured: the kernel counts the
    moment between fork and exec. It is that of the largest of the program and the children that it
    waited for. `status` is the exit status, negative for a signal.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    status: int


def measure(
    command: list[str], *, stdout: str, stderr: str, environment: Mapping[str, str], limit: float = LIMIT_SECONDS
) -> Run:
    """Run `command` with its output in files, and kill it after `limit` seconds."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, stdout, flags, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, stderr, flags, 0o600),
    ]
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, environment, file_actions=actions)
    _kill_after(pid, limit)
    _, status, usage = os.wait4(pid, 0)
    return Run(
        wall_seconds=time.perf_counter() - start,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_rss_bytes=usage.ru_maxrss * 1024,
        status=os.waitstatus_to_exitcode(status),
    )


def median(values: Sequence[float]) -> float:
    """The median, to six digits after the point: a microsecond, where the values are seconds."""
    return round(statistics.median(values), 6)


def scaled_runs(wall_seconds: float, *, wanted: int, budget_seconds: float) -> int:
    """How many runs of this length fit in the budget: at least one, at most `wanted`."""
    return max(1, min(wanted, int(budget_seconds / wall_seconds)))


def pick_sample(count: int, *, wanted: int) -> list[int]:
    """Indexes of `wanted` of `count` things, by chance but always the same; all where there are no more."""
    return sorted(random.Random(count).sample(range(count), min(wanted, count)))


def _kill_after(pid: int, limit: float) -> None:
    """Return when the child has ended, or kill it; it stays to be reaped."""
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(limit * 1000):
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(pidfd)
