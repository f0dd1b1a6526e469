"""An agent in a closed bed, looked at from outside again and again: what it holds, and whether that grows."""

import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.live.agent_bed import AgentBed, Status
from tests.live.closed_bed import ClosedBed, read_report
from tests.live.deadlines import until

PEER = os.path.join(os.path.dirname(__file__), "soak_peer.py")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ANON = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


class Reading(NamedTuple):
    """What the agent held at one moment."""

    seconds: float
    """Of the monotonic clock."""
    passes: int
    anon_bytes: int
    """Of its memory in RAM, what is of no file."""
    fds: int
    nsfs_fds: int
    threads: int
    away: int
    """Threads that are in another netns than the first one, as they are while they read it."""


class SoakBed:
    """A closed bed and an agent in it."""

    def __init__(self, closed: ClosedBed, directory: Path, token: str) -> None:
        self.closed = closed
        self.agent = AgentBed(directory, token, enter=closed.enter)
        self.readings: list[Reading] = []
        self.pid = 0
        """Of the agent, as the test sees it."""

    def start(self) -> None:
        """Start the agent and wait for its first pass."""
        try:
            self.agent.start()
        finally:
            entered = self.agent.pid  # nsenter, which waits for it.
            children = Path(f"/proc/{entered}/task/{entered}/children").read_text(encoding="ascii").split()
            self.pid = int(children[0]) if children else 0

    def end(self) -> tuple[int, float]:
        """End the agent by SIGTERM: its exit status, and how long that took. A traceback fails the test."""
        started = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        status, _ = self.agent.end(0)  # Signal 0 does nothing to nsenter.
        self.pid = 0
        return status, time.monotonic() - started

    def close(self) -> None:
        """End the agent in any case."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.agent.close()

    def look(self) -> Status:
        """How it fares, by its own status; what it holds is noted."""
        status = self.agent.tell_status()
        self.readings.append(read_agent(self.pid, status["passes"]))
        return status

    def await_passes(self, count: int) -> None:
        """Wait for so many more passes, and look at it meanwhile."""
        wanted = self.look()["passes"] + count
        until(lambda: self.look()["passes"] >= wanted, f"{count} passes")

    @property
    def own_netns(self) -> int:
        """That the agent is in: that of its first thread, and of the others but while they read another one."""
        return os.stat(f"/proc/{self.pid}/ns/net").st_ino

    def list_zombies(self) -> list[str]:
        """Children of the agent that have ended and that it has not waited for."""
        children: list[str] = []
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):
                children += Path(f"/proc/{self.pid}/task/{tid}/children").read_text(encoding="ascii").split()
        return [child for child in children if is_zombie(child)]

    def start_peer(self, kind: str, port: int) -> Callable[[], bytes]:
        """Run soak_peer.py in the bed; what ends it, and returns what it has said."""
        process = self.closed.start(sys.executable, "-I", PEER, kind, str(port))
        read_report(process, "ready")

        def end() -> bytes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            said = process.stdout.read()
            process.wait(60)
            return said

        return end


def is_zombie(pid: str) -> bool:
    """Whether a process has ended, and nobody has waited for it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return False


def read_agent(pid: int, passes: int) -> Reading:
    """What a process holds now (proc_pid_status(5), proc_pid_fd(5))."""
    links = list_links(f"/proc/{pid}/fd", "")
    match = _ANON.search(Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace"))
    assert match is not None
    netns = list_links(f"/proc/{pid}/task", "ns/net")
    return Reading(
        seconds=time.monotonic(),
        passes=passes,
        anon_bytes=int(match[1]) * 1024,
        fds=len(links),
        nsfs_fds=sum(link.startswith("net:[") for link in links),
        threads=len(netns),
        away=sum(link != os.readlink(f"/proc/{pid}/ns/net") for link in netns),
    )


def list_links(directory: str, below: str) -> list[str]:
    """What the links of a directory lead to, or those `below` its entries; without what is gone by then.

    A thread that ends may not be looked at any more once it has let go of its memory (kernel/exit.c do_exit()).
    """
    links = []
    for name in os.listdir(directory):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            links.append(os.readlink(os.path.join(directory, name, below).rstrip("/")))
    return links


def find_slope(readings: Sequence[Reading]) -> float:
    """Of the memory, in bytes a second, by least squares."""
    fit = statistics.linear_regression([one.seconds for one in readings], [float(one.anon_bytes) for one in readings])
    return fit.slope


def find_floors(readings: Sequence[Reading]) -> dict[str, int]:
    """The least number of fds, of those on netns, of threads, and of those that are away: what stays between passes."""
    return {name: min(getattr(one, name) for one in readings) for name in ("fds", "nsfs_fds", "threads", "away")}
