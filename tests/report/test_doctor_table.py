"""What `nsagent doctor` prints for given checks."""

import json
from collections.abc import Iterable

import pytest

from nsagent.model.check import Check, CheckState
from nsagent.report.doctor_table import WIDTH, render_doctor_json, render_doctor_table

CHECKS = (
    Check("/proc", "cgroup", CheckState.USED, 0.0014, 5),
    Check("unix:///run/containerd/containerd.sock", "cri", CheckState.USED, 0.0071239, 120, "containerd 1.7.27"),
    Check("unix:///run/crio/crio.sock", "cri", CheckState.ABSENT, detail="no such socket"),
    Check("unix:///d", "docker", CheckState.FAILED, 2.0, None, "no answer within 2 s", "is the daemon hung?"),
    Check("unix:///e\n", "podman", CheckState.UNUSED, detail="the same as unix:///\x1b[31m"),
)

TABLE = r"""
STATE   KIND    WHAT
used    cgroup  /proc: 5 containers, 1.4 ms
used    cri     unix:///run/containerd/containerd.sock: 120 containers, 7.1 ms,
                containerd 1.7.27
failed  docker  unix:///d: 2000.0 ms, no answer within 2 s
                fix: is the daemon hung?
unused  podman  unix:///e\x0a: the same as unix:///\x1b[31m
absent          1 place where no engine is (-o json names them)
"""

DOCUMENT = r"""
{"schema": "nsagent/doctor/v1", "host": "node-1",
"checks": [
{"kind": "cgroup", "subject": "/proc", "state": "used", "seconds": 0.0014, "containers": 5, "detail": null, "fix": null},
{"kind": "cri", "subject": "unix:///run/containerd/containerd.sock", "state": "used", "seconds": 0.007124, "containers": 120, "detail": "containerd 1.7.27", "fix": null},
{"kind": "cri", "subject": "unix:///run/crio/crio.sock", "state": "absent", "seconds": null, "containers": null, "detail": "no such socket", "fix": null},
{"kind": "docker", "subject": "unix:///d", "state": "failed", "seconds": 2.0, "containers": null, "detail": "no answer within 2 s", "fix": "is the daemon hung?"},
{"kind": "podman", "subject": "unix:///e\n", "state": "unused", "seconds": null, "containers": null, "detail": "the same as unix:///\u001b[31m", "fix": null}
]}
"""  # noqa: E501


def text_of(chunks: Iterable[str]) -> str:
    return "".join(chunks)


def test_a_line_for_each_check_that_is_not_merely_absent() -> None:
    assert "\n" + text_of(render_doctor_table(CHECKS)) == TABLE


def test_without_its_header_the_rest_is_the_same() -> None:
    assert text_of(render_doctor_table(CHECKS, headers=False)) == TABLE.removeprefix("\n").partition("\n")[2]


def test_nothing_is_wider_than_a_terminal_and_nothing_is_left_out() -> None:
    long = Check("unix:///" + "z" * 200, "bundles", CheckState.FAILED, 1.0, None, "word " * 60, "try " * 60)
    lines = text_of(render_doctor_table([long])).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert ["".join(lines).count(each) for each in ("z", "word", "try", "fix: ")] == [200, 60, 60, 1]


def test_the_document_has_a_line_for_each_check() -> None:
    assert "\n" + text_of(render_doctor_json(CHECKS, host="node-1")) == DOCUMENT


def test_without_checks_both_are_still_well_formed() -> None:
    assert text_of(render_doctor_table(())) == "STATE  KIND  WHAT\n"
    assert json.loads(text_of(render_doctor_json((), host="node-1")))["checks"] == []


def test_a_name_that_is_not_utf_8_is_told_as_hex() -> None:
    document = json.loads(text_of(render_doctor_json([Check("/\udcff", "logs", CheckState.FAILED)], host="h")))
    assert document["checks"][0]["subject"] == r"/\xff"


@pytest.mark.parametrize("state", CheckState)
def test_colour_is_in_the_state_alone(state: CheckState) -> None:
    check = Check("unix:///d", "docker", state, detail="detail")
    coloured = text_of(render_doctor_table([check], headers=False, colour=True))
    plain = text_of(render_doctor_table([check], headers=False))
    assert coloured.count("\x1b[") == 2
    before, _, rest = coloured.partition("\x1b[")
    cell, _, after = rest.partition("m")[2].partition("\x1b[0m")
    assert before + cell + after == plain
    assert cell.rstrip() == state
