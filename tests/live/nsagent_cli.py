"""Running the real command line, and reading the JSON of a scan."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

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

    @property
    def is_named(self) -> bool:
        """Whether each engine that was asked has answered in its time."""
        return not any((gap["stage"], gap["kind"]) == ("names", "source") for gap in self.coverage["gaps"])

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


def run_in_time(run: Callable[[], Ran], seconds: float) -> Ran:
    """The first of several runs that took no longer than that: a busy machine has its moments.

    Raises AssertionError if none did.
    """
    taken: list[float] = []
    while len(taken) < ATTEMPTS:
        ran = run()
        if ran.seconds <= seconds:
            return ran
        taken.append(ran.seconds)
    raise AssertionError(f"{taken} s, allowed are {seconds}")


def run_scan(*arguments: str, command: Iterable[str] = NSAGENT, env: Mapping[str, str] | None = None) -> Scan:
    """The snapshot that `nsagent scan -o json` prints; fails the test unless it exits 0."""
    ran = run_nsagent("scan", "-o", "json", *arguments, command=command, env=env)
    assert ran.status == 0, f"exit {ran.status}: {ran.stderr}"
    return Scan(json.loads(ran.stdout))


def run_named_scan(*arguments: str) -> Scan:
    """The first of several scans that every engine has answered in its two seconds; else the last of them."""
    for _ in range(ATTEMPTS):
        scan = run_scan(*arguments)
        if scan.is_named:
            break
    return scan


def owners_in(socket: Socket) -> dict[int, list[int]]:
    """Who holds this row, and at which fds: {pid: fds}."""
    return {owner["pid"]: owner["fds"] for owner in socket["owners"]}


def verdict_kind(socket: Socket) -> str | None:
    """Why the row has no owner; None if it has one."""
    return socket["verdict"]["kind"] if socket["verdict"] is not None else None
