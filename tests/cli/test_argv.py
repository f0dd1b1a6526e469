"""Command lines of a real process with secrets: in `scan --columns argv`, and in a report that asks for them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsagent.errors import EXIT_USAGE
from tests.cli.conftest import Run, run_with_stdin

LISTEN = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(flush=True); sys.stdin.read()"


@pytest.fixture(scope="module")
def pid() -> Iterator[str]:
    """Of one that listens, and was given a password."""
    command = [sys.executable, "-c", LISTEN, "a b", "--password=hunter2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield str(child.pid)
        child.communicate()


def test_a_scan_tells_them_where_the_column_is_named(run_cli: Run, pid: str) -> None:
    ran = run_cli("scan", "--runtime", "none", "--pid", pid, "--columns", "pid,argv", "-o", "csv", "--no-headers")
    assert ran.status == 0
    assert ran.out.startswith(f'"{pid}","{sys.executable} -c ')
    assert ran.out.rstrip('"\r\n').endswith("'a b' '--password=***'")


@pytest.mark.parametrize("asked", [["-o", "json"], ["-o", "csv"], ["-o", "wide"]])
def test_a_scan_tells_them_nowhere_else(run_cli: Run, pid: str, asked: list[str]) -> None:
    ran = run_cli("scan", "--runtime", "none", "--pid", pid, *asked)
    assert (ran.status, "a b" in ran.out, "hunter2" in ran.out) == (0, False, False)


def test_no_capture_has_them(run_cli: Run, node_capture: Path) -> None:
    ran = run_cli("scan", "--from", node_capture, "--columns", "argv")
    assert (ran.status, ran.out, ran.err) == (EXIT_USAGE, "", "nsagent: column argv: no capture has command lines\n")


@pytest.mark.parametrize(("wanted", "last"), [("full", "--password=***"), ("argv0", sys.executable)])
def test_a_report_tells_them_where_it_asks_for_them(tmp_path: Path, pid: str, wanted: str, last: str) -> None:
    """In a process of its own: how its logs look stays its own matter."""
    report = {"name": "a", "every": "1h", "format": "json", "select": {"pid": [pid]}, "cmdline": wanted}
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"version": 1, "runtime": "none", "reports": [report]}))
    ran = run_with_stdin("report", "run", "a", "--config", str(config), data=None)
    assert ran.returncode == 0, ran.stderr
    (socket,) = json.loads(ran.stdout)["sockets"]
    assert [owner["argv"][-1] for owner in socket["owners"]] == [last]
