"""Whether a process has run since: if not, its fds are those that were read then.

An fd table changes only while one of its threads runs: close, accept, receiving a descriptor, all of
it is done in the context of its user. The one exception is a table that two processes share
(CLONE_FILES): then the other one has run, and shows the same fds. The kernel counts for each thread
the time on a CPU, the time it waited for one, and how often it was put on one; whoever has the same
numbers, and is not about to run, has not run.

Until Linux 5.11 there was another exception: a kernel thread that works off what an io_uring was asked
borrows the fd table of whoever asked, and puts there what it accepts. Since 5.12 such a worker is a
thread of the process itself.

Source: fs/proc/base.c proc_pid_schedstat(), kernel/sched/stats.h sched_info_arrive(); fs/io-wq.c of
Linux 5.11 io_impersonate_work().
"""

from typing import Final

from nsagent.errors import FormatError, Gone, NotRead
from nsagent.kernel.formats.pid_stat import PidStat
from nsagent.kernel.formats.release import is_at_least
from nsagent.kernel.procfs import FdLinks, ProcessDir, ProcFs

RunMark = tuple[tuple[int, bytes], ...]
"""The threads of a process and how each has run; equal ones tell that none has run between."""

_RUNNING: Final = "R"
_FDS_A_THREAD: Final = 8
"""A mark costs about as much for a thread as so many fds cost to be read again."""


def read_run_mark(process: ProcessDir, schedstat: bytes, stat: PidStat) -> RunMark | None:
    """The mark of a process, to be read before its fds; None where it runs, or where a mark is not worth its cost.

    `schedstat` was read just before `stat`: a state that is read first says nothing of what comes after.
    """
    if not schedstat or stat.state == _RUNNING:
        return None
    if stat.num_threads == 1:
        return ((process.number, schedstat),)
    if process.count_fds() < _FDS_A_THREAD * stat.num_threads:
        return None
    try:
        marks = [_read_thread(process, tid) for tid in process.list_threads()]
    except (Gone, NotRead, FormatError):
        return None
    known = tuple(mark for mark in marks if mark is not None)
    return known if len(known) == len(marks) == stat.num_threads else None


def has_rested(process: ProcessDir, schedstat: bytes, mark: RunMark) -> bool:
    """Whether the process of this mark has not run since; `schedstat` is what its first thread has just now.

    Only a thread makes another one of its process. One that runs may have run since, and not have been counted yet.
    """
    first = process.number
    if dict(mark).get(first) != schedstat:
        return False
    try:
        for tid, before in mark:
            thread = None if tid == first else tid
            if thread is not None and process.read_schedstat(thread) != before:
                return False
            if process.read_state(thread) == _RUNNING:
                return False
    except (Gone, NotRead):
        return False
    return True


def may_rest(procfs: ProcFs, links: FdLinks) -> bool:
    """Whether an fd table with these links changes only as its process runs: no other one has a mark of use."""
    return not links.rings or is_at_least(procfs.read_sysctl("kernel/osrelease"), 5, 12)


def _read_thread(process: ProcessDir, tid: int) -> tuple[int, bytes] | None:
    """How one thread has run; None where it runs now, or that is not told."""
    schedstat = process.read_schedstat(tid)
    return None if not schedstat or process.read_state(tid) == _RUNNING else (tid, schedstat)
