"""When a scan counts as whole: what is outside of the own PID namespace is not held against it, all else is."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.live.coverage import is_whole, own_complaints

NAMESPACE = {"stage": "processes", "subject": "processes outside of this PID namespace", "reason": "not seen"}
DENIED = {"stage": "processes", "subject": "process 7", "reason": "EACCES"}
NAMES = {"stage": "names", "subject": "docker (unix:///run/docker.sock)", "reason": "ENOENT"}


def coverage(*gaps: Mapping[str, str], complete: bool, denied: int = 0, failed: int = 0) -> Mapping[str, Any]:
    return {
        "complete": complete,
        "gaps": gaps,
        "processes": {"denied": denied, "skipped": 0},
        "netns": {"failed": failed},
    }


@pytest.mark.parametrize(
    ("told", "whole"),
    [
        pytest.param(coverage(complete=True), True, id="no gap"),
        pytest.param(coverage(NAMES, complete=True), True, id="a name"),
        pytest.param(coverage(NAMESPACE, complete=False), True, id="the own PID namespace"),
        pytest.param(coverage(NAMESPACE, NAMES, complete=False), True, id="the own PID namespace and a name"),
        pytest.param(coverage(NAMESPACE, DENIED, complete=False, denied=1), False, id="and a process"),
        pytest.param(coverage(NAMESPACE, complete=False, failed=1), False, id="and a netns without a gap"),
        pytest.param(coverage(DENIED, complete=False, denied=1), False, id="a process"),
        pytest.param(coverage(complete=False), False, id="incomplete without a gap"),
    ],
)
def test_only_the_own_pid_namespace_is_forgiven(told: Mapping[str, Any], whole: bool) -> None:
    assert is_whole(told) == whole


def test_the_line_about_the_own_pid_namespace_is_no_complaint() -> None:
    lines = ["nsagent: processes outside of this PID namespace not seen", "nsagent: netns 7 not read"]
    assert own_complaints(lines) == lines[1:]
