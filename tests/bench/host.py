"""A state as a running host: made by holder.c in namespaces of its own, and gone with them.

Runs as PID 1 of an own PID, mount and network namespace (sandbox.py makes them). Everything that it
starts, mounts and writes lies in those, so nothing can outlive this process.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from tests.bench.states import State
from tests.bench.tools import HERE, PATH, NetnsPath
from tests.live.bed_init import hide_netns, list_netns_mounts

WORK: Final = "/run/nsagent-bench"
MOUNTS: Final = "/run/netns"
LIMIT_SECONDS: Final = 300.0
ENVIRONMENT: Final = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "TMPDIR": WORK}

TIME_WAIT_RENEWAL_SECONDS: Final = 10.0
"""The kernel keeps a TIME_WAIT row 60 s: one that is renewed after 10 s outlasts a scan of 50 s."""

SETTLE_SECONDS: Final = 0.05
"""The last ACK of a connection over loopback is handled after the call that caused it."""


def end_with_starter() -> None:
    """From now on this process, and all that is in its namespaces, ends when its stdin is closed.

    It may have been before: a signal for when the parent dies (PR_SET_PDEATHSIG) is too late where it died before
    that was asked for.
    """

    def wait() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def isolate() -> None:
    """Hide the machine: no netns of others in mountinfo, an empty /run (no container engine), no traces."""
    hide_netns()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "nsagent-bench", "/run"], check=True)
    os.mkdir(WORK)
    os.mkdir(MOUNTS)


def compile_program(source: str) -> str:
    """The path of the program made from a C file of this directory."""
    program = os.path.join(WORK, source.removesuffix(".c"))
    warnings = ["-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", "-O2", *warnings, "-o", program, str(HERE / source)], env=ENVIRONMENT, check=True)
    return program


class Host:
    """A state that exists: its truth in `truth`, and a path to each of its netns, empty ones last."""

    def __init__(self, state: State) -> None:
        """Make the state; raises RuntimeError if a holder fails or the truth is not as the table says."""
        self.state = state
        self.truth = os.path.join(WORK, "truth.json")
        self._lines = os.path.join(WORK, "truth.lines")
        Path(self._lines).touch()
        self._ready = self._start_holders()
        self._await_ready(state.holders + 1)
        self._renewed_at = time.monotonic()
        summary = self._merge()
        self._makers: list[int] = summary["makers"]
        self.netns = [NetnsPath(inode, f"/proc/{pid}/ns/net") for inode, pid in summary["netns"]]
        self.netns += [NetnsPath(os.stat(path).st_ino, path) for path in list_netns_mounts()]

    def renew(self) -> None:
        """Make the TIME_WAIT rows anew if they are getting old."""
        if not self._makers or time.monotonic() - self._renewed_at < TIME_WAIT_RENEWAL_SECONDS:
            return
        for pid in self._makers:
            os.kill(pid, signal.SIGUSR1)
        self._await_ready(len(self._makers))
        self._renewed_at = time.monotonic()

    def _start_holders(self) -> int:
        """Start the holders; the fd on which they report."""
        state = self.state
        numbers = (
            state.netns,
            state.processes,
            state.plain,
            state.sockets,
            state.waiting,
            state.time_wait,
            state.empty,
            state.movers,
        )
        command = [compile_program("holder.c"), *map(str, numbers), MOUNTS, self._lines]
        read_end, write_end = os.pipe()
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=write_end, env=ENVIRONMENT)
        os.close(write_end)
        return read_end

    def _await_ready(self, count: int) -> None:
        """Wait for the reports of `count` processes."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while count > 0:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._ready], [], [], max(0.0, left))
            reports = os.read(self._ready, count) if readable else b""
            if not reports or b"e" in reports:
                raise RuntimeError(f"{self.state.name}: a holder failed, or took over {LIMIT_SECONDS:.0f} s")
            count -= len(reports)
        time.sleep(SETTLE_SECONDS)

    def _merge(self) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.bench.merge", self.state.name, self._lines, self.truth]
        done = subprocess.run(command, stdout=subprocess.PIPE, env=ENVIRONMENT, check=True)
        summary: dict[str, Any] = json.loads(done.stdout)
        return summary
