"""How the agent fares, as people and programs read it."""

import json
from dataclasses import replace

import pytest
import yaml

from nsagent.agent.status import ConfigStatus, EventsStatus, OutputStatus, ReportStatus
from nsagent.agent.status_text import render_status
from nsagent.errors import Reason
from nsagent.model.gap import AlikeGaps, Kind, Stage, Subject
from nsagent.model.process_event import EventEngine
from tests.agent.boards import make_pass_status, make_status

GAP = AlikeGaps(Stage.FDS, Kind.PROCESS, (Subject(Kind.PROCESS, "7"),), Reason.DENIED, "EACCES", None, 1)
STATUS = make_status(
    replace(make_pass_status(), complete=False, gaps=(GAP,)),
    config=ConfigStatus("/etc/nsagent/config.yaml", "2026-01-02T03:00:00.000Z", False, "config.yaml:3:4: every: no"),
    pass_error="no procfs",  # noqa: S106 - no password
    events=EventsStatus(EventEngine.CONNECTOR, None, 4711, 2, 30, 300, 40, 3),
)

TABLE = """\
agent     1.2.3 on node-1, pid 4711, 54 MiB, since 2026-01-02T03:00:00.000Z
config    /etc/nsagent/config.yaml, loaded 2026-01-02T03:00:00.000Z
          the last reload failed: config.yaml:3:4: every: no
passes    9 finished, 1 failed, 2 skipped
          the last one failed: no procfs
last pass 2026-01-02T03:04:05.678Z, 0.250 s, 0.125 s of CPU, sock_diag: 12
          sockets, 3 netns, 40 processes
          not complete
gap       fds: pid 7: EACCES (1)
events    of processes: 4711 told by the kernel, 2 gaps in which at least 30
          were lost, 3 found by passes
names     docker answers, cri does not

REPORT     NEXT            LAST-GOOD       RUNS  FAILED  SKIPPED
listeners  01-02 03:05:00  01-02 03:04:00  7     2       1
never      -               -               0     3       0
          never: failed again and again, and is tried more rarely
          never: no column 'x'

REPORT     OUTPUT                              WRITTEN  FAILED  DROPPED  SPOOLED
listeners  file /var/lib/nsa…/listeners.jsonl  5        0       0        0
listeners  http https://receiver/              3        4       1        2
never      stdout                              0        0       0        0
          listeners, http https://receiver/: 503 Busy
"""


def test_people_read_a_table() -> None:
    assert render_status(STATUS, "table") == TABLE


@pytest.mark.parametrize(
    ("events", "line"),
    [
        (EventsStatus(EventEngine.CONNECTOR, None, 7, 0, 0, 300, 40, 0), "of processes: 7 told by the kernel"),
        (
            EventsStatus(EventEngine.CONNECTOR, None, 7, 0, 0, 300, 40, 0, 2),
            "of processes: 7 told by the kernel, 2 too fast to be looked at",
        ),
        (EventsStatus(EventEngine.POLL, "no answer", 0, 0, 0, 300, 0, 9), "of processes: by passes alone, no answer"),
        (EventsStatus(EventEngine.POLL, None, 0, 0, 0, 300, 0, 9), "of processes: by passes alone"),
    ],
)
def test_how_processes_are_known_is_told(events: EventsStatus, line: str) -> None:
    assert f"events    {line}" in render_status(make_status(events=events), "table").splitlines()


def test_a_table_of_anything_fits_80_columns_and_acts_on_no_terminal() -> None:
    hostile = "\x1b[2J" + "x" * 300
    report = ReportStatus("r" * 63, None, error=hostile, outputs=(OutputStatus(hostile, written=10**9, error=hostile),))
    text = render_status(make_status(reports=(report,), pass_error=hostile, host=hostile), "table")
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_a_status_of_an_agent_that_has_done_nothing_is_short() -> None:
    text = render_status(make_status(reports=(), runtimes=(), passes=0, rss_bytes=None, events=None), "table")
    assert text.splitlines()[2:] == ["passes    0 finished, 1 failed, 2 skipped"]


def test_an_agent_that_cannot_see_the_host_says_why() -> None:
    text = render_status(make_status(blind="run with the host's PIDs"), "table")
    assert text.splitlines()[2] == "not ready run with the host's PIDs"


def test_each_problem_of_a_config_has_a_line_of_its_own() -> None:
    problems = "c.yaml:3:4: every: no\nc.yaml:5:4: view: no"
    config = ConfigStatus("c.yaml", "2026-01-02T03:00:00.000Z", last_reload_ok=False, error=problems)
    lines = render_status(make_status(config=config), "table").splitlines()
    assert lines[2:5] == [
        "          the last reload failed:",
        "          c.yaml:3:4: every: no",
        "          c.yaml:5:4: view: no",
    ]


def test_programs_read_json_and_yaml_with_the_same_values() -> None:
    document = json.loads(render_status(STATUS, "json"))
    assert yaml.safe_load(render_status(STATUS, "yaml")) == document
    assert document["schema"] == "nsagent/status/v1"
    assert document["config"] == {
        "path": "/etc/nsagent/config.yaml",
        "loaded_at": "2026-01-02T03:00:00.000Z",
        "last_reload_ok": False,
        "error": "config.yaml:3:4: every: no",
    }
    assert document["last_pass"]["gaps"] == [
        {
            "stage": "fds", "subject": "pid 7", "reason": "EACCES", "count": 1,
            "kind": "process", "ids": ["7"], "code": "EACCES",
        }
    ]  # fmt: skip
    assert document["runtimes"] == {"docker": True, "cri": False}
    assert document["reports"][0]["outputs"][1] == {
        "output": "http https://receiver/", "written": 3, "failed": 4, "dropped": 1, "spooled": 2, "error": "503 Busy",
    }  # fmt: skip


@pytest.mark.parametrize("format_", ["json", "yaml", "table"])
def test_every_format_ends_its_last_line(format_: str) -> None:
    assert render_status(STATUS, format_).endswith("\n")
