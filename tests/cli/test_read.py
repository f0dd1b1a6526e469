"""A pass as a command makes it: what it is told to ask, and that it ends when it is told to."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsagent.cli.options import Host, Source
from nsagent.cli.read import read
from nsagent.errors import EXIT_INTERRUPTED
from nsagent.model.gap import Stage
from nsagent.scan.capture_file import read_capture
from nsagent.scan.take import take_facts
from tests.cli.conftest import NODE, Run
from tests.cli.test_app import environment
from tests.kernel.proc_tree import ProcTree

HOST = Host(runtime="none", proc_root=NODE)


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
    host = HOST._replace(runtime=f"docker=unix://{tmp_path}/engine.sock")
    facts = read(take_facts, host.make_request(), host, labels_wanted=False)
    assert facts.process_counts.ok == 8
    assert [gap.stage for gap in facts.gaps] == ["names"]
    assert facts.duration_seconds < 4


def test_nobody_is_asked_for_names_where_a_capture_is_read(node_capture: Path) -> None:
    source = Source(Host(runtime="no engine at all"), from_file=node_capture)
    assert len(read(take_facts, source.make_request(), source.host, labels_wanted=False).processes) == 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_mean_what_they_meant_before_a_pass(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    read(take_facts, HOST.make_request(), HOST, labels_wanted=False)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["scan"], False),
        (["scan", "-l", "app=web"], True),
        (["scan", "-n", "shop"], False),
        (["containers"], False),
        (["containers", "--columns", "id,labels"], True),
        (["containers", "-o", "json", "--sort-by", "-labels"], True),
        (["capture"], True),
    ],
)
def test_cri_is_asked_for_labels_only_where_they_are_wanted(
    run_cli: Run, tmp_path: Path, arguments: list[str], asked: bool
) -> None:
    """Beside bundles; its engine is dead, so that a pass that asks it has a gap."""
    tree = ProcTree(tmp_path / "proc")
    tree.process(10)
    (tmp_path / "run/containerd/io.containerd.runtime.v2.task").mkdir(parents=True)
    (tmp_path / "run/crio").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run/crio/crio.sock"))
    kept = tmp_path / "kept"
    keeping = [kept] if arguments == ["capture"] else ["--capture", kept]
    assert run_cli(*arguments, *keeping, "--host-root", tmp_path, "--proc-root", tree.path).status == 0
    assert (Stage.NAMES in {gap.stage for gap in read_capture(kept).gaps}) is asked
