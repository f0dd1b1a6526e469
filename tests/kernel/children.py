"""Child processes of live tests: they say when they are ready and end when their stdin does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

SECONDS = 60.0

_PRELUDE = """
import os, socket, sys, threading, time
def ready(text=""):
    print(text, flush=True)
def wait():
    sys.stdin.read()
"""


class Child:
    """A running child and what it said first."""

    def __init__(self, process: "subprocess.Popen[str]", said: str) -> None:
        self.pid = process.pid
        self.said = said
        self._process = process

    def say(self, text: str) -> str:
        """Write it a line; what it says next."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def end(self) -> int:
        """Let it end, and reap it; its exit status."""
        stdin: IO[str] | None = self._process.stdin
        if stdin is not None and not stdin.closed:
            stdin.close()
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        """Kill it, and reap it."""
        self._process.kill()
        self._process.wait(SECONDS)


@contextmanager
def start_child(program: str, *prefix: str) -> Iterator[Child]:
    """Run a Python program that calls ready(TEXT) and then wait(); `prefix` is a command that runs it in place."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", _PRELUDE + program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.endswith("\n"), f"the child ended early, with {process.wait(SECONDS)}"
            child = Child(process, said.rstrip("\n"))
            yield child
            child.end()
        finally:
            process.kill()


IN_NEW_NETNS = ("unshare", "--net", "--")
