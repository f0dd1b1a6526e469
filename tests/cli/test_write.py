"""Printing: what a terminal gets and what a pipe gets."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from nsagent.cli.write import terminal_width, use_colour
from nsagent.model.choices import ColourWhen
from tests.cli.conftest import NODE
from tests.cli.test_app import environment
from tests.kernel.proc_tree import BUSY_SOCKSTAT, EMPTY_SOCKSTAT6, TCP_HEADER, ProcTree
from tests.scan.facts import listen_row

COLUMNS = 120


def run_on_terminal(*arguments: str, **settings: str) -> str:
    """What `nsagent scan` writes to a terminal of so many columns."""
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, COLUMNS, 0, 0))
        command = [sys.executable, "-m", "nsagent", "scan", "--proc-root", str(NODE), "--runtime", "none", *arguments]
        env = {name: value for name, value in environment().items() if name not in ("COLUMNS", "NO_COLOR")}
        subprocess.run(command, stdout=slave, env={**env, "TERM": "xterm", **settings}, timeout=30, check=True)
        os.set_blocking(master, False)
        return os.read(master, 1 << 16).decode()
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("arguments", "settings", "coloured"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        ((), {"NO_COLOR": ""}, True),
        ((), {"TERM": "dumb"}, False),
        (("--color", "never"), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("-o", "json"), {}, False),
    ],
)
def test_a_terminal_gets_colour_unless_somebody_says_no(
    arguments: tuple[str, ...], settings: dict[str, str], coloured: bool
) -> None:
    assert ("\x1b[" in run_on_terminal(*arguments, **settings)) is coloured


def test_a_table_fits_the_terminal_and_is_whole_in_a_pipe(tmp_path: Path) -> None:
    tree = ProcTree(tmp_path / "proc")
    net = {"sockstat": BUSY_SOCKSTAT, "sockstat6": EMPTY_SOCKSTAT6, "tcp": TCP_HEADER + listen_row(80, 7)}
    tree.process(10, "x" * 200, net=net, fds={3: "socket:[7]"})
    command = [sys.executable, "-m", "nsagent", "scan", "--proc-root", tree.path, "--runtime", "none"]
    piped = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=30, check=True).stdout
    shown = run_on_terminal("--color", "never", "--proc-root", tree.path)
    assert "x" * 200 in piped
    assert "x" * 200 not in shown
    assert max(map(len, shown.splitlines())) <= COLUMNS


@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_an_answer_that_a_pipe_takes_only_in_part_is_told(buffering: dict[str, str], tmp_path: Path) -> None:
    """As where whoever reads has made the pipe non-blocking, and is slow."""
    tree = ProcTree(tmp_path / "proc")
    rows = "".join(listen_row(port, port) for port in range(1, 500))
    tree.process(10, "many", net={"sockstat": BUSY_SOCKSTAT, "sockstat6": EMPTY_SOCKSTAT6, "tcp": TCP_HEADER + rows})
    command = [sys.executable, "-m", "nsagent", "scan", "-o", "json", "--proc-root", tree.path, "--runtime", "none"]
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        env = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"} | buffering
        done = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, text=True, env=env, timeout=60, check=False
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 1
    assert "stdout: cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("when", "environ", "expected"),
    [
        (ColourWhen.ALWAYS, {"NO_COLOR": "1", "TERM": "dumb"}, True),
        (ColourWhen.NEVER, {}, False),
        (ColourWhen.AUTO, {}, False),
    ],
)
def test_a_pipe_gets_colour_only_if_it_is_asked_for(when: ColourWhen, environ: dict[str, str], expected: bool) -> None:
    assert bool(use_colour(when, environ)) is expected


def test_a_pipe_has_no_width() -> None:
    assert terminal_width({"COLUMNS": "20"}) is None
