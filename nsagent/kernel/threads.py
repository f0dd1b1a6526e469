"""Threads that are joined before anybody goes on.

A netns is entered by a thread that ends afterwards; the tables are read in one while the processes
are walked in another.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from nsagent.errors import ReadFailed

T = TypeVar("T")


class _Job(threading.Thread, Generic[T]):
    """Runs one function and keeps what it returned or raised."""

    def __init__(self, function: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self.result: T
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as err:  # noqa: BLE001 - raised again by whoever joins.
            self.error = err


def run_in_threads(functions: Sequence[Callable[[], T]], stop: threading.Event) -> list[T]:
    """What the functions return, each run in a new thread that ends with it.

    Raises the first of their exceptions once all have ended, and ReadFailed where the kernel
    gives no thread. On an interrupt, or when one fails,
    `stop` is set and the others are waited for: they look at it between two reads.
    """
    jobs = [_Job(function) for function in functions]
    try:
        for job in jobs:
            start_thread(job)
        for job in jobs:
            job.join()
            if job.error is not None:
                raise job.error
    except BaseException:
        stop.set()
        for job in jobs:
            if job.ident is not None:
                job.join()
        raise
    return [job.result for job in jobs]


def start_thread(thread: threading.Thread) -> None:
    """Start it; raises ReadFailed where the kernel gives no thread."""
    try:
        thread.start()
    except RuntimeError as err:
        # EAGAIN of clone(2): RLIMIT_NPROC, or the pids limit of the cgroup.
        raise ReadFailed("a thread to read with", "EAGAIN") from err
