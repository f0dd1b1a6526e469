"""Processes as a look at /proc shows them: what to begin with, and what to hold the events against."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from nsagent.errors import FormatError, Gone, NotRead, ProcessGone, UsageError
from nsagent.kernel.details import read_detail
from nsagent.kernel.formats.pid_stat import parse_parent, parse_pid_stat, parse_start_stack
from nsagent.kernel.formats.pid_status import parse_ids
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.ids import Pid
from nsagent.model.process_event import Ids


class Running(NamedTuple):
    """A process that is there, some thread of it at least. None, and a stack of 0, for what is not known."""

    seen_ns: int
    """It was there then, by CLOCK_MONOTONIC: what happened earlier to this pid shows in here, or was another's."""
    parent: Pid
    threads: frozenset[int]
    """Those beside its first one."""
    start_ticks: int | None = None
    """In clock ticks since boot."""
    comm: str | None = None
    start_stack: int = 0
    """The bottom of its stack: execve(2) makes another one."""
    uids: Ids | None = None
    gids: Ids | None = None
    left: bool = False
    """Whether its first thread has ended, and others go on."""
    code: int | None = None
    """How that one ended, as in wait(2)."""


class Look(NamedTuple):
    """All processes, as they were one after the other."""

    started_ns: int
    processes: Mapping[Pid, Running]
    unread: frozenset[Pid]
    """Those that are there and could not be read."""


def look_at_all(procfs: ProcFs, clock_ns: Callable[[], int]) -> Look:
    """Every process of a procfs that has not ended; raises NotRead. Takes 50 us a process."""
    started_ns = clock_ns()
    processes, unread = {}, set()
    for pid in procfs.list_pids():
        try:
            with procfs.open_process(pid) as process:
                processes[pid] = _read_running(process, clock_ns())
        except Gone:
            continue
        except (NotRead, FormatError):
            unread.add(pid)
    return Look(started_ns, processes, frozenset(unread))


def look_at(procfs: ProcFs, pid: Pid, clock_ns: Callable[[], int]) -> Running:
    """One process; raises Gone, NotRead, FormatError, and UsageError for a thread that is not its first."""
    with procfs.open_process(pid) as process:
        leader = process.read_leader()
        if leader != pid:
            raise UsageError(f"pid {pid} is a thread of process {leader}")
        return _read_running(process, clock_ns())


def _read_running(process: ProcessDir, now_ns: int) -> Running:
    """What is read after `now_ns`; raises ProcessGone for what is dead, and only waits for its parent to hear of it."""
    line = read_detail(process, "stat")
    stat = parse_pid_stat(line)
    if stat.is_dead and stat.num_threads <= 1:
        raise ProcessGone(process.subject)
    uids, gids = parse_ids(read_detail(process, "status"))
    others = process.list_threads() if stat.num_threads > 1 else []
    return Running(
        now_ns,
        parse_parent(line),
        frozenset(others) - {process.number},
        stat.start_ticks,
        stat.comm,
        parse_start_stack(line),
        Ids(*uids),
        Ids(*gids),
        left=stat.is_dead,
    )
