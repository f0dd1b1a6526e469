"""The agent's socket on a real host: a pass that it made is what scan answers, and another user gets nothing."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nsagent.agent.board import Board
from nsagent.agent.control import serve_socket
from nsagent.agent.metrics import Metrics
from nsagent.report.changes import change_record
from nsagent.report.prom import make_families
from nsagent.scan.attribute import attribute
from nsagent.scan.capture_file import read_capture
from tests.agent.boards import make_pass_status, make_status
from tests.live.nsagent_cli import run_nsagent
from tests.live.unprivileged import PlainUser


@pytest.fixture
def agent_socket(plain_user: PlainUser, capture_file: str) -> Iterator[str]:
    """Where an agent of root is asked whose last pass is of now; a plain user may come as far as its directory."""
    assert run_nsagent("capture", capture_file).status == 0
    facts = read_capture(Path(capture_file))
    board = Board(30.0, clock=time.monotonic)
    board.publish_pass(attribute(facts), facts, make_pass_status())
    board.publish_status(make_status())
    path = os.path.join(plain_user.directory, "agent", "agent.sock")
    metrics = Metrics(make_families, clock=time.monotonic)
    with closing(serve_socket(path, board, metrics, change_record, clock=time.monotonic)):
        yield path


@pytest.mark.parametrize("output", ["json", "table"])
def test_scan_answers_by_the_agent_what_it_does_by_its_capture(
    agent_socket: str, capture_file: str, output: str
) -> None:
    asked = run_nsagent("scan", "--agent", "--agent-socket", agent_socket, "-o", output)
    read = run_nsagent("scan", "--from", capture_file, "-o", output)
    assert (asked.status, asked.stdout) == (0, read.stdout)
    assert asked.stdout.count(b"\n") > 1


def test_another_user_does_not_get_through_the_directory(plain_user: PlainUser, agent_socket: str) -> None:
    asked = plain_user.run_nsagent("status", "--agent-socket", agent_socket)
    line = f"nsagent: the agent at {agent_socket}: Permission denied: it answers root and its own user only"
    assert (asked.status, asked.stdout, asked.complaints) == (1, b"", [line])


def test_another_user_who_gets_through_to_the_socket_is_not_answered(plain_user: PlainUser, agent_socket: str) -> None:
    """The kernel tells whose process has connected (SO_PEERCRED)."""
    os.chmod(os.path.dirname(agent_socket), 0o755)  # noqa: S103 - that is the point
    os.chmod(agent_socket, 0o666)  # noqa: S103
    for command in (("status",), ("scan", "--agent")):
        asked = plain_user.run_nsagent(*command, "--agent-socket", agent_socket)
        line = f"nsagent: the agent at {agent_socket}: hangs up: it answers root and its own user only"
        assert (asked.status, asked.stdout, asked.complaints) == (1, b"", [line])
    assert run_nsagent("status", "--agent-socket", agent_socket).status == 0
