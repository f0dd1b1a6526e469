"""nsagent watch as it runs, and the lines that it prints."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.live.nsagent_cli import NSAGENT, clean_environment

Event = dict[str, Any]
_SECONDS = 60.0


class Watch:
    """A running `nsagent watch -o jsonl`; a context manager, which has begun once it is entered."""

    def __init__(self, *arguments: str, command: Sequence[str] = NSAGENT) -> None:
        self._command = [
            *command,
            "watch",
            "-o",
            "jsonl",
            *(arguments if "--runtime" in arguments else ("--runtime", "none", *arguments)),
        ]
        self.head: Event = {}
        self.events: list[Event] = []
        """Those that were waited for, and all before."""
        self.err = ""
        """What it has said on stderr, once it has ended."""

    def __enter__(self) -> "Watch":
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(), bufsize=0
        )
        self._rest = b""
        self.head = self._read_line()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_for(self, is_it: Callable[[Event], bool], what: str) -> Event:
        """The first event that it is; fails where there is none in time."""
        for event in self.events:
            if is_it(event):
                return event
        while True:
            try:
                event = self._read_line()
            except (TimeoutError, EOFError) as err:
                raise AssertionError(
                    f"{what} was not told; {len(self.events)} events, the last: {self.events[-5:]}"
                ) from err
            self.events.append(event)
            if is_it(event):
                return event

    def of_pid(self, pid: int) -> list[tuple[str, str | None]]:
        """What was told of a process so far, and by which name."""
        return [
            (each["event"], each["comm"]) for each in self.events if each["type"] == "process" and each["pid"] == pid
        ]

    def end(self, number: int = signal.SIGINT) -> int:
        """Its status after this signal, which may cut off the last line: no reader took the rest of it."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=_SECONDS)
        whole, _, _ = (self._rest + out).rpartition(b"\n")
        self.events += map(json.loads, whole.splitlines())
        self.err = err.decode()
        return self.process.returncode

    def _read_line(self) -> Event:
        assert self.process.stdout is not None
        until = time.monotonic() + _SECONDS
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(until - time.monotonic(), 0))
            if not ready:
                raise TimeoutError
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                raise EOFError(self.process.communicate()[1].decode())
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        event: Event = json.loads(line)
        return event


def is_exit(pid: int) -> Callable[[Event], bool]:
    """Whether an event is the end of this process."""
    return lambda event: event["event"] == "exit" and event["pid"] == pid


def is_of_port(event_name: str, port: int) -> Callable[[Event], bool]:
    """Whether an event of this name is of a socket with this local port."""
    return lambda event: event["event"] == event_name and event["socket"]["local"]["port"] == port
