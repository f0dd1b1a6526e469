"""Running commands in this process, with nothing of its environment."""

import gc
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from nsagent.cli.app import run
from nsagent.scan.capture import encode_capture
from tests.kernel.rows import FIXTURES
from tests.scan.collect.passes import run_pass

NODE = FIXTURES / "proc" / "node"


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def unchanged_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside; what a command sets for the whole process is set back."""
    for name in os.environ:
        if name.startswith(("NSAGENT_", "DOCKER_", "CONTAINER_")) or name in ("NO_COLOR", "TERM", "COLUMNS"):
            monkeypatch.delenv(name)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    gc.enable()


def run_with_stdin(*arguments: str, data: bytes | None) -> subprocess.CompletedProcess[bytes]:
    """`nsagent ARGUMENTS` in a process of its own, which reads this, or from /dev/null."""
    command = [sys.executable, "-m", "nsagent", *arguments]
    if data is None:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `nsagent ARGUMENTS` in this process."""

    def run_it(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        return Ran(status, *capsys.readouterr())

    return run_it


@pytest.fixture
def on_node(run_cli: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same, reading the node of fixtures/proc and asking no engine for names."""
    monkeypatch.setenv("NSAGENT_PROC_ROOT", str(NODE))
    monkeypatch.setenv("NSAGENT_RUNTIME", "none")
    return run_cli


@pytest.fixture(scope="session")
def node_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture of that node."""
    path = tmp_path_factory.mktemp("capture") / "node.capture"
    path.write_bytes(encode_capture(run_pass(str(NODE))))
    return path
