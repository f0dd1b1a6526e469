"""Every system call of a scan fails once: nothing is invented, nothing is lost without a word, nothing hangs.

A scan is forked with all its modules loaded, strace is attached, and the K-th call of one name fails in each
thread. What the interpreter itself cannot do without is left out: memory, threads' locks, signals.
"""

import json
import os
import re
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.live.capabilities import PATH, Capability, require, trials
from tests.live.closed_bed import ClosedBed
from tests.live.coverage import is_whole
from tests.live.deadlines import until
from tests.live.nsagent_cli import Scan, owners_in

pytestmark = pytest.mark.timeout(2400)

FORKS: Final = os.path.join(os.path.dirname(__file__), "fault_forks.py")
CAPTURE: Final = Path(__file__).parent.parent.parent / "fixtures/captures/plain.json.gz"
ALL_ERRNOS: Final = (
    "EPERM", "ENOMEM", "EACCES", "EMFILE", "ENFILE", "EIO", "EINTR", "EAGAIN", "EINVAL", "ENOSYS", "ENOBUFS", "EFAULT",
)  # fmt: skip
"""Not ENOENT and ESRCH, by which the kernel tells that something is gone."""
ERRNOS: Final = ALL_ERRNOS[: trials(default=2, full=len(ALL_ERRNOS))]
MOST_OF_A_NAME: Final = trials(default=12, full=100_000)
"""So many calls of one name fail, spread over all of them."""

OF_THE_INTERPRETER: Final = frozenset((
    "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "set_robust_list", "rseq", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "clone", "clone3", "exit", "exit_group", "gettid", "getpid",
    "sched_yield", "clock_gettime", "clock_nanosleep", "restart_syscall", "wait4",
))  # fmt: skip
SECONDS: Final = 60.0


class Faulted(NamedTuple):
    """How a scan ended of which some call failed; `answer` is None where it printed none."""

    status: int
    answer: Scan | None
    stderr: str


class Forks:
    """Makes scans that can be traced from their first call on."""

    def __init__(self, bed: ClosedBed, tmp_path: Path) -> None:
        self._bed = bed
        self._out, self._err, self._trace = (tmp_path / name for name in ("out", "err", "trace"))
        gate, self._gate = os.pipe()
        self._process = subprocess.Popen(
            [*bed.enter, sys.executable, FORKS, os.fspath(CAPTURE), str(gate)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[gate],
        )  # fmt: skip
        os.close(gate)
        assert self._listen() == "ready\n"

    def run(self, *options: str) -> Faulted:
        """One scan under strace with these options."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._out}\t{self._err}\n")
        self._process.stdin.flush()
        pid = self._listen().strip()
        with subprocess.Popen(
            [*self._bed.enter, "strace", "-f", "-qq", "-o", self._trace, *options, "-p", pid],
            stderr=subprocess.DEVNULL, env={**os.environ, "PATH": PATH},
        ) as strace:  # fmt: skip
            until(lambda: self._is_traced(pid), "strace has attached")
            os.write(self._gate, b"x")
            status = int(self._listen())
            strace.wait(SECONDS)
        text = self._out.read_text("utf-8")
        return Faulted(status, Scan(json.loads(text)) if text.endswith("}\n") else None, self._err.read_text("utf-8"))

    def count_calls(self) -> Counter[str]:
        """How often each call is made, by the thread that makes it most often."""
        self.run("-e", "trace=all")
        calls: Counter[tuple[str, str]] = Counter()
        for line in self._trace.read_text("utf-8", "replace").splitlines():
            if match := re.match(r"(\d+) +([a-z0-9_]+)\(", line):
                calls[match[2], match[1]] += 1
        most: Counter[str] = Counter()
        for (name, _), count in calls.items():
            most[name] = max(most[name], count)
        return most

    def close(self) -> None:
        """End the program that forks."""
        os.close(self._gate)
        self._process.kill()
        self._process.communicate()

    def _listen(self) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], SECONDS)
        assert ready, "a scan hangs"
        return self._process.stdout.readline()

    def _is_traced(self, pid: str) -> bool:
        with open(f"{self._bed.root}/proc/{pid}/status", encoding="utf-8") as status:
            return "TracerPid:\t0\n" not in status.read()


@pytest.fixture
def forks(closed_bed: ClosedBed, tmp_path: Path) -> Iterator[Forks]:
    require(Capability.STRACE)
    made = Forks(closed_bed, tmp_path)
    try:
        yield made
    finally:
        made.close()


def place(bed: ClosedBed) -> None:
    """Sockets of several kinds in the netns of PID 1, in one with a name, and in one that has only a name."""
    for actor in (bed.netns_bed.actor(), bed.netns_bed.stage()[1]):
        actor.pair(actor.listen())
    named = bed.netns_bed.named()
    _, mover = bed.netns_bed.stage()
    mover.ask("enter_netns", path=named.path)
    mover.listen()


Owned = dict[int, dict[int, list[int]]]


def owned(scan: Scan) -> Owned:
    """Inode to {pid: fds}, of the rows that somebody can hold."""
    return {socket["inode"]: owners_in(socket) for socket in scan.sockets if socket["inode"]}


def list_faults(found: Faulted, truth: Owned) -> Iterator[str]:
    """What is wrong with an answer; a row without its owners is right if the answer says that something is missing."""
    if "Traceback" in found.stderr:
        yield f"a traceback: {found.stderr.splitlines()[-1]}"
    if found.answer is None:
        if found.status not in (1, 2, 4) or not found.stderr:
            yield f"no answer, status {found.status}: {found.stderr[:200]!r}"
        return
    rows = owned(found.answer)
    for inode, owners in rows.items():
        if not owners.items() <= truth.get(inode, {}).items():
            yield f"inode {inode} has the owners {owners}, not {truth.get(inode)}"
    if rows != truth and is_whole(found.answer.coverage):
        yield f"complete, and {sum(rows.get(inode) != owners for inode, owners in truth.items())} rows are not whole"


def spread(count: int) -> list[int]:
    """The first calls, and others up to the last."""
    if count <= MOST_OF_A_NAME:
        return list(range(1, count + 1))
    return sorted({1 + round(step * (count - 1) / (MOST_OF_A_NAME - 1)) for step in range(MOST_OF_A_NAME)})


def test_every_call_that_fails_once_is_told_or_costs_nothing(closed_bed: ClosedBed, forks: Forks) -> None:
    place(closed_bed)
    whole = forks.run("-e", "trace=none")
    assert whole.answer is not None
    assert is_whole(whole.answer.coverage)
    truth = owned(whole.answer)
    calls = {name: count for name, count in forks.count_calls().items() if name not in OF_THE_INTERPRETER}
    wrong, tried = [], 0
    for name, count in sorted(calls.items()):
        for at in spread(count):
            for errno in ERRNOS:
                found = forks.run("-e", f"trace={name}", "-e", f"inject={name}:error={errno}:when={at}")
                wrong += [f"{name} {at} {errno}: {fault}" for fault in list_faults(found, truth)]
                tried += 1
    print(f"{tried} faults in {len(calls)} system calls")
    assert not wrong, "\n".join(wrong)
