"""Whether a system call can be made: children under filters that kill, or refuse, or are not there."""

import json
import sys
from errno import EPERM

import pytest

from nsagent.kernel.seccomp import try_call
from tests.kernel.children import start_child
from tests.live.programs import HERE

PIDFD_GETFD, FSOPEN = 438, 430
PROGRAM = f"""
import json
from nsagent.kernel.seccomp import has_filter, survives
ready(json.dumps([has_filter(), survives({PIDFD_GETFD}), survives({FSOPEN})])); wait()
"""
"""A child that asks too much does not answer: it is killed."""


def under(*filter_: str) -> list[str]:
    """What runs a child under a filter."""
    return [sys.executable, f"{HERE}/filter_calls.py", *filter_]


@pytest.mark.parametrize(
    ("filter_", "answers"),
    [
        ([f"kill={PIDFD_GETFD}"], [True, False, True]),
        ([f"kill={PIDFD_GETFD},{FSOPEN}"], [True, False, False]),
        ([f"netlink={EPERM}"], [True, True, True]),
    ],
    ids=["kills for one", "kills for both", "refuses something else"],
)
def test_a_call_is_survived_unless_the_filter_kills_for_it(filter_: list[str], answers: list[bool]) -> None:
    with start_child(PROGRAM, *under(*filter_)) as child:
        assert json.loads(child.said) == answers


def test_a_child_outlives_a_call_that_is_refused() -> None:
    assert try_call(PIDFD_GETFD)
