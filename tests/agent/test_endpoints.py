"""What each path answers, and to whom: the application alone, without a server."""

import gzip
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from wsgiref.util import setup_testing_defaults

import pytest

from nsagent.agent.board import Board
from nsagent.agent.endpoints import LONG_ANSWERS, Access, Endpoints, is_own_host
from nsagent.agent.token_file import TokenFile
from nsagent.query.select import leave_labels
from nsagent.report.changes import change_record
from nsagent.report.json import render_json
from nsagent.report.jsonl import render_jsonl
from nsagent.scan.capture import decode_capture, encode_capture
from tests.agent.boards import (
    make_board,
    make_change,
    make_endpoints,
    make_pass_status,
    make_status,
    recorded_facts,
)
from tests.agent.test_board import Clock

SOCKET = Access("localhost", capture=True)


class Got(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def start(application: Endpoints, target: str, **changes: str) -> tuple[int, dict[str, str], Iterable[bytes]]:
    """The answer with its body not read yet."""
    path, _, query = target.partition("?")
    environ: dict[str, str] = {
        "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_URI": target, "HTTP_HOST": "127.0.0.1:9469", **changes,
    }  # fmt: skip
    setup_testing_defaults(environ)
    told: list[tuple[str, dict[str, str]]] = []
    body = application(environ, lambda status, headers: told.append((status, dict(headers))))  # type: ignore[arg-type]
    return int(told[0][0].split()[0]), told[0][1], body


def get(application: Endpoints, target: str, **changes: str) -> Got:
    status, headers, body = start(application, target, **changes)
    got = Got(status, headers, b"".join(body))
    if hasattr(body, "close"):
        body.close()
    return got


@pytest.fixture
def board() -> Board:
    return make_board()


def test_the_snapshot_is_the_document_of_scan_without_labels(board: Board) -> None:
    assert board.last_pass is not None
    told = leave_labels(board.last_pass.snapshot)
    assert told != board.last_pass.snapshot
    application = make_endpoints(board)
    document = get(application, "/v1/snapshot")
    assert document.body.decode() == "".join(render_json(told))
    assert (document.status, document.headers["Content-Type"]) == (200, "application/json")
    lines = get(application, "/v1/snapshot?format=jsonl")
    assert lines.body.decode() == "".join(render_jsonl(told))
    assert lines.headers["Content-Type"] == "application/x-ndjson"


def test_the_capture_is_that_of_the_pass_and_made_once(board: Board) -> None:
    application = make_endpoints(board, SOCKET)
    status, _, body = start(application, "/v1/capture")
    assert (status, list(body)) == (200, [encode_capture(recorded_facts())])
    again = start(application, "/v1/capture")[2]
    assert next(iter(again)) is next(iter(body))
    assert decode_capture(gzip.compress(gzip.decompress(b"".join(again))), "x") == recorded_facts()


def test_the_capture_is_for_the_unix_socket_only(board: Board, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "token").chmod(0o600)
    for access in (Access("127.0.0.1"), Access("127.0.0.1", token=TokenFile(str(tmp_path / "token")))):
        got = get(make_endpoints(board, access), "/v1/capture", HTTP_AUTHORIZATION="Bearer s3cret")
        assert (got.status, got.body) == (404, b"no such path\n")


def count_holders(*targets: str) -> list[int]:
    """Who holds a pass, and a row of it, after these were asked for and another pass has come."""
    board = make_board()
    last = board.last_pass
    assert last is not None
    facts, snapshot, socket = last.facts, last.snapshot, last.snapshot.sockets[0]
    del last
    application = make_endpoints(board, SOCKET)
    for target in targets:
        assert get(application, target).status == 200
    board.publish_pass(snapshot._replace(sockets=()), facts._replace(processes=()), make_pass_status(2))
    return [sys.getrefcount(each) for each in (facts, snapshot, socket)]


@pytest.mark.parametrize("target", ["/metrics", "/v1/who?endpoint=*:80", "/v1/capture", "/v1/snapshot"])
def test_nothing_of_a_pass_is_kept_for_whoever_has_asked_about_it(target: str) -> None:
    """An agent of a large host that is asked once a month does not have two passes in memory ever after."""
    assert count_holders(target) == count_holders()


def test_changes_are_told_after_a_number(board: Board) -> None:
    application = make_endpoints(board, changes=[1, 2, 3])
    got = get(application, "/v1/changes?since=1")
    assert [json.loads(line) for line in got.body.splitlines()] == [
        {
            "type": "changes",
            "schema": "nsagent/v1",
            "missed": 0,
            "last": 3,
            "agent_started_at": "2026-01-02T03:00:00.000Z",
        },
        {"type": "change", "number": 2, **change_record(make_change(2))},
        {"type": "change", "number": 3, **change_record(make_change(3))},
    ]
    assert get(application, "/v1/changes").body.count(b"\n") == 4


@pytest.mark.parametrize(
    "target",
    [
        "/v1/changes?since=-1",
        "/v1/changes?since=1e3",
        f"/v1/changes?since={'9' * 40}",
        "/v1/forebears?pid=1",
        "/v1/forebears?pid=-1&start_ticks=2",
        "/v1/changes?since=%D9%A3",
        "/v1/snapshot?format=html",
        "/v1/status?format=csv",
        f"/v1/status?{'a=1&' * 20}",
    ],
)
def test_a_query_that_means_nothing_is_told_in_one_line(board: Board, target: str) -> None:
    got = get(make_endpoints(board), target)
    assert (got.status, got.body.count(b"\n")) == (400, 1)


def who(board: Board, query: str) -> Got:
    return get(make_endpoints(board), f"/v1/who?{query}")


def test_who_is_the_document_with_the_rows_that_hold_an_end_without_labels(board: Board) -> None:
    got = who(board, "endpoint=10.213.0.3:54430&endpoint=10.213.0.2:9090&protocol=tcp")
    assert (got.status, got.headers["Content-Type"]) == (200, "application/json")
    document = json.loads(got.body)
    whole = json.loads(get(make_endpoints(board), "/v1/snapshot").body)
    named = {each["netns"] for each in document["sockets"]}
    ids = {each["container_id"] for each in document["sockets"]}
    ends = (("10.213.0.3", 54430), ("10.213.0.2", 9090))
    assert document == {
        **whole,
        "netns": [each for each in whole["netns"] if each["inode"] in named],
        "containers": [each for each in whole["containers"] if each["id"] in ids],
        "sockets": [
            one
            for address, port in ends
            for one in whole["sockets"]
            if one["local"]["address"] == address and one["local"]["port"] == port
        ],
        "notes": [],
    }
    assert len(document["sockets"]) == 2


def test_what_is_said_of_an_answer_stands_in_its_notes(board: Board) -> None:
    document = json.loads(who(board, "endpoint=10.9.9.9:9100").body)
    assert [(note["kind"], note["end"]) for note in document["notes"]] == [("addresses", "10.9.9.9:9100")]


def test_who_is_asked_about_one_netns_by_name(board: Board) -> None:
    assert who(board, "endpoint=*:9100&netns=host").status == 200
    got = who(board, "endpoint=*:9090&netns=host")
    assert (got.status, got.body.startswith(b"no endpoint '*:9090'")) == (404, True)
    assert who(board, "endpoint=*:9090&netns=nowhere").body == b"no netns 'nowhere'\n"


@pytest.mark.parametrize(
    "query",
    ["", "endpoint=", "endpoint=localhost:80", "endpoint=*:80&protocol=raw", "endpoint=a&endpoint=b&endpoint=c"],
)
def test_a_question_that_means_nothing_is_told_in_one_line(board: Board, query: str) -> None:
    got = who(board, query)
    assert (got.status, got.body.count(b"\n")) == (400, 1)


def test_the_next_pass_is_asked_about_as_soon_as_it_is_there(board: Board) -> None:
    application = make_endpoints(board)
    assert get(application, "/v1/who?endpoint=*:9100").status == 200
    last = board.last_pass
    assert last is not None
    board.publish_pass(last.snapshot._replace(sockets=()), last.facts, last.status)
    assert get(application, "/v1/who?endpoint=*:9100").status == 404
    assert get(make_endpoints(Board(30.0, clock=Clock(0.0))), "/v1/who?endpoint=*:9100").status == 503


def test_health_is_told_by_the_last_finished_pass() -> None:
    clock = Clock(100.0)
    application = make_endpoints(make_board(clock), clock=clock)
    assert get(application, "/healthz")[::2] == (200, b"ok\n")
    clock.now += 90.5
    assert get(application, "/healthz")[::2] == (503, b"no pass finishes\n")
    assert get(application, "/readyz")[::2] == (200, b"ok\n")


def test_an_agent_that_cannot_see_the_host_is_well_and_not_ready() -> None:
    board = make_board()
    board.blind = "run with the host's PIDs"
    application = make_endpoints(board)
    assert get(application, "/readyz")[::2] == (503, b"run with the host's PIDs\n")
    assert get(application, "/healthz")[::2] == (200, b"ok\n")


def test_before_the_first_pass_only_what_needs_none_is_there() -> None:
    board = Board(30.0, clock=Clock())
    application = make_endpoints(board, SOCKET)
    assert get(application, "/healthz").status == 200
    assert get(application, "/metrics").status == 200
    assert get(application, "/v1/changes").status == 200
    for target in ("/readyz", "/v1/snapshot", "/v1/capture", "/v1/status"):
        got = get(application, target)
        assert (got.status, got.headers["Retry-After"], got.body) == (503, "1", b"no pass has finished yet\n")
    board.publish_status(make_status())
    assert get(application, "/v1/status").status == 200


@pytest.mark.parametrize("target", ["/", "/v1", "/v1/", "/metrics/", "//metrics", "/v1/snapshot/../capture", "/x" * 50])
def test_other_paths_are_not_there(board: Board, target: str) -> None:
    assert get(make_endpoints(board), target).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "X"])
def test_every_method_but_get_and_head_is_refused(board: Board, method: str) -> None:
    got = get(make_endpoints(board), "/metrics", REQUEST_METHOD=method)
    assert (got.status, got.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("target", ["/metrics", "/healthz", "/readyz", "/v1/snapshot", "/v1/status", "/v1/changes"])
def test_head_is_get_without_a_body(board: Board, target: str) -> None:
    application = make_endpoints(board)
    for _ in range(2 * LONG_ANSWERS):
        got = get(application, target, REQUEST_METHOD="HEAD")
        assert (got.status, got.body) == (200, b"")


def test_a_request_with_a_body_or_an_endless_path_is_refused(board: Board) -> None:
    application = make_endpoints(board)
    assert get(application, "/metrics", CONTENT_LENGTH="1").status == 413
    assert get(application, "/metrics", CONTENT_LENGTH="0").status == 200
    assert get(application, "/metrics?" + "a" * 4096).status == 414


def test_no_answer_may_be_used_by_a_page_of_somebody_else(board: Board) -> None:
    application = make_endpoints(board)
    for target in ("/metrics", "/v1/snapshot", "/nothing"):
        headers = get(application, target, HTTP_ORIGIN="http://evil.example").headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'"
        assert headers["Cache-Control"] == "no-store"
        assert not any(name.lower().startswith("access-control") for name in headers)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:9469", "[::1]", "[::1]:9469", "[fd00::7]:1", "10.2.3.4:80", "localhost", "LOCALHOST:1",
     "node-1.example:9469"],
)  # fmt: skip
def test_it_goes_by_numbers_localhost_and_the_name_in_the_config(host: str) -> None:
    assert is_own_host(host, "node-1.example")


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:9469", "127.0.0.1.evil.example", "localhost.evil.example",
     "127.0.0.1@evil.example", "evil.example#127.0.0.1", "127.0.0.1, evil.example", "2130706433", "0x7f000001",
     "[::1", "::1", "127.0.0.1:x", "localhost\n", "[127.0.0.1]x"],
)  # fmt: skip
def test_another_name_is_refused_whatever_it_leads_to(board: Board, host: str) -> None:
    """DNS rebinding: the name of an attacker's page resolves to this host, and a browser takes both for one."""
    got = get(make_endpoints(board), "/metrics", HTTP_HOST=host)
    assert (got.status, got.body) == (421, b"ask by an IP address, localhost, or the name in the config\n")


def test_beyond_loopback_only_what_tells_no_data_is_open(board: Board) -> None:
    application = make_endpoints(board, Access("10.1.2.3", data=False))
    assert [get(application, target).status for target in ("/metrics", "/healthz", "/readyz")] == [200, 200, 200]
    for target in ("/v1/snapshot", "/v1/changes", "/v1/status"):
        got = get(application, target)
        assert (got.status, got.body) == (403, b"beyond loopback this takes http.token_file\n")


def test_with_a_token_v1_asks_for_it_also_on_loopback(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    path.chmod(0o600)
    application = make_endpoints(board, Access("127.0.0.1", token=TokenFile(str(path))))
    assert get(application, "/metrics").status == 200
    for shown in ("", "s3cret", "Bearer", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "Bearer \xff"):
        got = get(application, "/v1/status", HTTP_AUTHORIZATION=shown)
        assert (got.status, got.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert get(application, "/v1/status", HTTP_AUTHORIZATION="Bearer s3cret").status == 200
    assert get(application, "/v1/status", HTTP_AUTHORIZATION="bearer s3cret").status == 200
    path.chmod(0o644)
    assert get(application, "/v1/status", HTTP_AUTHORIZATION="Bearer s3cret").status == 503


def test_answers_that_take_long_have_places_of_their_own(board: Board) -> None:
    """Whoever reads slowly holds one of a few, and nobody who asks how the agent fares waits for it."""
    application = make_endpoints(board)
    held = [start(application, "/v1/snapshot")[2] for _ in range(LONG_ANSWERS)]
    busy = get(application, "/v1/snapshot")
    assert (busy.status, busy.headers["Retry-After"]) == (503, "1")
    assert get(application, "/metrics").status == 200
    assert get(application, "/v1/status").status == 200
    held[0].close()  # type: ignore[attr-defined]
    held[0].close()  # type: ignore[attr-defined]
    assert get(application, "/v1/snapshot").status == 200
    assert get(application, "/v1/changes").status == 200
