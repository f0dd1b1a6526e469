"""Asking the running agent: the same bytes as from its capture, and one line where there is none."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nsagent.agent.board import Board
from nsagent.agent.control import Control, serve_socket
from nsagent.agent.metrics import Metrics
from nsagent.agent.status_text import render_status
from nsagent.cli.agent_client import find_forebears
from nsagent.model.forebear import Forebear
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.process import ProcessKey
from nsagent.model.process_event import ExitStatus
from nsagent.report.changes import change_record
from nsagent.report.prom import make_families
from nsagent.scan.capture_file import read_capture
from tests.agent.boards import CAPTURE, make_board, make_status
from tests.cli.conftest import Run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the agent is asked."""
    return tmp_path / "nsagent" / "agent.sock"


def serve(path: Path, board: Board) -> closing[Control]:
    metrics = Metrics(make_families, clock=time.monotonic)
    return closing(serve_socket(str(path), board, metrics, change_record, clock=time.monotonic))


@pytest.fixture
def agent(path: Path) -> Iterator[Path]:
    """An agent whose last pass is the recorded one, and where it is asked."""
    with serve(path, make_board()):
        yield path


@pytest.mark.parametrize(
    "command",
    [
        ("scan",),
        ("scan", "-o", "wide"),
        ("scan", "-o", "json"),
        ("scan", "-o", "jsonl", "-c", "web"),
        ("scan", "--netns", "host", "--listening", "--sort-by", "-local"),
        ("who", "*:9090"),
        ("who", "10.213.0.3:54430", "10.213.0.2:9090", "-o", "json"),
        ("port", "9100", "-o", "json"),
        ("pid", "202"),
        ("netns", "-o", "json"),
        ("netns", "host"),
        ("containers", "-o", "csv"),
    ],
)
def test_it_answers_what_its_capture_does_byte_for_byte(run_cli: Run, agent: Path, command: tuple[str, ...]) -> None:
    asked = run_cli(*command, "--agent", "--agent-socket", agent)
    assert asked.status == 0
    assert asked == run_cli(*command, "--from", CAPTURE)


def test_what_the_capture_lacks_is_told_by_the_name_of_the_socket(run_cli: Run, agent: Path) -> None:
    asked = run_cli("scan", "--all", "--strict", "--agent", "--agent-socket", agent)
    read = run_cli("scan", "--all", "--strict", "--from", CAPTURE)
    assert asked.status == read.status == 3
    assert (asked.out, asked.err) == (read.out, read.err.replace(str(CAPTURE), str(agent)))
    assert str(agent) in asked.err


def test_a_name_that_is_unknown_to_its_pass_ends_as_for_a_capture(run_cli: Run, agent: Path) -> None:
    asked = run_cli("scan", "-c", "nobody", "--agent", "--agent-socket", agent)
    assert asked == run_cli("scan", "-c", "nobody", "--from", CAPTURE)
    assert asked.status == 4


def test_its_facts_can_be_kept_as_well(run_cli: Run, agent: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert run_cli("scan", "--agent", "--agent-socket", agent, "--capture", kept).status == 0
    assert read_capture(kept) == read_capture(CAPTURE)


def test_the_socket_goes_by_variable_too_and_agent_before_a_capture_by_variable(
    run_cli: Run, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSAGENT_SOCKET", str(agent))
    monkeypatch.setenv("NSAGENT_FROM", "/nowhere")
    assert run_cli("scan", "--agent").status == 0
    assert run_cli("status").status == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--from", CAPTURE), "--from"),
        (("--engine", "proc", "--runtime", "none"), "--engine, --runtime"),
    ],
)
def test_what_reads_something_else_is_not_used_with_it(
    run_cli: Run, agent: Path, options: tuple[str | Path, ...], named: str
) -> None:
    asked = run_cli("scan", "--agent", "--agent-socket", agent, *options)
    line = f"nsagent: {named}: not used with --agent, which tells of a pass that it made\n"
    assert asked == (2, "", line)


MIDDLE = Forebear(Pid(77), None, "sh", None, 1767323045.678, ExitStatus(3, 0, core_dumped=False))
SHELL = Forebear(Pid(60), 600, None, ContainerId("ab" * 32), None, None)


def test_forebears_are_told_as_they_are_known_and_none_of_who_is_not(path: Path) -> None:
    key = ProcessKey(Pid(80), 800)
    assert find_forebears(path, key) is None
    known = {(80, 800): (MIDDLE, SHELL), (81, 810): ()}
    board = Board(30.0, clock=time.monotonic, list_forebears=lambda pid, start_ticks: known.get((pid, start_ticks)))
    with serve(path, board):
        assert find_forebears(path, key) == (MIDDLE, SHELL)
        assert find_forebears(path, ProcessKey(Pid(81), 810)) == ()
        assert find_forebears(path, ProcessKey(Pid(80), 801)) is None


@pytest.mark.parametrize("command", [("scan", "--agent"), ("status",)])
def test_where_no_agent_is_there_is_one_line(run_cli: Run, path: Path, command: tuple[str, ...]) -> None:
    line = f"nsagent: no agent at {path}: is `nsagent run` running?\n"
    assert run_cli(*command, "--agent-socket", path) == (1, "", line)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert run_cli(*command, "--agent-socket", path) == (1, "", line)


def test_the_default_is_where_the_config_has_it_by_default(run_cli: Run) -> None:
    if os.path.exists("/run/nsagent/agent.sock"):
        pytest.skip("an agent runs here")
    assert run_cli("status").err == "nsagent: no agent at /run/nsagent/agent.sock: is `nsagent run` running?\n"


def test_an_agent_that_has_made_no_pass_yet_is_waited_for(run_cli: Run, path: Path) -> None:
    board = Board(30.0, clock=time.monotonic)
    finished = make_board()
    with serve(path, board):

        def finish() -> None:
            assert finished.last_pass is not None
            board.publish_pass(*finished.last_pass[:3])

        timer = threading.Timer(0.5, finish)
        timer.start()
        asked = run_cli("netns", "--agent", "--agent-socket", path)
        timer.join()
    assert asked == run_cli("netns", "--from", CAPTURE)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "hangs up: it answers root and its own user only"),
        (b"SSH-2.0-x\r\n", "SSH-2.0-x"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nno such path\n", "no such path"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n\x1b[2J", "\\x1b[2J"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut", "cut off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "not a capture: neither gzip nor JSON"),
    ],
)
def test_what_is_no_agent_is_one_line(run_cli: Run, tmp_path: Path, answer: bytes, told: str) -> None:
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer_once() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)

        server = threading.Thread(target=answer_once)
        server.start()
        asked = run_cli("scan", "--agent", "--agent-socket", path)
        server.join()
    assert (asked.status, asked.out, asked.err.count("\n")) == (1, "", 1)
    assert told in asked.err
    assert str(path) in asked.err


@pytest.mark.parametrize("format_", ["table", "json", "yaml"])
def test_status_is_what_the_agent_says(run_cli: Run, agent: Path, format_: str) -> None:
    board = make_board()
    assert board.status is not None
    asked = run_cli("status", "--agent-socket", agent, "-o", format_)
    assert asked.status == 0
    assert asked.out.splitlines()[:1] == render_status(board.status, format_).splitlines()[:1] or format_ != "table"
    assert "listeners" in asked.out


def test_status_has_three_formats(run_cli: Run, agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = run_cli("status", "--agent-socket", agent, "-o", "csv")
    assert asked == (2, "", "nsagent: --output: expected one of table, json, yaml, got 'csv'\n")
    monkeypatch.setenv("NSAGENT_OUTPUT", "csv")
    assert run_cli("status", "--agent-socket", agent).out.startswith("agent ")


def test_the_file_of_the_socket_is_gone_at_the_end(path: Path) -> None:
    with serve(path, make_board()):
        assert path.is_socket()
    assert not path.exists()


def test_status_asks_without_a_pass(run_cli: Run, path: Path) -> None:
    board = Board(30.0, clock=time.monotonic)
    board.publish_status(make_status())
    with serve(path, board):
        assert run_cli("status", "--agent-socket", path).out == render_status(make_status(), "table")
