"""Live: a state is what its table says, and nsagent tells all of it and nothing else."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.sandbox import ROOT, Request, find_missing_capability, run_inside
from tests.bench.states import STATES
from tests.bench.tools import PATH

MARK = "NSAGENT_BENCH_MARK"
PERFECT = {"recall": 1.0, "precision": 1.0}
SCALED = ["small", "node"] if os.environ.get("NSAGENT_TEST_SCALE") == "full" else ["small"]


@pytest.fixture(autouse=True)
def _capable() -> None:
    """Skip, or fail where everything is required, unless this machine can make states."""
    missing = find_missing_capability()
    if missing:
        lack(missing)


def lack(capability: str) -> None:
    reason = f"missing capability: {capability}"
    if os.environ.get("NSAGENT_TEST_REQUIRE") == "all":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def run_tool(state: str, tool: str, *, runs: int = 1) -> dict[str, Any]:
    """The record of a tool that ran in the state and did not fail."""
    record: dict[str, Any] = run_inside(Request(state, [tool], runs))["tools"][tool]
    assert record["failed"] is None
    return record


def rightness(record: dict[str, Any], what: str) -> dict[str, float]:
    return {name: record["score"][what][name] for name in PERFECT}


@pytest.mark.parametrize("state", SCALED)
def test_nsagent_tells_every_socket_and_every_owner_and_no_other(state: str) -> None:
    record = run_tool(state, "scan", runs=3)
    assert rightness(record, "sockets") == PERFECT
    assert rightness(record, "owners") == PERFECT


@pytest.mark.parametrize("state", SCALED)
def test_the_kernel_lists_exactly_the_rows_of_the_state(state: str) -> None:
    """The C bound counts what the tables and the fd links hold."""
    counts = dict(re.findall(r"(\w+)=(\d+)", run_tool(state, "bound")["printed"]))
    assert int(counts["rows"]) == STATES[state].rows
    assert int(counts["matched"]) == STATES[state].owner_pairs


def test_ss_confirms_the_ground_truth() -> None:
    if shutil.which("ss", path=PATH) is None or shutil.which("nsenter", path=PATH) is None:
        lack("ss and nsenter")
    record = run_tool("small", "ss")
    assert rightness(record, "sockets") == PERFECT
    assert rightness(record, "owners") == PERFECT


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    token = secrets.token_hex(8)
    monkeypatch.setenv(MARK, token)
    run_tool("small", "bound")
    assert list_traces(token) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_by_a_run_that_is_ended(number: signal.Signals) -> None:
    token = secrets.token_hex(8)
    command = [sys.executable, "-m", "tests.bench", "--states", "large", "--peers", ""]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, MARK: token}, stdout=subprocess.DEVNULL) as run:
        await_traces(token, "tests.bench.inside")
        run.send_signal(number)
    deadline = time.monotonic() + 120
    while list_traces(token) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list_traces(token) == []


def await_traces(token: str, word: str) -> None:
    """Return once a process of the run has `word` in its command line."""
    deadline = time.monotonic() + 120
    while not any(word in trace for trace in list_traces(token)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def list_traces(token: str) -> list[str]:
    """The benchmark's mounts that can be seen from here, and the command lines of the run with this token.

    Holders are not marked, but end with the PID 1 of their namespace, which is.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        found = [line for line in lines if "nsagent-bench" in line]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if token.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
        except OSError:
            continue
    return found
