"""Fixtures of the tests of nsagent.kernel."""

import os
from collections.abc import Iterator
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


def _is_open(fd: str) -> bool:
    """Not the directory of the listing itself."""
    return os.path.lexists(f"/proc/self/fd/{fd}")
