"""What a terminal is told of a pass that takes long: how far it is, after a second, and nothing that stays."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsagent.errors import EXIT_INTERRUPTED
from nsagent.runtimes.runtimes import Runtimes
from nsagent.scan.collect import collect
from nsagent.scan.progress import Progress, Reached
from nsagent.scan.request import PassRequest
from tests.cli.conftest import NODE
from tests.cli.terminals import run_on_terminal
from tests.cli.test_app import environment

SCAN = [sys.executable, "-m", "nsagent", "scan", "--proc-root", str(NODE)]
TOLD = r"\r\x1b\[Kreading: \d of \d netns \.\.\."


def test_a_pass_counts_the_netns_that_it_has_found_and_read() -> None:
    progress = Progress()
    assert progress.look() == Reached(read=0, found=0)
    request = PassRequest("node-1", 0, str(NODE))
    collect(request, Runtimes([], clock=time.monotonic), clock=time.monotonic, progress=progress)
    assert progress.look() == Reached(read=3, found=3)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[list[str]]:
    """A scan that waits two seconds for an engine that never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()
        yield [*SCAN, "--runtime", f"docker=unix://{tmp_path}/engine.sock"]


def test_how_far_it_is_stands_on_the_terminal_until_the_answer_does(slow: list[str]) -> None:
    shown = run_on_terminal([*slow, "--color", "never"], 160, both=True)
    told, _, answer = shown.out.rpartition("\r\x1b[K")
    assert re.fullmatch(f"({TOLD})+", told)
    assert (shown.status, answer.startswith("NETNS ")) == (0, True)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_where_it_is_no_terminal_that_can_erase_nothing_is_told(slow: list[str], term: str) -> None:
    shown = run_on_terminal(slow, 160, both=term == "dumb", TERM=term)
    assert ("reading" in shown.out + shown.err, "\r" in shown.out) == (False, False)


def test_an_interrupt_takes_it_away(slow: list[str]) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(slow, stdout=slave, stderr=slave, env=environment(TERM="xterm")) as process:
        os.close(slave)
        shown = b""
        while b"netns ..." not in shown:
            shown += os.read(master, 4096)
        process.send_signal(signal.SIGINT)
        while b"interrupted\r\n" not in shown:
            shown += os.read(master, 4096)
        assert process.wait(60) == EXIT_INTERRUPTED
    os.close(master)
    assert shown.endswith(b"...\r\x1b[Knsagent: interrupted\r\n")
