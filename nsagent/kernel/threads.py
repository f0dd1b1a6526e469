"""Threads that are joined before anybody goes on.

A netns is entered by a thread and leaves with it; reads that the kernel makes long are shared out
among two.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

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

    Raises the first of their exceptions once all have ended. On an interrupt, or when one fails,
    `stop` is set and the others are waited for: they look at it between two reads.
    """
    jobs = [_Job(function) for function in functions]
    try:
        for job in jobs:
            job.start()
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
