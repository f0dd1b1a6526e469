"""Doing one thing in the netns of a child."""

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from nsagent.kernel.netns import Entering
from nsagent.kernel.threads import run_in_threads

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> T:
    """What a function returns or raises in a thread made for it."""
    return run_in_threads([function], threading.Event())[0]


def make_inside(pid: int, make: Callable[[], T]) -> T:
    """What `make` makes in the netns of a process."""
    return make_in(f"/proc/{pid}/ns/net", make)


def make_in(path: str | os.PathLike[str], make: Callable[[], T]) -> T:
    """What `make` makes in the netns at a path."""
    fd = os.open(path, os.O_RDONLY)

    def enter_and_make() -> T:
        Entering("/proc").enter(fd)
        return make()

    try:
        return in_thread(enter_and_make)
    finally:
        os.close(fd)
