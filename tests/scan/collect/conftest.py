"""Fixtures of the tests of nsagent.scan.collect."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kernel.proc_tree import ProcTree
from tests.live.deadlines import until


@pytest.fixture
def tree(tmp_path: Path) -> ProcTree:
    """An empty tree like /proc."""
    return ProcTree(tmp_path / "proc")


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fails a test that leaves an fd or a thread behind, or this process in another netns."""
    _await_joined_threads()
    before = _count()
    yield
    _await_joined_threads()
    assert _count() == before


def _await_joined_threads() -> None:
    """A thread that was joined may take a moment to leave the kernel's list."""
    with suppress(TimeoutError):
        until(lambda: len(os.listdir("/proc/self/task")) == threading.active_count(), "they have ended", seconds=2)


def _count() -> tuple[int, int, int]:
    fds, tasks = (len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task"))
    return fds, tasks, os.stat("/proc/thread-self/ns/net").st_ino
