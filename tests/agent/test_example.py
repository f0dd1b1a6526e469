"""Each report of the example config is made, of the recorded hosts."""

import csv
import json
from pathlib import Path

import pytest

from nsagent.agent.config_file import ConfigFile, Identity, load_config
from nsagent.agent.reports import ReportMaker
from nsagent.config.model import Report
from nsagent.model.net import SocketState
from nsagent.model.snapshot import Snapshot
from nsagent.scan.attribute import attribute
from nsagent.scan.capture import decode_capture
from tests.kernel.rows import FIXTURES

EXAMPLE = Path(__file__).parent.parent.parent / "manifests" / "config.yaml"


def read_snapshot(name: str) -> Snapshot:
    """That of a recorded host."""
    path = FIXTURES / "captures" / f"{name}.json.gz"
    return attribute(decode_capture(path.read_bytes(), str(path)))


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    file = ConfigFile(str(EXAMPLE), EXAMPLE.read_bytes(), Identity(0, 0, 0, 0, ""))
    return {report.name: report for report in load_config(file, {"NSAGENT_WATCHED_PORT": "8080"}).reports}


def make(report: Report, snapshot: Snapshot) -> str:
    (written,) = ReportMaker(report).make(snapshot)
    return written.data.decode()


def test_of_one_snapshot_no_listener_is_new(reports: dict[str, Report]) -> None:
    lines = make(reports["new-listeners"], read_snapshot("docker")).splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["changes"]


def test_a_listener_that_was_not_there_before_is_new(reports: dict[str, Report]) -> None:
    after = read_snapshot("docker")
    first = next(socket for socket in after.sockets if socket.row.state is SocketState.LISTEN)
    maker = ReportMaker(reports["new-listeners"])
    maker.make(after._replace(sockets=tuple(socket for socket in after.sockets if socket is not first)))
    (written,) = maker.make(after)
    _, *changes = map(json.loads, written.data.decode().splitlines())
    assert [change["kind"] for change in changes] == ["new_listener"]


def test_connections_are_counted_by_pod(reports: dict[str, Report]) -> None:
    header, *rows = csv.reader(make(reports["connections-by-pod"], read_snapshot("pods")).splitlines())
    assert (header, rows) == (["pod", "count"], [["shop/web-6d5f8c7b9-x2x7k", "1"], ["test/load-8c5d", "1"]])


def test_an_accept_queue_near_its_limit_is_told(reports: dict[str, Report]) -> None:
    snapshot = read_snapshot("plain")
    full = next(socket for socket in snapshot.sockets if socket.row.local.port == 80 and socket.row.tx_queue == 16)
    sockets = [each._replace(row=each.row._replace(rx_queue=14)) if each is full else each for each in snapshot.sockets]
    header, *rows = csv.reader(make(reports["accept-queues"], snapshot._replace(sockets=tuple(sockets))).splitlines())
    assert header == ["netns", "local", "acceptq", "pid", "command", "container", "pod"]
    assert [row[1:3] for row in rows] == [["0.0.0.0:80", "14/16"]]


def test_close_wait_is_counted_by_container_and_command(reports: dict[str, Report]) -> None:
    header, *rows = [line.split() for line in make(reports["close-wait-leaks"], read_snapshot("plain")).splitlines()]
    assert (header, rows) == (["CONTAINER", "COMMAND", "COUNT"], [["-", "(accept_queue)", "1"]])


def test_sockets_without_owner_are_told_with_why(reports: dict[str, Report]) -> None:
    header, *rows = csv.reader(make(reports["without-owner"], read_snapshot("plain")).splitlines())
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(each["state"], each["verdict"]) for each in cells] == [
        ("close_wait", "accept_queue"),
        ("established", "accept_queue"),
        ("fin_wait2", "time_wait"),
    ]


def test_who_talks_to_a_port_is_told_with_both_ends(reports: dict[str, Report]) -> None:
    lines = [json.loads(line) for line in make(reports["who-talks-to-port"], read_snapshot("pods")).splitlines()]
    ports = [{line["local"]["port"], line["remote"]["port"]} for line in lines if line["type"] == "socket"]
    assert ports == [{8080, 38590}, {8080, 38590}]
