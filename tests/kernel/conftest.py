"""Fixtures of the tests of nsagent.kernel."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.proc_tree import ProcTree


@pytest.fixture
def tree(tmp_path: Path) -> ProcTree:
    """An empty tree like /proc."""
    return ProcTree(tmp_path / "proc")


@pytest.fixture
def same_fds() -> Iterator[None]:
    """Fails a test that leaves an fd open, or closes one that is not its own."""
    before = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)}
    yield
    after = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)}
    assert after == before


@pytest.fixture
def few_fds() -> Iterator[Callable[[int], None]]:
    """Leaves so many fds to be opened."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    yield lambda count: resource.setrlimit(resource.RLIMIT_NOFILE, (free + count, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _is_open(fd: str) -> bool:
    """Not the directory of the listing itself."""
    return os.path.lexists(f"/proc/self/fd/{fd}")
