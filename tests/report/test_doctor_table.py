"""What `nsagent doctor` prints for given checks."""

import json
from collections.abc import Iterable

import pytest

from nsagent.model.check import Check, CheckState
from nsagent.report.doctor_table import DOCTOR_COLUMNS, check_record, render_doctor_json, render_doctor_table

CHECKS = (
    Check("/proc", "cgroup", CheckState.USED, 0.0014, 5),
    Check("unix:///run/containerd/containerd.sock", "cri", CheckState.USED, 0.0071239, 120, "containerd 1.7.27"),
    Check("unix:///run/crio/crio.sock", "cri", CheckState.ABSENT, detail="no such socket"),
    Check("unix:///d", "docker", CheckState.FAILED, 2.0, None, "no answer within 2 s", "is the daemon hung?"),
    Check("unix:///e\n", "podman", CheckState.UNUSED, detail="the same as unix:///\x1b[31m"),
)

TABLE = r"""
KIND    SUBJECT                                 STATE   MS      CONTAINERS  DETAIL                        FIX
cgroup  /proc                                   used    1.4     5           -                             -
cri     unix:///run/containerd/containerd.sock  used    7.1     120         containerd 1.7.27             -
cri     unix:///run/crio/crio.sock              absent  -       -           no such socket                -
docker  unix:///d                               failed  2000.0  -           no answer within 2 s          is the daemon hung?
podman  unix:///e\x0a                           unused  -       -           the same as unix:///\x1b[31m  -
"""  # noqa: E501

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


def test_a_line_for_each_check() -> None:
    assert "\n" + text_of(render_doctor_table(CHECKS)) == TABLE


def test_without_its_header_the_rest_is_the_same() -> None:
    lines = text_of(render_doctor_table(CHECKS, headers=False)).splitlines()
    assert [line.split() for line in lines] == [line.split() for line in TABLE.splitlines()[2:]]


def test_the_document_has_a_line_for_each_check() -> None:
    assert "\n" + text_of(render_doctor_json(CHECKS, host="node-1")) == DOCUMENT


def test_without_checks_both_are_still_well_formed() -> None:
    assert text_of(render_doctor_table(())).splitlines() == ["  ".join(column.header for column in DOCTOR_COLUMNS)]
    assert json.loads(text_of(render_doctor_json((), host="node-1")))["checks"] == []


def test_the_keys_of_a_record_are_the_columns_but_for_the_unit_of_time() -> None:
    columns = ["seconds" if column.name == "ms" else column.name for column in DOCTOR_COLUMNS]
    assert list(check_record(CHECKS[0])) == columns


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
    assert cell == state
