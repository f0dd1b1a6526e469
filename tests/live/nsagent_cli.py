"""Running the real command line, and reading the JSON of a scan."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.live.deadlines import until
from tests.live.rows import Row, parse_scan_row, sort_rows

RUN_SECONDS = 120.0
ATTEMPTS = 5
NSAGENT = (sys.executable, "-m", "nsagent")
_FOREIGN_SETTINGS = ("NSAGENT_", "DOCKER_", "CONTAINER_")

Socket = Mapping[str, Any]


class Ran(NamedTuple):
    """How one run of the command ended."""

    status: int
    stdout: bytes
    stderr: str
    seconds: float

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr."""
        return self.stderr.splitlines()

    @property
    def is_answered(self) -> bool:
        """Whether each engine that was asked has answered in its two seconds."""
        return "no answer within" not in self.stderr


class Scan:
    """The JSON of one scan."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.sockets: Sequence[Socket] = document["sockets"]
        self.netns: Sequence[Mapping[str, Any]] = document["netns"]
        self.containers: Sequence[Mapping[str, Any]] = document["containers"]
        self.coverage: Mapping[str, Any] = document["coverage"]

    def of_netns(self, *numbers: int) -> list[Socket]:
        """The sockets in these netns."""
        return [socket for socket in self.sockets if socket["netns"] in numbers]

    def rows_of_netns(self, number: int) -> list[Row]:
        """The same, comparable with those of ss."""
        return sort_rows([parse_scan_row(socket) for socket in self.of_netns(number)])

    def one(self, inode: int) -> Socket:
        """The only row with this inode."""
        found = [socket for socket in self.sockets if socket["inode"] == inode]
        assert len(found) == 1, f"{len(found)} rows have inode {inode}"
        return found[0]

    def find_netns(self, inode: int) -> Mapping[str, Any] | None:
        """The entry of a netns."""
        return next((entry for entry in self.netns if entry["inode"] == inode), None)


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment without what would steer nsagent, and with `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_SETTINGS)}
    return {**kept, "NO_COLOR": "1", **settings}


def run_nsagent(
    *arguments: str,
    command: Iterable[str] = NSAGENT,
    env: Mapping[str, str] | None = None,
    seconds: float = RUN_SECONDS,
) -> Ran:
    """Run nsagent to its end; a traceback on stderr fails the test whatever it looks for."""
    started = time.monotonic()
    done = subprocess.run(
        [*command, *arguments],
        env=dict(clean_environment() if env is None else env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    stderr = done.stderr.decode(errors="backslashreplace")
    assert "Traceback" not in stderr, stderr
    return Ran(done.returncode, done.stdout, stderr, time.monotonic() - started)


def run_in_time(run: Callable[[], Ran], seconds: float, *, usual: Callable[[], Ran] | None = None) -> Ran:
    """The first of several runs that took no longer than that: a busy machine has its moments.

    `seconds` are beyond what a `usual` run takes, just before. Raises AssertionError if none was in time.
    """
    taken: list[str] = []
    while len(taken) < ATTEMPTS:
        allowed = seconds + (usual().seconds if usual else 0.0)
        ran = run()
        if ran.seconds <= allowed:
            return ran
        taken.append(f"{ran.seconds:.2f} s, allowed were {allowed:.2f}")
    raise AssertionError("; ".join(taken))


def run_scan(*arguments: str, command: Iterable[str] = NSAGENT, env: Mapping[str, str] | None = None) -> Scan:
    """The snapshot that `nsagent scan -o json` prints; fails the test unless it exits 0."""
    return read_scan(run_nsagent("scan", "-o", "json", *arguments, command=command, env=env))


def read_scan(ran: Ran) -> Scan:
    """What a run has printed as JSON; fails the test unless it has exited 0."""
    assert ran.status == 0, f"exit {ran.status}: {ran.stderr}"
    return Scan(json.loads(ran.stdout))


def run_answered(*arguments: str, env: Mapping[str, str] | None = None) -> Ran:
    """The first run that every engine has answered in its time, from which a busy machine may keep it."""

    def run() -> Ran | None:
        ran = run_nsagent(*arguments, env=env)
        return ran if ran.is_answered else None

    ran = until(run, "every engine answers in its time")
    assert ran is not None
    return ran


def run_named_scan(*arguments: str, env: Mapping[str, str] | None = None) -> Scan:
    """The same of a scan as JSON."""
    return read_scan(run_answered("scan", "-o", "json", *arguments, env=env))


def owners_in(socket: Socket) -> dict[int, list[int]]:
    """Who holds this row, and at which fds: {pid: fds}."""
    return {owner["pid"]: owner["fds"] for owner in socket["owners"]}


def verdict_kind(socket: Socket) -> str | None:
    """Why the row has no owner; None if it has one."""
    return socket["verdict"]["kind"] if socket["verdict"] is not None else None
