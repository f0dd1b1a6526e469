"""Every command that prints a table, on terminals of 80, 100 and 120 columns, over a host that makes tables wide."""

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import pytest

from nsagent.agent.board import Board
from nsagent.agent.control import serve_socket
from nsagent.agent.history import History
from nsagent.agent.metrics import Metrics
from nsagent.agent.status import OutputStatus, ReportStatus
from nsagent.model.net import SocketState
from nsagent.model.snapshot import Snapshot
from nsagent.report.addresses import local_text, remote_text
from nsagent.report.changes import change_record
from nsagent.report.display import display_width
from nsagent.report.prom import make_families
from nsagent.scan.attribute import attribute
from nsagent.scan.capture import encode_capture
from tests.agent.boards import make_pass_status, make_status
from tests.agent.histories import record_all
from tests.cli.crowd import crowded, quiet
from tests.cli.terminals import run_on_terminal

WIDTHS = (80, 100, 120)

COMMANDS = {
    "scan": "scan --from {now}",
    "listening": "scan --from {now} --listening",
    "counts": "scan --from {now} --count-by netns,state,local,container,pod",
    "netns": "netns --from {now}",
    "containers": "containers --from {now}",
    "diff": "diff {before} {now}",
    "history": "history --path {history}",
    "history --at": "history --path {history} --at {at}",
    "report list": "report list --config {config} --agent-socket {agent}",
    "dry run": "run --config {config} --dry-run",
    "status": "status --agent-socket {agent}",
    "doctor": "doctor --runtime none --config {config}",
}

PROGRAM = """
import json, sys
from nsagent.cli.app import run
for name, arguments in json.loads(sys.argv[1]).items():
    status = run(arguments)
    for stream in (sys.stdout, sys.stderr):
        print(f"\\n==== {name} ended with {status}", file=stream, flush=True)
"""
"""All commands in one process: each alone would load the same again."""

CONFIG = """
version: 1
reports:
  - name: listeners-of-the-checkout-service-in-production
    cron: 0 6 * * 1-5
    timezone: America/Argentina/Buenos_Aires
    view: listeners
    format: jsonl
    outputs: [{type: file, path: /var/lib/nsagent/a-directory-with-a-long-name/listeners-of-the-checkout-service.jsonl}]
  - name: changes
    every: 5m
    view: changes
    format: jsonl
    outputs: [{type: stdout}, {type: http, url: "https://receiver.example.com/v1/reports/of/this/host"}]
"""


class Told(NamedTuple):
    """What a command answered."""

    status: str
    lines: list[str]
    """Of stdout, without colours."""
    err: str


def split(text: str) -> dict[str, tuple[str, str]]:
    """What each command wrote, and its status."""
    parts = re.split(r"\n==== (.*) ended with (\d+)\n", text)
    return {name: (status, told) for told, name, status in zip(parts[::3], parts[1::3], parts[2::3], strict=False)}


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return attribute(crowded())


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, snapshot: Snapshot) -> Iterator[Mapping[str, object]]:
    """Captures, a history, a config and an agent of that host."""
    root = tmp_path_factory.mktemp("crowd")
    paths = {name: root / name for name in ("now", "before", "history")}
    paths["config"] = root / ("数据库工作进程" * 6)
    paths["now"].write_bytes(encode_capture(crowded()))
    paths["before"].write_bytes(encode_capture(quiet()))
    paths["config"].write_text(CONFIG)
    with closing(History.open(paths["history"], 1e9, 1 << 20)) as history:
        record_all(history, [attribute(quiet()), snapshot])
    board = Board(30.0, clock=time.monotonic, on_pass=lambda _: None)
    report = ReportStatus(
        "listeners-of-the-checkout-service-in-production",
        "2026-01-02T03:05:00.000Z",
        runs=700_000,
        failed=20_000,
        last_success_at="2026-01-02T03:04:00.000Z",
        error="503 数据库工作进程" * 9,
        outputs=(OutputStatus("http https://receiver.example.com/v1/reports/of/this/host", written=1 << 40),),
    )
    board.publish_status(replace(make_status(make_pass_status()), reports=(report,)))
    metrics = Metrics(make_families, clock=time.monotonic)
    agent = root / "run" / "agent.sock"
    with closing(serve_socket(str(agent), board, metrics, change_record, clock=time.monotonic)):
        yield {**paths, "agent": agent, "at": snapshot.taken_at}


@pytest.fixture(scope="module", params=WIDTHS)
def shown(request: pytest.FixtureRequest, places: Mapping[str, object]) -> tuple[int, dict[str, Told]]:
    """The width of a terminal, and what each command prints on it."""
    commands = {name: command.format(**places).split() for name, command in COMMANDS.items()}
    ran = run_on_terminal([sys.executable, "-c", PROGRAM, json.dumps(commands)], request.param)
    out, err = split(re.sub("\x1b\\[[0-9;]*m", "", ran.out)), split(ran.err)
    assert list(out) == list(err) == list(COMMANDS), ran
    return request.param, {name: Told(out[name][0], out[name][1].splitlines(), err[name][1]) for name in COMMANDS}


def test_every_command_answers_and_no_line_wraps(shown: tuple[int, dict[str, Told]]) -> None:
    width, told = shown
    assert {name: each.status for name, each in told.items()} == dict.fromkeys(COMMANDS, "0")
    widest = {name: max(map(display_width, each.lines)) for name, each in told.items()}
    assert {name: cells for name, cells in widest.items() if not 20 < cells <= width} == {}


@pytest.mark.parametrize("name", ["scan", "diff"])
def test_addresses_states_and_pids_are_whole(shown: tuple[int, dict[str, Told]], snapshot: Snapshot, name: str) -> None:
    width, told = shown
    words = set(" ".join(told[name].lines).split())
    rows = [each.row for each in snapshot.sockets if name == "scan" or each.row.state is not SocketState.TIME_WAIT]
    ends = {end for row in rows for end in (local_text(row, None), remote_text(row))}
    assert ends <= words
    if name == "scan":
        assert {str(each.row.state) for each in snapshot.sockets} <= words
    if name == "scan" or width > 80:  # Beside two ends of IPv6 and a name there is no room for more.
        assert {str(each.owners[0].process.pid) for each in snapshot.sockets if each.owners} <= words


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("scan", "NETNS PROTO STATE LOCAL REMOTE PID COMMAND CONTAINER POD"),
        ("netns", "NETNS NAMES PROCESSES SOCKETS CONTAINERS PODS ENGINE FOUND-BY"),
        ("containers", "ID NAME RUNTIME IMAGE POD IP NETNS SOURCE VERIFIED"),
        ("diff", "CHANGE NETNS PROTO STATE LOCAL REMOTE PID COMMAND CONTAINER POD"),
        ("history", "TIME CHANGE NETNS PROTO STATE LOCAL REMOTE PID COMMAND CONTAINER POD"),
        ("report list", "NAME WHEN NEXT VIEW FORMAT OUTPUTS RUNS FAILED LAST-SUCCESS-AT ERROR"),
    ],
)
def test_what_is_not_there_is_told(shown: tuple[int, dict[str, Told]], name: str, columns: str) -> None:
    _, told = shown
    header = told[name].lines[0].split()
    gone = [column.lower().replace("-", "_") for column in columns.split() if column not in header]
    found = re.search("nsagent: no room for ([a-z_, ]*)[;:].* has all columns\n", told[name].err)
    assert sorted(gone) == sorted(found[1].split(", ") if found else [])


def test_what_identifies_a_row_is_there(shown: tuple[int, dict[str, Told]]) -> None:
    _, told = shown
    headers = {name: each.lines[0].split() for name, each in told.items()}
    assert {"NETNS", "NAMES"} <= set(headers["netns"])
    assert {"NAME", "ID", "POD"} <= set(headers["containers"])
    assert {"CHANGE", "LOCAL", "REMOTE", "CONTAINER"} <= set(headers["diff"])
    assert {"TIME", "CHANGE", "LOCAL", "REMOTE", "CONTAINER"} <= set(headers["history"])
    assert {"NETNS", "STATE", "LOCAL", "CONTAINER", "POD", "COUNT"} == set(headers["counts"])
    assert {"NAME", "WHEN", "NEXT"} <= set(headers["report list"])
