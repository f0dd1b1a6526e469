"""How the command behaves towards its terminal, its pipe and whoever interrupts it."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.live.closed_bed import ClosedBed
from tests.live.coverage import own_complaints
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import NSAGENT, Ran, clean_environment, run_in_time, run_nsagent, run_scan

HOSTILE_COMM = "\x1b[2J\n) R 1 \x9b"
CONTROLS = set(map(chr, (*range(32), *range(0x7F, 0xA0)))) - {"\n"}
BUDGET_SECONDS = 2.0
NOISE_SECONDS = 0.5
AT_ONCE_SECONDS = 1.5


@pytest.fixture
def silent_engine(tmp_path: Path) -> Iterator[tuple[str, threading.Event]]:
    """The URL of an engine that takes one connection after the other and never answers, and when it has one."""
    path = os.fspath(tmp_path / "silent.sock")
    asked, over = threading.Event(), threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(8)

        def accept() -> None:
            while not over.is_set():
                taken, _ = listener.accept()
                asked.set()
                with taken:
                    while taken.recv(4096):
                        continue

        waiter = threading.Thread(target=accept)
        waiter.start()
        yield f"unix://{path}", asked
        over.set()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(path)
        waiter.join()


def start_scan(*arguments: str, enter: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*enter, *NSAGENT, "scan", *arguments],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_scan_ends_at_once_and_says_nothing_wrong(
    silent_engine: tuple[str, threading.Event], number: signal.Signals
) -> None:
    url, asked = silent_engine

    def interrupt() -> Ran:
        asked.clear()
        with start_scan("-o", "json", "--runtime", f"docker={url}") as scan:
            assert asked.wait(60)
            sent = time.monotonic()
            scan.send_signal(number)
            stdout, stderr = scan.communicate()
        return Ran(scan.returncode, stdout, stderr.decode(), time.monotonic() - sent)

    ran = run_in_time(interrupt, AT_ONCE_SECONDS)
    assert (ran.status, ran.stdout) == (130, b""), ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_engine_that_never_answers_costs_names_and_two_seconds(silent_engine: tuple[str, threading.Event]) -> None:
    url, asked = silent_engine
    ran = run_in_time(
        lambda: run_nsagent("scan", "-o", "json", "--runtime", f"docker={url}"),
        BUDGET_SECONDS + NOISE_SECONDS,
        usual=lambda: run_nsagent("scan", "-o", "json", "--runtime", "none"),
    )
    assert asked.is_set()
    assert ran.status == 0
    gaps = json.loads(ran.stdout)["coverage"]["gaps"]
    assert [gap["stage"] for gap in gaps if url in gap["subject"]] == ["names"]
    assert len([line for line in ran.complaints if url in line]) == 1, ran.stderr


@pytest.mark.parametrize("output", ["table", "json", "jsonl", "csv"])
def test_a_pipe_closed_after_the_first_line_ends_quietly(closed_bed: ClosedBed, output: str) -> None:
    _, actor = closed_bed.netns_bed.stage()
    actor.listen_many(2000)
    with start_scan("--runtime", "none", "-o", output, enter=closed_bed.enter) as scan:
        assert scan.stdout is not None
        assert scan.stderr is not None
        assert os.read(scan.stdout.fileno(), 10) != b""
        scan.stdout.close()
        stderr = scan.stderr.read().decode()
    assert own_complaints(stderr.splitlines()) == []


@pytest.mark.parametrize("output", ["table", "wide", "csv"])
def test_a_hostile_comm_never_reaches_the_terminal_raw(bed: NetnsBed, output: str) -> None:
    _, actor = bed.stage()
    actor.ask("rename", comm=HOSTILE_COMM)
    actor.listen_many(3)
    ran = run_nsagent("scan", "-o", output, "--pid", str(actor.pid))
    text = ran.stdout.decode().replace("\r\n", "\n") if output == "csv" else ran.stdout.decode()
    assert not CONTROLS & set(text)
    lines = text.splitlines()
    assert len(lines) == 1 + 3
    assert all(r"\x1b[2J\x0a) R 1 \x9b" in line for line in lines[1:])


def test_json_keeps_a_hostile_comm_as_it_is(bed: NetnsBed) -> None:
    _, actor = bed.stage()
    actor.ask("rename", comm=HOSTILE_COMM)
    held = actor.listen()
    (owner,) = run_scan().one(held.inode)["owners"]
    assert (owner["pid"], owner["comm"]) == (actor.pid, "\x1b[2J\n) R 1 \\x9b")


def test_a_table_in_a_pipe_has_no_colour_and_is_not_cut(bed: NetnsBed) -> None:
    _, actor = bed.stage()
    held = actor.listen("::1", family="ipv6")
    env = {name: value for name, value in clean_environment().items() if name != "NO_COLOR"}
    ran = run_nsagent("scan", "--pid", str(actor.pid), env={**env, "COLUMNS": "20", "TERM": "xterm-256color"})
    header, row = ran.stdout.decode().splitlines()
    assert header.split() == ["NETNS", "PROTO", "STATE", "LOCAL", "REMOTE", "PID", "COMMAND", "CONTAINER", "POD"]
    assert f"[::1]:{held.port}" in row
    assert "\x1b" not in ran.stdout.decode()
