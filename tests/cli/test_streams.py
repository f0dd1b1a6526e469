"""Standard streams that are closed or full, and interrupts at any moment: an answer or one line, never a traceback."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsagent.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from tests.cli.conftest import NODE
from tests.cli.test_app import environment

SCAN = ("scan", "--proc-root", str(NODE), "--runtime", "none")
COMMANDS = (SCAN, ("doctor", "--runtime", "none"), ("--help",), ("--version",))
FULL = "No space left on device"
CLOSED = "Bad file descriptor"


def run_with(redirection: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """nsagent run by a shell with this redirection, its other streams pipes."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "nsagent", *arguments],
        env=environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&-"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_the_answer_is_given_where_it_can_be(arguments: tuple[str, ...], redirection: str) -> None:
    ran = run_with(redirection, *arguments)
    assert (ran.returncode, bool(ran.stdout)) == (0, True)


@pytest.mark.parametrize(("redirection", "why"), [(">&-", CLOSED), (">/dev/full", FULL), (">&- <&-", CLOSED)])
@pytest.mark.parametrize("arguments", COMMANDS[:3], ids=" ".join)
def test_an_answer_that_cannot_be_given_is_one_line_and_a_failure(
    arguments: tuple[str, ...], redirection: str, why: str
) -> None:
    ran = run_with(redirection, *arguments)
    assert (ran.returncode, ran.stdout) == (EXIT_FAILED, b"")
    last = ran.stderr.decode().splitlines()[-1]
    assert last.startswith("nsagent: ")
    assert last.endswith(why)
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("redirection", [">&- 2>&-", ">/dev/full 2>/dev/full", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_where_nobody_can_be_told_anything_the_status_tells_it(arguments: tuple[str, ...], redirection: str) -> None:
    assert run_with(redirection, *arguments).returncode == EXIT_FAILED


@pytest.mark.parametrize("arguments", [("scan", "--nosuch"), ("nosuch",), ("scan", "--port"), ("scan", "-o", "x")])
def test_a_usage_error_is_one_line_that_says_where_to_look(arguments: tuple[str, ...]) -> None:
    ran = run_with("", *arguments)
    (line,) = ran.stderr.decode().splitlines()
    assert (ran.returncode, ran.stdout) == (EXIT_USAGE, b"")
    assert line.startswith("nsagent: ")
    assert line.endswith("--help")


def test_an_interrupt_at_any_moment_is_130_and_no_traceback() -> None:
    """Once nsagent's first line has run: until then it is the interpreter that is interrupted."""
    program = (
        "import signal, sys\n"
        "import nsagent.__main__ as program\n"
        "print('begun', flush=True)\n"
        "sys.argv[1:] = ['scan']\n"
        "program._answer()\n"
    )
    for moment in range(12):
        command = [sys.executable, "-I", "-c", program]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            time.sleep(moment * 0.02)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
            assert process.returncode in (0, EXIT_INTERRUPTED, -signal.SIGINT)
            assert b"Traceback" not in told


def test_an_answer_is_printed_though_its_capture_cannot_be_kept(tmp_path: Path) -> None:
    ran = run_with("", *SCAN, "--capture", str(tmp_path / "nosuch" / "capture"))
    assert (ran.returncode, ran.stdout) == (EXIT_FAILED, run_with("", *SCAN).stdout)
    assert ran.stderr.decode().endswith("capture: cannot be written: No such file or directory\n")
