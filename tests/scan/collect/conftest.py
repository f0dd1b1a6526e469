"""Fixtures of the tests of nsagent.scan.collect."""

import os
from collections.abc import Iterator
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
    before, tasks = _look(), _count("task")
    yield
    # A thread that was joined may take a moment to leave the kernel's list.
    until(lambda: _count("task") <= tasks, "no thread is left")
    assert _look() == before


def _look() -> tuple[int, int]:
    """How many fds are open, and the netns of this thread."""
    return _count("fd"), os.stat("/proc/thread-self/ns/net").st_ino


def _count(name: str) -> int:
    return len(os.listdir(f"/proc/self/{name}"))
