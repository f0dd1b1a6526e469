"""One report: what it selects, and what it never tells."""

import gc
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from nsagent.agent.reports import ReportMaker, select_report
from nsagent.config.model import Report
from nsagent.errors import Ambiguous
from nsagent.model.choices import Cmdline, OutputFormat, View
from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId
from nsagent.model.net import SocketState
from nsagent.model.process import CommandLine
from nsagent.model.snapshot import Snapshot
from nsagent.scan.attribute import attribute
from nsagent.scan.capture_file import read_capture

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"
SECRETS = ("hunter2", "AKIAIOSFODNN7EXAMPLE", "ghp_16C7e42F292c6912E7710c838347Ae178B4a")
FORMATS = [each for each in OutputFormat if each is not OutputFormat.NAME]


def make_report(**values: Any) -> Report:
    return Report.model_validate({"name": "r", "every": "1m", **values})


@pytest.fixture(scope="module")
def docker() -> Snapshot:
    return attribute(read_capture(CAPTURES / "docker.json.gz"))


@pytest.fixture(scope="module")
def secretive(docker: Snapshot) -> Snapshot:
    """The same host with secrets in labels, as people put them there."""
    labels = {f"com.example.{number}": secret for number, secret in enumerate(SECRETS)}
    pod = Pod(None, "web-1", "shop", labels=labels)
    return docker._replace(
        containers=tuple(one._replace(labels=labels, pod=pod) for one in docker.containers),
        netns=tuple(one._replace(pods=(pod,)) for one in docker.netns),
    )


def text_of(report: Report, *snapshots: Snapshot) -> str:
    """The last one of the reports of these snapshots."""
    maker = ReportMaker(report)
    texts = [maker.make(snapshot)[0].data.decode() for snapshot in snapshots]
    return texts[-1]


@pytest.mark.parametrize("view", [View.SOCKETS, View.LISTENERS, View.CONTAINERS, View.NETNS])
@pytest.mark.parametrize("format_", FORMATS)
def test_labels_are_told_in_no_format_and_no_view(secretive: Snapshot, view: View, format_: OutputFormat) -> None:
    text = text_of(make_report(view=view, format=format_), secretive)
    assert text
    assert not [secret for secret in SECRETS if secret in text]


def test_labels_are_told_where_the_report_asks_for_them(secretive: Snapshot) -> None:
    text = text_of(make_report(format="json", labels=True), secretive)
    assert all(secret in text for secret in SECRETS)


def tell_command_lines(snapshot: Snapshot, wanted: Cmdline) -> Snapshot:
    """As scan.collect.command_lines does, where nothing was scrubbed."""
    if wanted is Cmdline.NONE:
        return snapshot
    line = CommandLine(("httpd", "-k", "a b"), cut=True)
    keys = {owner.process.key for socket in snapshot.sockets for owner in socket.owners}
    return snapshot._replace(command_lines=dict.fromkeys(keys, line))


SHELL = "httpd -k 'a b' ..."
"""What columns show of it."""


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        ("json", '"argv": ["httpd", "-k", "a b"], "argv_cut": true, "tid"'),
        ("jsonl", '"argv": ["httpd", "-k", "a b"], "argv_cut": true, "tid"'),
        ("yaml", '- "a b"\n    argv_cut: true\n'),
        ("csv", f',"{SHELL}"'),
        ("table", SHELL),
        ("wide", SHELL),
        ("markdown", "httpd -k 'a b' ..."),
        ("html", "httpd -k &#x27;a b&#x27; ..."),
    ],
)
def test_command_lines_are_told_by_each_format_that_has_room_where_they_are_asked_for(
    docker: Snapshot, format_: str, expected: str
) -> None:
    asked, silent = make_report(format=format_, cmdline="full"), make_report(format=format_)
    assert expected in ReportMaker(asked).make(docker, tell_command_lines)[0].data.decode()
    assert b"httpd -k" not in ReportMaker(silent).make(docker, tell_command_lines)[0].data
    assert b"argv" not in ReportMaker(silent).make(docker, tell_command_lines)[0].data


def test_metrics_tell_no_command_line_whatever_the_report_asks_for(docker: Snapshot) -> None:
    (written,) = ReportMaker(make_report(format="prom", cmdline="full")).make(docker, tell_command_lines)
    assert b"httpd -k" not in written.data


def test_sockets_are_counted_by_command_line(docker: Snapshot) -> None:
    report = make_report(view="top", group_by=["argv"], limit=1, format="csv", cmdline="full")
    text = ReportMaker(report).make(docker, tell_command_lines)[0].data.decode()
    assert text.splitlines() == ['"argv","count"', f'"{SHELL}","{owned(docker)}"']


def owned(snapshot: Snapshot) -> int:
    return max(Counter(len(socket.owners) for socket in snapshot.sockets if socket.owners).values())


def test_an_owner_whose_command_line_could_not_be_read_has_none(docker: Snapshot) -> None:
    report = make_report(format="json", cmdline="argv0")
    (written,) = ReportMaker(report).make(docker, lambda snapshot, _: snapshot._replace(command_lines={}))
    owners = [owner for socket in json.loads(written.data)["sockets"] for owner in socket["owners"]]
    assert {owner["argv"] for owner in owners} == {None}


@pytest.mark.parametrize("format_", ["json", "jsonl", "csv", "table"])
def test_changes_tell_no_labels(secretive: Snapshot, format_: str) -> None:
    without = secretive._replace(sockets=secretive.sockets[:1], containers=())
    text = text_of(make_report(view="changes", format=format_, labels=False), without, secretive)
    assert "container_come" in text
    assert not [secret for secret in SECRETS if secret in text]


def test_what_is_not_there_now_gives_a_report_without_rows(docker: Snapshot) -> None:
    """A container that comes and goes is no reason for a report to fail."""
    (written,) = ReportMaker(make_report(format="json", select={"container": "nosuch"})).make(docker)
    document = json.loads(written.data)
    assert (document["sockets"], document["containers"], document["netns"]) == ([], [], [])
    assert document["coverage"]["processes"]["seen"] == docker.coverage.processes.seen


def test_what_may_be_either_of_two_is_an_error(docker: Snapshot) -> None:
    one = docker.containers[0]
    other = one._replace(id=ContainerId(one.id[:8] + "0" * 56), name="other")
    both = docker._replace(containers=(*docker.containers, other))
    with pytest.raises(Ambiguous):
        ReportMaker(make_report(select={"container": one.id[:8]})).make(both)


def test_a_view_shows_its_rows(docker: Snapshot) -> None:
    listeners = select_report(make_report(view="listeners"), docker)
    connections = select_report(make_report(view="connections"), docker)
    assert {socket.row.state for socket in listeners.sockets} == {"listen"}
    assert {socket.row.state for socket in connections.sockets} == {"established"}
    assert len(listeners.sockets) + len(connections.sockets) == len(docker.sockets)


def test_what_is_counted_is_limited_to_the_largest(docker: Snapshot) -> None:
    text = text_of(make_report(view="top", group_by=["command"], limit=1, format="csv"), docker)
    assert text.splitlines() == ['"command","count"', '"httpd","6"']


def test_only_what_is_new_since_the_report_before_is_told(docker: Snapshot) -> None:
    report = make_report(view="listeners", diff=True, format="json")
    earlier = docker._replace(sockets=docker.sockets[1:])
    assert json.loads(text_of(report, docker))["changes"] == []
    assert json.loads(text_of(report, docker, docker))["changes"] == []
    (change,) = json.loads(text_of(report, earlier, docker))["changes"]
    assert (change["kind"], change["socket"]["local"]["port"]) == ("new_listener", docker.sockets[0].row.local.port)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"view": "changes"}, ["state_changed"]),
        ({"view": "sockets", "diff": True}, ["state_changed"]),
        ({"view": "connections", "diff": True}, []),
        ({"view": "changes", "select": {"state": "close_wait"}}, ["state_changed"]),
        ({"view": "changes", "select": {"state": "established"}}, ["state_changed"]),
        ({"view": "changes", "select": {"state": "listen"}}, []),
    ],
)
def test_a_socket_in_another_state_is_no_new_connection(
    docker: Snapshot, settings: dict[str, object], told: list[str]
) -> None:
    first, *others = (one for one in docker.sockets if one.row.state is SocketState.ESTABLISHED)
    half_closed = first._replace(row=first.row._replace(state=SocketState.CLOSE_WAIT))
    before, after = docker._replace(sockets=(first, *others)), docker._replace(sockets=(half_closed, *others))
    changes = json.loads(text_of(make_report(format="json", **settings), before, after))["changes"]
    assert [change["kind"] for change in changes] == told


def test_a_textfile_has_metrics_whatever_the_format_is(docker: Snapshot) -> None:
    outputs = [{"type": "stdout"}, {"type": "textfile", "path": "/var/lib/node_exporter/nsagent.prom"}]
    first, second = ReportMaker(make_report(format="csv", outputs=outputs)).make(docker)
    assert (first.format, first.content_type) == (OutputFormat.CSV, "text/csv; charset=utf-8")
    assert second.format is OutputFormat.PROM
    assert b"# TYPE nsagent_sockets gauge" in second.data


def test_metrics_of_containers_are_those_of_the_containers_that_are_selected(docker: Snapshot) -> None:
    """As of nsagent containers: the others have no series without a name."""
    values = {"view": "containers", "select": {"container": "client"}}
    textfile = make_report(outputs=[{"type": "textfile", "path": "/m.prom"}], **values)
    (_, metrics) = ReportMaker(textfile).make(docker)
    series = [line for line in metrics.data.decode().splitlines() if line.startswith("nsagent_sockets{")]
    assert series
    assert all('container="client"' in line for line in series)
    assert text_of(make_report(format="prom", **values), docker) == metrics.data.decode()


def test_reports_of_yaml_that_follow_each_other_are_documents(docker: Snapshot) -> None:
    maker = ReportMaker(make_report(format="yaml", view="netns"))
    both = b"".join(maker.make(docker)[0].data for _ in range(2))
    first, second = yaml.load_all(both, yaml.CSafeLoader)
    assert first == second
    assert first["netns"]


@pytest.mark.parametrize(
    ("expression", "ports"),
    [
        ("sport < 1024", [80]),
        ("container = gone or sport = :9100", [9100]),
        ("not container = gone and state = listen", [9100, 80, 2222, 9090, 7000]),
    ],
)
def test_an_expression_may_name_what_is_not_there_now(docker: Snapshot, expression: str, ports: list[int]) -> None:
    text = text_of(make_report(format="jsonl", select={"filter": expression}), docker)
    rows = [row for row in map(json.loads, text.splitlines()) if row["type"] == "socket"]
    assert [row["local"]["port"] for row in rows] == ports


def test_what_is_new_is_told_by_an_expression_that_names_what_is_not_there(docker: Snapshot) -> None:
    earlier = docker._replace(sockets=docker.sockets[1:])
    for expression, told in (("not container = gone", 1), ("container = gone", 0), ("sport = :9100", 1)):
        report = make_report(view="listeners", diff=True, format="json", select={"filter": expression})
        assert len(json.loads(text_of(report, earlier, docker))["changes"]) == told, expression


@pytest.mark.parametrize("view", [View.SOCKETS, View.LISTENERS, View.CONNECTIONS, View.CONTAINERS, View.NETNS])
@pytest.mark.parametrize("format_", [each for each in FORMATS if each is not OutputFormat.YAML])
def test_a_report_leaves_nothing_that_refers_to_itself(docker: Snapshot, view: View, format_: OutputFormat) -> None:
    """The agent looks for garbage every sixteen passes: until then all of it would stay.

    YAML is left out: its library makes a class for each document, of 2 KB.
    """
    maker = ReportMaker(make_report(view=view, format=format_))
    maker.make(docker)
    gc.collect()
    gc.disable()
    try:
        maker.make(docker)
        assert gc.collect() == 0
    finally:
        gc.enable()
