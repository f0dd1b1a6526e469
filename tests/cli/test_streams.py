"""Standard streams that are closed, full or read in part, and interrupts: an answer or one line, never a traceback.

As a shell starts every command that answers, each in a process of its own.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from nsagent.agent.control import serve_socket
from nsagent.agent.history import History
from nsagent.agent.metrics import Metrics
from nsagent.cli.app import COMMANDS
from nsagent.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from nsagent.report.changes import change_record
from nsagent.report.prom import make_families
from tests.agent.boards import CAPTURE, make_board
from tests.agent.histories import connection, record_all, taken
from tests.cli.conftest import NODE
from tests.cli.test_app import environment
from tests.live.capabilities import trials

SCAN = ("scan", "--proc-root", str(NODE), "--runtime", "none")
FULL = "No space left on device"
CLOSED = "Bad file descriptor"
HOST = ("--proc-root", str(NODE), "--runtime", "none")

ANSWERING = (
    SCAN,
    ("who", "*:80", *HOST),
    ("port", "80", *HOST),
    ("pid", "200", *HOST),
    ("netns", *HOST),
    ("containers", "--from", str(CAPTURE), "-o", "json"),
    ("diff", str(CAPTURE), str(CAPTURE)),
    ("watch", "--sockets", "--duration", "0s", *HOST),
    ("capture", "-", *HOST),
    ("doctor", "--runtime", "none"),
    ("history", "--path", "{history}"),
    ("status", "--agent-socket", "{agent}"),
    ("config", "show", "{config}"),
    ("config", "schema"),
    ("config", "init"),
    ("config", "validate", "{config}"),
    ("report", "list", "--config", "{config}"),
    ("report", "run", "all", "--config", "{config}", *HOST),
    ("manifests",),
    ("run", "--once", "--config", "{config}", *HOST),
    ("scan", "--help"),
    ("--version",),
)
"""Each is told all it knows on stdout; braces stand for what is made for the test."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A config, a history and an agent, by their names in the commands."""
    directory = tmp_path_factory.mktemp("streams")
    history, config = directory / "history.db", directory / "config.yaml"
    with closing(History.open(history, 1e9, 1 << 20)) as opened:
        record_all(opened, [taken(0), taken(1, connection(1)), taken(2, connection(1))])
    reports = [{"name": "all", "every": "1h", "format": "jsonl", "outputs": [{"type": "stdout"}]}]
    config.write_text(json.dumps({"version": 1, "engine": "proc", "reports": reports}))
    agent = directory / "run" / "agent.sock"
    metrics = Metrics(make_families, clock=time.monotonic)
    with closing(serve_socket(str(agent), make_board(), metrics, change_record, clock=time.monotonic)):
        yield {"history": str(history), "config": str(config), "agent": str(agent)}


def start(redirection: str, arguments: Sequence[str], places: dict[str, str]) -> subprocess.Popen[bytes]:
    """nsagent run by a shell with this redirection, or into this pipe; its other streams are pipes of the test."""
    command = [argument.format(**places) for argument in arguments]
    return subprocess.Popen(
        [
            "bash",
            "-c",
            f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}',
            "bash",
            sys.executable,
            "-m",
            "nsagent",
            *command,
        ],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run_with(
    redirections: Sequence[str], arguments: Sequence[str], places: dict[str, str] | None = None
) -> list[tuple[int, bool, str]]:
    """The status of each, whether it had an answer, and what it said on stderr; all at the same time."""
    ended = []
    for process in [start(redirection, arguments, places or {}) for redirection in redirections]:
        with process:
            out, err = process.communicate(timeout=120)
        ended.append((process.returncode, bool(out), err.decode()))
    return ended


ENDS = {
    "2>&-": (0, True, ""),
    ">/dev/full": (EXIT_FAILED, False, f"nsagent: stdout: cannot be written: {FULL}\n"),
    "| true": (0, False, ""),
    ">&-": (EXIT_FAILED, False, f"nsagent: stdout: cannot be written: {CLOSED}\n"),
    "| head -1": (0, True, ""),
}
"""How a command that answers ends with each redirection."""


@pytest.mark.parametrize("arguments", ANSWERING, ids=" ".join)
def test_every_command_answers_where_it_can_and_says_in_a_line_where_not(
    arguments: tuple[str, ...], places: dict[str, str]
) -> None:
    redirections = list(ENDS)[: len(ENDS) if arguments is SCAN else trials(default=3, full=len(ENDS))]
    ended = run_with(redirections, arguments, places)
    assert dict(zip(redirections, ended, strict=True)) == {each: ENDS[each] for each in redirections}


def test_no_command_that_answers_is_left_out() -> None:
    """But one that has no answer without a process that lives, of which not all may be readable."""
    assert {arguments[0] for arguments in ANSWERING} >= set(COMMANDS) - {"inspect"}


def test_streams_may_be_closed_or_full_in_any_number() -> None:
    nowhere = [">&- 2>&-", ">/dev/full 2>/dev/full", "<&- >&- 2>&-"]
    assert run_with(["2>/dev/full", "<&-", "<&- 2>&-"], SCAN) == [(0, True, "")] * 3
    assert run_with([">&- <&-"], SCAN) == [(EXIT_FAILED, False, f"nsagent: stdout: cannot be written: {CLOSED}\n")]
    assert run_with(nowhere, SCAN) == [(EXIT_FAILED, False, "")] * 3


def test_a_capture_to_a_file_has_no_need_of_streams(tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    assert run_with([">&-", "<&- >&- 2>&-", "| true"], ("capture", kept, *HOST)) == [(0, False, "")] * 3


@pytest.mark.parametrize("arguments", [("scan", "--nosuch"), ("nosuch",), ("scan", "--port"), ("scan", "-o", "x")])
def test_a_usage_error_is_one_line_that_says_where_to_look(arguments: tuple[str, ...]) -> None:
    ((status, answered, told),) = run_with([""], arguments)
    (line,) = told.splitlines()
    assert (status, answered) == (EXIT_USAGE, False)
    assert line.startswith("nsagent: ")
    assert line.endswith("--help")


BEGUN = (
    "from nsagent.__main__ import _answer, _hold_interrupts; held = _hold_interrupts(); "
    "print('begun', flush=True); _answer(held)"
)
"""nsagent that tells when it has begun: until then it is the interpreter that is interrupted."""


@pytest.mark.parametrize("arguments", ANSWERING, ids=" ".join)
def test_an_interrupt_at_any_moment_ends_every_command_with_a_line_at_most(
    arguments: tuple[str, ...], places: dict[str, str]
) -> None:
    """Moments that are spread over the time that a command takes; what is interrupted then differs from run to run."""
    command = [sys.executable, "-I", "-c", BEGUN, *(argument.format(**places) for argument in arguments)]
    moments = random.Random(" ".join(arguments))
    for _ in range(trials(default=2, full=200)):
        with subprocess.Popen(
            command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            time.sleep(moments.random() * 0.4)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=120)
        assert (process.returncode, err) in (
            (0, b""),
            (-signal.SIGINT, b""),
            (EXIT_INTERRUPTED, b""),
            (EXIT_INTERRUPTED, b"nsagent: interrupted\n"),
        )


def test_who_imports_the_program_keeps_its_interrupts() -> None:
    program = "import signal, nsagent.__main__; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"


def test_an_answer_is_printed_though_its_capture_cannot_be_kept(tmp_path: Path) -> None:
    kept = tmp_path / "nosuch" / "capture"
    told = f"nsagent: {kept}: cannot be written: No such file or directory\n"
    assert run_with([""], (*SCAN, "--capture", str(kept))) == [(EXIT_FAILED, True, told)]
