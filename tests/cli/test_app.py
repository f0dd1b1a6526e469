"""The command as a whole: help, version, errors and pipes."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import nsagent
from nsagent.cli.app import make_app
from nsagent.errors import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE
from nsagent.scan.capture import encode_capture
from tests.cli.conftest import NODE, Run
from tests.kernel.proc_tree import BUSY_SOCKSTAT, EMPTY_SOCKSTAT6, TCP_HEADER, ProcTree
from tests.scan.facts import facts, listen_row, netns

SCAN_NODE = [sys.executable, "-m", "nsagent", "scan", "--runtime", "none", "--proc-root"]


def environment(**settings: str) -> dict[str, str]:
    """That of this process, without what would steer nsagent."""
    foreign = ("NSAGENT_", "DOCKER_", "CONTAINER_", "PYTHONIOENCODING", "LC_", "LANG")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | settings


def test_the_version_is_printed(run_cli: Run) -> None:
    assert run_cli("--version") == (0, f"nsagent {nsagent.__version__}\n", "")


@pytest.mark.parametrize("command", [[], ["scan"], ["netns"], ["containers"], ["capture"]])
def test_every_command_has_help(run_cli: Run, command: list[str]) -> None:
    ran = run_cli(*command, "--help")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("Usage: nsagent " + " ".join(command))


def list_parameters(command: Any) -> Iterator[Any]:
    """Those of a command and of all below it."""
    yield from command.params
    for below in getattr(command, "commands", {}).values():
        yield from list_parameters(below)


def test_no_option_asks_whether_a_file_may_be_read() -> None:
    """access(2) says no to a user who is not root, also where a capability says yes."""
    kinds = [parameter.type for parameter in list_parameters(get_command(make_app()))]
    asking = [kind for kind in kinds if getattr(kind, "readable", False) or getattr(kind, "writable", False)]
    assert (asking, any(hasattr(kind, "readable") for kind in kinds)) == ([], True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("port", "http"), "PORT: expected a number from 1 to 65535, got 'http'"),
        (("port", "0"), "PORT: expected a number from 1 to 65535, got '0'"),
        (("port", "65536"), "PORT: expected a number from 1 to 65535, got '65536'"),
        (("pid", "self"), "PID: expected a number from 1 to 2147483648, got 'self'"),
        (("watch", "--count", "all"), "--count: expected a number from 1, got 'all'"),
        (("scan", "--netns"), "Option '--netns' requires an argument; see nsagent scan --help"),
        (("report", "run", "--config"), "Option '--config' requires an argument; see nsagent report run --help"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_was_expected_and_where(
    run_cli: Run, arguments: tuple[str, ...], told: str
) -> None:
    assert run_cli(*arguments) == (EXIT_USAGE, "", f"nsagent: {told}\n")


def test_a_command_that_there_is_not_is_a_usage_error(run_cli: Run) -> None:
    ran = run_cli("skan")
    assert (ran.status, ran.out) == (EXIT_USAGE, "")
    assert "skan" in ran.err


def test_no_command_prints_the_help(run_cli: Run) -> None:
    ran = run_cli()
    assert ran.status in (0, EXIT_USAGE)
    assert "Usage: nsagent" in ran.out + ran.err


def test_an_error_is_one_line(run_cli: Run) -> None:
    ran = run_cli("scan", "--from", "/nowhere")
    assert (ran.status, ran.out) == (EXIT_FAILED, "")
    assert ran.err == "nsagent: /nowhere: cannot be read: No such file or directory\n"


def test_debug_shows_the_traceback_of_an_error(run_cli: Run) -> None:
    ran = run_cli("scan", "--from", "/nowhere", "--debug")
    assert ran.status == EXIT_FAILED
    assert ran.err.startswith("Traceback (most recent call last):")
    assert ran.err.endswith("nsagent: /nowhere: cannot be read: No such file or directory\n")


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("true", True), ("0", False), ("false", False), ("", False)])
def test_debug_may_be_set_by_its_variable(
    run_cli: Run, monkeypatch: pytest.MonkeyPatch, value: str, shown: bool
) -> None:
    monkeypatch.setenv("NSAGENT_DEBUG", value)
    assert ("Traceback" in run_cli("scan", "--from", "/nowhere").err) is shown


def test_hostile_names_reach_the_terminal_escaped_in_an_error_too(run_cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(encode_capture(facts([], [netns(mounts=("/run/netns/we\x1b[31m\nb",))])))
    ran = run_cli("scan", "--from", path, "--netns", "we[31mb")
    assert (ran.status, ran.out) == (EXIT_NOT_FOUND, "")
    assert "near names" in ran.err
    assert "\x1b" not in ran.err
    assert ran.err.count("\n") == 1


def test_a_run_leaves_no_fd(on_node: Run) -> None:
    before = len(os.listdir("/proc/self/fd"))
    on_node("scan")
    assert len(os.listdir("/proc/self/fd")) == before


def test_garbage_is_not_collected_during_a_run(on_node: Run) -> None:
    gc.enable()
    on_node("scan")
    assert not gc.isenabled()


FINALIZED = """
import sys
from nsagent.cli.app import run

class Dying:
    def __del__(self):
        raise {}("of a finalizer")

sys.exit(run(sys.argv[1:], prepare=lambda _: Dying() and None))
"""


@pytest.mark.parametrize(("error", "told"), [("KeyboardInterrupt", ""), ("ValueError", "ValueError: of a finalizer")])
def test_an_interrupt_in_a_finalizer_is_no_traceback(error: str, told: str, node_capture: Path) -> None:
    command = [sys.executable, "-c", FINALIZED.format(error), "scan", "--from", str(node_capture), "-o", "name"]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr.strip().rpartition("\n")[2]) == (0, told)


@pytest.fixture
def large(tmp_path: Path) -> str:
    """A tree with more rows than a pipe holds."""
    tree = ProcTree(tmp_path / "proc")
    rows = "".join(listen_row(port, 100_000 + port) for port in range(1, 5000))
    net = {
        "sockstat": BUSY_SOCKSTAT.replace("UDP: inuse 1", "UDP: inuse 0"),
        "sockstat6": EMPTY_SOCKSTAT6,
        "tcp": TCP_HEADER + rows,
    }
    tree.process(10, "w\u00f6rker\udcff", net=net, fds={3: "socket:[100001]"})
    return tree.path


@pytest.mark.parametrize("format_", ["table", "json", "jsonl", "yaml", "csv", "name"])
def test_a_reader_that_closes_the_pipe_early_ends_it_quietly(large: str, format_: str) -> None:
    with subprocess.Popen(
        [*SCAN_NODE, large, "-o", format_], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert (process.stderr.read(), process.wait(30)) == (b"", 0)


def test_a_full_disk_is_one_line_and_no_traceback() -> None:
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [*SCAN_NODE, str(NODE)], stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=30, check=False
        )
    assert ran.returncode == EXIT_FAILED
    assert ran.stderr.startswith(b"nsagent: ")
    assert ran.stderr.count(b"\n") == 1


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "iso-8859-1"])
def test_names_of_any_bytes_are_printed_whatever_stdout_can_hold(large: str, encoding: str) -> None:
    ran = subprocess.run(
        [*SCAN_NODE, large, "--pid", "10"],
        capture_output=True,
        env=environment(PYTHONIOENCODING=encoding),
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"rker" in ran.stdout


def test_what_a_command_does_not_need_is_not_imported() -> None:
    program = "import sys; from nsagent.cli.app import run; run(['--version']); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=True
    )
    modules = done.stdout
    assert [name for name in ("'docker'", "'pyroute2'", "'pydantic'", "'yaml'", "'rich'") if name in modules] == []
