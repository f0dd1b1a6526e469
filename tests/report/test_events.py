"""Events as lines: for people, with all that is not printable escaped, and as JSON."""

import csv
import json

import pytest
import yaml

from nsagent.errors import UsageError
from nsagent.model.change import Change
from nsagent.model.choices import OutputFormat
from nsagent.model.named_event import EventsHead, EventsOf, Identity, IdentitySource, LostEvents, NamedEvent
from nsagent.model.net import Endpoint, SocketState
from nsagent.model.process_event import EventEngine, ExitStatus, ProcessEventKind
from nsagent.model.socket_event import FinalTcp, OwnerSource, SocketEvent, SocketEventKind, SocketEventSource
from nsagent.report.events import JsonLines, render_events
from nsagent.report.events_columns import EVENT_COLUMNS, TableLines
from nsagent.report.options import OutputOptions
from nsagent.scan.diff import diff_snapshots
from tests.events.named import AT, KILLED, WEB_POD, in_web, outside
from tests.scan.snapshots import T1, WEB, container, listener, process, snapshot, socket

HEAD = EventsHead("node-1", T1, EventEngine.POLL, "no rights", 2.0, tuple(SocketEventSource)[:2], "no luck")
KINDS = ProcessEventKind
SERVER = process(30, "httpd", container=container("web"))
ENDS = (Endpoint("10.0.0.1", 40000), Endpoint("2001:db8::9", 443))
CONNECTION = socket(SocketState.ESTABLISHED, *ENDS, SERVER, process(31, "worker"), netns=WEB)
LOST = LostEvents(AT, EventsOf.PROCESS, 12)


def change(*rows: object) -> Change:
    [one] = [each for each in diff_snapshots(snapshot(), snapshot(*rows, taken_at=T1)) if each.kind != "new_peer"]  # type: ignore[arg-type]
    return one


def change_of_state(now: SocketState) -> Change:
    after = CONNECTION._replace(row=CONNECTION.row._replace(state=now))
    [one] = diff_snapshots(snapshot(CONNECTION), snapshot(after, taken_at=T1))
    return one


OPENED = SocketEvent(SocketEventKind.OPEN, change(CONNECTION), SocketEventSource.DIFF, OwnerSource.SNAPSHOT)
DESTROYED = SocketEvent(
    SocketEventKind.CLOSE,
    change(CONNECTION)._replace(container_name="web", pod=WEB_POD),
    SocketEventSource.DESTROY,
    OwnerSource.LISTENER,
    FinalTcp(10, 20, 300, 0),
    1.5,
)
HALF_CLOSED = SocketEvent(
    SocketEventKind.CHANGE, change_of_state(SocketState.CLOSE_WAIT), SocketEventSource.DIFF, OwnerSource.SNAPSHOT
)
EVENTS: tuple[NamedEvent, ...] = (
    in_web(KINDS.FORK),
    in_web(KINDS.EXEC),
    in_web(KINDS.EXIT, status=ExitStatus(3, 0, core_dumped=False)),
    in_web(KINDS.EXIT, status=KILLED),
    in_web(KINDS.EXIT, status=ExitStatus(0, 47, core_dumped=False)),
    outside(KINDS.EXIT),
    OPENED,
    DESTROYED,
    OPENED._replace(change=change(listener(80, SERVER))),
    HALF_CLOSED,
    LOST,
    LOST._replace(number=0, of=EventsOf.SOCKET),
)

SHOWN = """\
TIME          EVENT   PID      COMMAND          WHAT                                         CONTAINER             POD                       BY
03:04:05.678  fork    10       httpd            child of 4                                   web                   shop/web-7d9c             connector
03:04:05.678  exec    10       httpd            -                                            web                   shop/web-7d9c             connector
03:04:05.678  exit    10       httpd            code 3                                       web                   shop/web-7d9c             connector
03:04:05.678  exit    10       httpd            signal SIGKILL, core dumped                  web                   shop/web-7d9c             connector
03:04:05.678  exit    10       httpd            signal 47                                    web                   shop/web-7d9c             connector
03:04:05.678  exit    10       -                -                                            -                     -                         connector
03:05:05.678  open    30 +1    httpd +1         tcp 10.0.0.1:40000 > [2001:db8::9]:443       aaaaaaaaaaaa          -                         diff
03:05:05.678  close   30 +1    httpd +1         tcp 10.0.0.1:40000 > [2001:db8::9]:443       web                   shop/web-7d9c             destroy
03:05:05.678  open    30       httpd            tcp listen 0.0.0.0:80                        aaaaaaaaaaaa          -                         diff
03:05:05.678  change  30 +1    httpd +1         tcp close_wait 10.0.0.1:40000 > [2001:db8::9]:443, was established  aaaaaaaaaaaa          -                         diff
03:04:05.678  lost    -        -                12 events of processes                       -                     -                         -
03:04:05.678  lost    -        -                some events of sockets                       -                     -                         -
"""  # noqa: E501 - as it is printed.


def test_a_table_has_its_columns_where_they_are_without_knowing_the_next_line() -> None:
    lines = TableLines(None)
    assert lines.render_head(HEAD) + "".join(map(lines.render, EVENTS)) == SHOWN


def test_a_table_has_the_columns_that_are_asked_for() -> None:
    lines = TableLines([column.name for column in EVENT_COLUMNS[8:]], headers=False)
    assert lines.render_head(HEAD) == ""
    events = (in_web(KINDS.EXIT, status=KILLED), in_web(KINDS.FORK), OPENED, HALF_CLOSED, LOST)
    assert [lines.render(each).split() for each in events] == [
        ["process", *"-----", str(WEB), "-", "0", "9", "containerd.service", "look"],
        ["process", *"-----", str(WEB), "4", "-", "-", "containerd.service", "look"],
        ["socket", "tcp", "10.0.0.1:40000", "[2001:db8::9]:443", "established", "-", str(WEB), *"----", "snapshot"],
        ["socket", "tcp", "10.0.0.1:40000", "[2001:db8::9]:443", "close_wait", "established", str(WEB), *"----",
         "snapshot"],
        ["process", *["-"] * 11],
    ]  # fmt: skip


def test_a_column_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"no column 'comand'; near names: command, code \(columns: time, event, "):
        TableLines(["comand"])


def test_no_name_acts_on_a_terminal() -> None:
    hostile = Identity(IdentitySource.LOOK, comm="\x1b[2J\n\u202ea\udcff")
    line = TableLines(["command"]).render(outside(KINDS.EXEC, hostile))
    assert line == "\\x1b[2J\\x0a\\xe2\\x80\\xaea\\xff\n"
    assert json.loads(JsonLines().render(outside(KINDS.EXEC, hostile)))["comm"] == "\x1b[2J\n\u202ea\\xff"


def test_the_first_line_of_json_tells_how_events_are_known() -> None:
    lines = JsonLines()
    assert json.loads(lines.render_head(HEAD)) == {
        "type": "events",
        "schema": "nsagent/events/v1",
        "host": "node-1",
        "from": T1,
        "to": None,
        "missed": 0,
        "processes": {"engine": "poll", "reason": "no rights"},
        "sockets": {"engines": ["diff", "destroy"], "every_seconds": 2.0, "reason": "no luck"},
    }
    nothing = json.loads(lines.render_head(EventsHead("node-1", T1, None, None, None, (), None)))
    assert (nothing["processes"], nothing["sockets"]) == (None, None)


def test_a_process_as_json_is_told_with_whose_it_is() -> None:
    lines = JsonLines()
    assert json.loads(lines.render(in_web(KINDS.FORK))) == {
        "type": "process",
        "event": "fork",
        "time": "2026-01-02T03:04:05.678Z",
        "pid": 10,
        "parent": 4,
        "start_ticks": 100,
        "comm": "httpd",
        "uid": 33,
        "netns": WEB,
        "container_id": "a" * 64,
        "container_name": "web",
        "image": "shop/web:1",
        "pod": {"name": "web-7d9c", "namespace": "shop", "uid": "11-22"},
        "unit": "containerd.service",
        "status": None,
        "engine": "connector",
        "identity": "look",
    }
    ended = json.loads(lines.render(in_web(KINDS.EXIT, status=KILLED)))
    assert (ended["parent"], ended["status"]) == (None, {"code": 0, "signal": 9, "core_dumped": True})
    unknown = json.loads(lines.render(outside(KINDS.EXIT)))
    assert {key for key, value in unknown.items() if value is not None} == {
        "type", "event", "time", "pid", "engine", "identity",
    }  # fmt: skip


def test_a_socket_as_json_is_told_as_its_change_is() -> None:
    told = json.loads(JsonLines().render(DESTROYED))
    socket_told = told.pop("socket")
    assert told == {
        "type": "socket",
        "event": "close",
        "time": T1,
        "kind": "opened",
        "container_id": "a" * 64,
        "container_name": "web",
        "image": None,
        "pod": {"name": "web-7d9c", "namespace": "shop", "uid": "11-22"},
        "unit": None,
        "before": [],
        "state_before": None,
        "final": {"sent_bytes": 10, "received_bytes": 20, "rtt_microseconds": 300, "retransmits": 0},
        "lifetime_seconds": 1.5,
        "engine": "destroy",
        "identity": "listener",
    }
    assert socket_told["holders"] == [
        {"pid": 30, "start_ticks": 100, "comm": "httpd"},
        {"pid": 31, "start_ticks": 100, "comm": "worker"},
    ]
    assert json.loads(JsonLines().render(OPENED))["final"] is None


def test_losses_are_told_with_their_number() -> None:
    assert json.loads(JsonLines().render(LOST)) == {
        "type": "lost", "time": "2026-01-02T03:04:05.678Z", "of": "process", "count": 12,
    }  # fmt: skip


DONE = HEAD._replace(until="2026-01-02T03:06:00.000Z")


def rendered(format_: OutputFormat, **options: object) -> str:
    return "".join(render_events(EVENTS, OutputOptions(format_, **options), DONE))  # type: ignore[arg-type]


def test_a_report_has_the_same_records_in_each_format_that_has_any() -> None:
    document = json.loads(rendered(OutputFormat.JSON))
    head, *lines = map(json.loads, rendered(OutputFormat.JSONL).splitlines())
    assert {"type": "events", **document} == {**head, "events": lines}
    assert (head["from"], head["to"], len(lines)) == (T1, "2026-01-02T03:06:00.000Z", len(EVENTS))
    assert yaml.safe_load(rendered(OutputFormat.YAML)) == document


def test_a_report_as_a_table_tells_the_day_and_as_csv_everything() -> None:
    table = rendered(OutputFormat.TABLE, columns=("time", "event", "pid", "command")).splitlines()
    assert table[7].split() == ["2026-01-02T03:05:05.678Z", "open", "30,31", "httpd,worker"]
    header, *records = csv.reader(rendered(OutputFormat.CSV).splitlines())
    assert (header, len(records)) == ([column.name for column in EVENT_COLUMNS], len(EVENTS))
    assert records[7][:5] == [T1, "close", "30,31", "httpd,worker", "tcp 10.0.0.1:40000 > [2001:db8::9]:443"]


@pytest.mark.parametrize("format_", [OutputFormat.MARKDOWN, OutputFormat.HTML])
def test_a_page_says_of_when_and_what_could_not_be_heard(format_: OutputFormat) -> None:
    page = rendered(format_)
    assert [text in page for text in ("node-1", "2026-01-02T03:06:00.000Z", "no rights", "no luck")] == [True] * 4


def test_events_are_sorted_by_what_is_asked_for() -> None:
    told = rendered(OutputFormat.CSV, columns=("event",), sort_by=("-event",), headers=False).split()
    assert told == sorted(told, reverse=True)
