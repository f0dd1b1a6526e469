"""Fixtures of the tests of nsagent.events."""

from tests.kernel.conftest import same_fds, tree

__all__ = ["same_fds", "tree"]
