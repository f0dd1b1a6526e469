"""Waiting for something to become true: polled, with a deadline, never a sleep and a hope.

A deadline is only there for what never becomes true: on a busy machine the rest may take its time.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.01


def until(probe: Callable[[], T], what: str, *, seconds: float = 120.0) -> T:
    """The first true value of `probe`; raises TimeoutError naming `what` when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds} s still not so: {what}")
        time.sleep(POLL_SECONDS)
