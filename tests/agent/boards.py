"""Boards as the loop fills them, and the endpoints over them, for tests."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from nsagent.agent.board import Board
from nsagent.agent.endpoints import Access, Endpoints
from nsagent.agent.metrics import Metrics
from nsagent.agent.status import (
    AgentStatus,
    ConfigStatus,
    EventCounts,
    EventsStatus,
    OutputStatus,
    PassStatus,
    ReportStatus,
)
from nsagent.model.change import Change, ChangeKind
from nsagent.model.choices import EngineName
from nsagent.model.facts import Facts
from nsagent.model.process_event import EventEngine
from nsagent.report.changes import change_record
from nsagent.report.prom import make_families
from nsagent.scan.attribute import attribute
from nsagent.scan.capture import decode_capture
from tests.kernel.rows import FIXTURES

CAPTURE = FIXTURES / "captures" / "docker.json.gz"


def recorded_facts() -> Facts:
    """Those of the recorded host with Docker."""
    return decode_capture(CAPTURE.read_bytes(), str(CAPTURE))


def make_pass_status(
    number: int = 1,
    finished_seconds: float = 100.0,
    duration_seconds: float = 0.25,
    stages: Mapping[str, float] = MappingProxyType({}),
) -> PassStatus:
    return PassStatus(
        number=number,
        taken_at="2026-01-02T03:04:05.678Z",
        finished_seconds=finished_seconds,
        duration_seconds=duration_seconds,
        cpu_seconds=0.125,
        engine=EngineName.SOCK_DIAG,
        complete=True,
        sockets=12,
        netns=3,
        processes=40,
        gaps=(),
        stages=stages,
    )


REPORTS = (
    ReportStatus(
        "listeners",
        "2026-01-02T03:05:00.000Z",
        runs=7,
        failed=2,
        skipped=1,
        last_success_at="2026-01-02T03:04:00.000Z",
        last_success_epoch_seconds=1767323040.0,
        outputs=(
            OutputStatus("file /var/lib/nsagent/listeners.jsonl", written=5),
            OutputStatus("http https://receiver/", written=3, failed=4, dropped=1, spooled=2, error="503 Busy"),
        ),
    ),
    ReportStatus("never", None, failed=3, quarantined=True, error="no column 'x'", outputs=(OutputStatus("stdout"),)),
)


def make_status(last_pass: PassStatus | None = None, **changes: Any) -> AgentStatus:
    status = AgentStatus(
        version="1.2.3",
        host="node-1",
        pid=4711,
        started_at="2026-01-02T03:00:00.000Z",
        config=ConfigStatus("/etc/nsagent/config.yaml", "2026-01-02T03:00:00.000Z"),
        passes=9,
        passes_failed=1,
        passes_skipped=2,
        last_pass=last_pass,
        reports=REPORTS,
        runtimes=(("docker", True), ("cri", False)),
        rss_bytes=54 << 20,
        events=EventsStatus(EventEngine.CONNECTOR, None, 900, 1, 12, 40, 3, 2),
        happened=EventCounts(
            {"fork": 300, "exec": 290, "exit": 299},
            250,
            {"open": 20, "close": 18, "change": 1},
            7,
            {"process": 12, "socket": 0},
        ),
    )
    return replace(status, **changes)


def make_change(number: int) -> Change:
    """A container that has come."""
    return Change("2026-01-02T03:04:05.678Z", ChangeKind.CONTAINER_COME, None, None, f"web-{number}", None, None)


def make_board(clock: Callable[[], float] = time.monotonic, *, on_pass: Any = lambda _: None) -> Board:
    """One on which a pass over the recorded host, and a status, stand."""
    board = Board(30.0, clock=clock, on_pass=on_pass)
    facts = recorded_facts()
    status = make_pass_status(finished_seconds=clock())
    board.publish_pass(attribute(facts), facts, status)
    board.publish_status(make_status(status))
    return board


def make_endpoints(
    board: Board, access: Access | None = None, clock: Callable[[], float] = time.monotonic, changes: Sequence[int] = ()
) -> Endpoints:
    board.publish_changes(map(make_change, changes))
    return Endpoints(board, Metrics(make_families, clock=clock), access or Access("127.0.0.1"), change_record)
