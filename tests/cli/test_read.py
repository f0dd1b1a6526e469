"""Where facts come from, and a pass that is told to end."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsagent.cli.read import ReadOptions, read_facts
from nsagent.errors import EXIT_INTERRUPTED, CaptureError
from nsagent.model.choices import EngineName
from tests.cli.conftest import NODE
from tests.cli.test_app import environment

OPTIONS = ReadOptions(proc_root=NODE, runtime="none")


@pytest.fixture
def silent_engine(tmp_path: Path) -> Iterator[socket.socket]:
    """An engine that takes connections and never answers, at tmp_path/engine.sock."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()
        listener.settimeout(20)
        yield listener


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_pass_at_once_without_a_traceback(
    silent_engine: socket.socket, tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "nsagent", "scan", "--proc-root", str(NODE)]
    with subprocess.Popen(
        [*command, "--runtime", f"docker=unix://{tmp_path}/engine.sock"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        connection, _ = silent_engine.accept()
        with connection:
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (EXIT_INTERRUPTED, b"", b"nsagent: interrupted\n")


def test_an_engine_that_never_answers_costs_two_seconds_and_names_alone(
    silent_engine: socket.socket, tmp_path: Path
) -> None:
    assert silent_engine.fileno() >= 0
    options = ReadOptions(proc_root=NODE, runtime=f"docker=unix://{tmp_path}/engine.sock")
    facts = read_facts(options, {})
    assert facts.process_counts.ok == 8
    assert [gap.stage for gap in facts.gaps] == ["names"]
    assert facts.duration_seconds < 4


def test_facts_are_read_from_the_tree_that_is_named() -> None:
    facts = read_facts(OPTIONS, {"NSAGENT_HOST": "node-7"})
    assert (facts.host, facts.engine, len(facts.processes)) == ("node-7", EngineName.AUTO, 8)


def test_facts_are_read_from_a_capture_and_kept_in_another(node_capture: Path, tmp_path: Path) -> None:
    facts = read_facts(ReadOptions(from_file=node_capture, capture=tmp_path / "kept"), {})
    assert read_facts(ReadOptions(from_file=tmp_path / "kept"), {}) == facts


def test_a_capture_that_is_a_directory_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot be read: Is a directory"):
        read_facts(ReadOptions(from_file=tmp_path), {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_mean_what_they_meant_before_a_pass(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    read_facts(OPTIONS, {})
    assert signal.getsignal(number) is before
