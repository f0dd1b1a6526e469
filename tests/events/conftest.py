"""Fixtures of the tests of nsagent.events."""

from tests.kernel.conftest import few_fds, same_fds, tree

__all__ = ["few_fds", "same_fds", "tree"]
