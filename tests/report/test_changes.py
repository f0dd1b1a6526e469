"""Changes as people and programs read them."""

import csv
import json
from io import StringIO

import pytest
import yaml

from nsagent.errors import UsageError
from nsagent.model.change import Change, ChangedSocket, ChangeKind, ChangesHead
from nsagent.model.choices import OutputFormat
from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId, Pid, PodUid, SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.report.changes import render_changes
from nsagent.report.changes_columns import CHANGE_COLUMNS
from nsagent.report.render import OutputOptions

AT = "2026-01-02T03:04:05.678Z"
HEAD = ChangesHead("node-1", "2026-01-01T00:00:00.000Z", AT)
ID = ContainerId("c0ffee" + "0" * 58)
LISTENER = ChangedSocket(
    netns=4026531840,
    netns_name="host",
    protocol=Protocol.TCP,
    state=SocketState.LISTEN,
    local=Endpoint("::", 80),
    remote=Endpoint("::", 0),
    inode=SocketInode(7732),
    cookie=SocketCookie(4099),
    uid=0,
    holders=((Pid(10), 100, "nginx"), (Pid(11), 101, "a\x1b[31m\udcff")),
    interface="eth0",
    v6only=False,
)
CHANGES = (
    Change(AT, ChangeKind.CONTAINER_COME, None, ID, None, "shop/web:1", None),
    Change(AT, ChangeKind.NEW_LISTENER, LISTENER, None, None, None, None, unit="nginx.service"),
    Change(
        AT,
        ChangeKind.HOLDER_CHANGED,
        LISTENER._replace(netns=-7, netns_name=None, local=Endpoint("10.0.0.1", 9, "::ffff:10.0.0.1"), interface=None),
        ID,
        "=web",
        "shop/web:1",
        Pod(PodUid("11-22"), "web-7d9c", "shop", {"token": "s3cret"}),
        before=((Pid(9), 90, "old"),),
    ),
)


def render(format_: OutputFormat, changes: tuple[Change, ...] = CHANGES, **options: object) -> str:
    return "".join(render_changes(changes, OutputOptions(format_, **options), head=HEAD))  # type: ignore[arg-type]


def test_a_table_has_a_line_for_each_change() -> None:
    assert render(OutputFormat.TABLE) == (
        "CHANGE          NETNS  PROTO  STATE   LOCAL       REMOTE  PID    COMMAND              CONTAINER     POD\n"
        "container_come  -      -      -       -           -       -      -                    c0ffee000000  -\n"
        "new_listener    host   tcp    listen  *%eth0:80   *:*     10,11  nginx,a\\x1b[31m\\xff  -             -\n"
        "holder_changed  key:7  tcp    listen  10.0.0.1:9  *:*     10,11  nginx,a\\x1b[31m\\xff  =web          "
        "shop/web-7d9c\n"
    )


def test_more_than_three_holders_are_counted_in_a_table_and_named_in_csv() -> None:
    many = LISTENER._replace(holders=tuple((Pid(pid), 1, "w") for pid in range(1, 6)))
    change = CHANGES[1]._replace(socket=many)
    assert render(OutputFormat.TABLE, (change,), columns=("pid", "command"), headers=False) == "1,2,3 +2  w,w,w +2\n"
    assert (
        render(OutputFormat.CSV, (change,), columns=("pid", "command"), headers=False) == '"1,2,3,4,5","w,w,w,w,w"\r\n'
    )


def test_csv_has_every_column_asked_for_and_no_formula() -> None:
    names = tuple(column.name for column in CHANGE_COLUMNS)
    rows = list(csv.DictReader(StringIO(render(OutputFormat.CSV, columns=names))))
    assert rows[2] == {
        "time": AT,
        "change": "holder_changed",
        "netns": "key:7",
        "proto": "tcp",
        "state": "listen",
        "local": "10.0.0.1:9",
        "remote": "*:*",
        "pid": "10,11",
        "command": "nginx,a\\x1b[31m\\xff",
        "container": "\t=web",
        "pod": "shop/web-7d9c",
        "unit": "",
        "before": "9/old",
        "state_before": "",
        "uid": "0",
        "inode": "7732",
        "cookie": "4099",
        "image": "shop/web:1",
        "container_id": ID,
    }


def test_csv_without_changes_is_its_header() -> None:
    assert render(OutputFormat.CSV, (), columns=("time", "change")) == '"time","change"\r\n'


def test_the_document_tells_all_of_a_change_and_no_label() -> None:
    document = json.loads(render(OutputFormat.JSON))
    assert {key: document[key] for key in list(document)[:-1]} == {
        "schema": "nsagent/changes/v1",
        "host": "node-1",
        "from": HEAD.since,
        "to": AT,
    }
    assert document["changes"][2] == {
        "at": AT,
        "kind": "holder_changed",
        "socket": {
            "netns": 7,
            "netns_name": None,
            "protocol": "tcp",
            "state": "listen",
            "local": {"address": "10.0.0.1", "port": 9, "raw_address": "::ffff:10.0.0.1"},
            "remote": {"address": "::", "port": 0},
            "interface": None,
            "inode": 7732,
            "cookie": 4099,
            "uid": 0,
            "v6only": False,
            "holders": [
                {"pid": 10, "start_ticks": 100, "comm": "nginx"},
                {"pid": 11, "start_ticks": 101, "comm": "a\x1b[31m\\xff"},
            ],
        },
        "container_id": ID,
        "container_name": "=web",
        "image": "shop/web:1",
        "pod": {"name": "web-7d9c", "namespace": "shop", "uid": "11-22"},
        "unit": None,
        "before": [{"pid": 9, "start_ticks": 90, "comm": "old"}],
        "state_before": None,
    }


@pytest.mark.parametrize(
    ("protocol", "states", "shown"),
    [
        (Protocol.TCP, (SocketState.ESTABLISHED, SocketState.CLOSE_WAIT), "close_wait  established"),
        (Protocol.UDP, (SocketState.CLOSE, SocketState.ESTABLISHED), "established  unconn"),
    ],
)
def test_a_change_of_state_tells_both_states(
    protocol: Protocol, states: tuple[SocketState, SocketState], shown: str
) -> None:
    before, now = states
    change = CHANGES[1]._replace(
        kind=ChangeKind.STATE_CHANGED,
        socket=LISTENER._replace(protocol=protocol, state=now),
        state_before=before,
    )
    assert render(OutputFormat.TABLE, (change,), columns=("state", "state_before"), headers=False) == f"{shown}\n"
    (told,) = json.loads(render(OutputFormat.JSON, (change,)))["changes"]
    assert (told["socket"]["state"], told["state_before"]) == (now, before)


@pytest.mark.parametrize("changes", [(), CHANGES[:1], CHANGES * 170])
def test_json_yaml_and_lines_say_the_same(changes: tuple[Change, ...]) -> None:
    document = json.loads(render(OutputFormat.JSON, changes))
    assert yaml.safe_load(render(OutputFormat.YAML, changes)) == document
    first, *lines = map(json.loads, render(OutputFormat.JSONL, changes).splitlines())
    assert first == {"type": "changes", **{key: document[key] for key in ("schema", "host", "from", "to")}}
    assert lines == [{"type": "change", **change} for change in document["changes"]]


def test_a_table_of_markdown_tells_since_when() -> None:
    lines = render(OutputFormat.MARKDOWN).splitlines()
    assert lines[0] == "| change | netns | proto | state | local | remote | pid | command | container | pod |"
    assert lines[2].startswith("| container_come |  |  |  |  |  |  |  | c0ffee000000 |")
    assert lines[-1] == f"Taken on node-1 at {AT}. Since 2026-01-01T00:00:00.000Z."
    assert "s3cret" not in "".join(lines)


def test_a_page_of_html_tells_how_many_and_runs_nothing_of_theirs() -> None:
    evil = CHANGES[1]._replace(unit="<script>alert(1)</script>")
    page = render(OutputFormat.HTML, (evil, *CHANGES), columns=("change", "unit", "local"))
    assert "<title>Changes of node-1, 2026-01-02T03:04:05.678Z</title>" in page
    assert "4 changes" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<script>") == 1


def test_changes_are_sorted_by_columns_and_containers_are_last_where_they_have_no_value() -> None:
    by_end = render(OutputFormat.TABLE, sort_by=("local", "-pid"), columns=("change",), headers=False)
    assert by_end.splitlines() == ["holder_changed", "new_listener", "container_come"]


@pytest.mark.parametrize(
    ("options", "essentials"),
    [
        (
            OutputOptions(OutputFormat.NAME),
            "--output: name has nothing to say of changes; table, wide, csv, markdown, html, json",
        ),
        (OutputOptions(OutputFormat.PROM), "--output: prom has nothing to say of changes"),
        (OutputOptions(OutputFormat.JSON, columns=("pid",)), "--columns: json has none"),
        (OutputOptions(columns=("nosuch",)), "no column 'nosuch'"),
        (OutputOptions(sort_by=("-chnage",)), "near names: change"),
    ],
)
def test_what_changes_cannot_be_printed_as_is_an_error_at_once(options: OutputOptions, essentials: str) -> None:
    with pytest.raises(UsageError, match=essentials):
        render_changes(CHANGES, options, head=HEAD)
