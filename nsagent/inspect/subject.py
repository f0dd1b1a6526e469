"""Which process a number stands for, held open: whatever is told of it is told of this one alone."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotFound, NotRead, ProcessGone, Reason
from nsagent.kernel.details import read_detail
from nsagent.kernel.formats.pid_stat import PidStat, parse_start_stack
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.ids import Pid
from nsagent.model.process import ProcessKey

_NEAR: Final = 5
"""So many pids are named beside one that is not there."""

Which = int | ProcessKey
"""A process by its number, or that of one of its threads, whoever has that now; or the one that a pass has seen."""


class Held(NamedTuple):
    """A process through its held directory."""

    asked: int
    """The number that was asked for."""
    process: ProcessDir
    alive: ProcessDir
    """The same, or, where its first thread has ended, that of a thread that lives: all but its start stands there."""
    stat: PidStat
    """Of `process`."""
    now: PidStat
    """Of `alive`."""
    start_stack: int | None
    """That of `process` before anything else was read: with another one it runs another program. None: not told."""

    @property
    def key(self) -> ProcessKey:
        """What makes it the same one."""
        return ProcessKey(Pid(self.process.number), self.stat.start_ticks)

    @property
    def has_memory(self) -> bool:
        """Whether it has fds, memory and a file that it runs: no thread of the kernel, and not dead."""
        return not (self.now.is_kernel_thread or self.now.is_dead)


def find_leader(procfs: ProcFs, number: int) -> Pid:
    """The process that a number means, which may be that of one of its threads.

    Raises NotFound with the reason and near pids, and NotRead.
    """
    try:
        with procfs.open_process(Pid(number)) as found:
            return found.read_leader()
    except Gone as err:
        raise _not_found(procfs, number) from err
    except FormatError as err:
        raise NotRead(f"pid {number}", Reason.MALFORMED) from err


@contextmanager
def hold(procfs: ProcFs, asked: Which) -> Iterator[Held]:
    """The process of a number, or this very one, held; raises ProcessGone, NotRead and FormatError."""
    number = asked.pid if isinstance(asked, ProcessKey) else asked
    with ExitStack() as held:
        process = held.enter_context(procfs.open_process(Pid(number)))
        leader = process.read_leader()
        if leader != number:
            process = held.enter_context(procfs.open_process(leader))
            if number not in process.list_threads():  # It ended, and another process has the pid by now.
                raise ProcessGone(f"pid {number}")
        start_stack = read_start_stack(process)
        stat = process.read_stat()
        if isinstance(asked, ProcessKey) and stat.start_ticks != asked.start_ticks:
            raise ProcessGone(f"pid {number}")  # Another process has the pid by now.
        alive = process
        if stat.is_dead and stat.num_threads > 1:
            alive = held.enter_context(process.open_live_thread())
        yield Held(number, process, alive, stat, stat if alive is process else alive.read_stat(), start_stack)


def read_start_stack(process: ProcessDir) -> int | None:
    """Where its stack begins, which each execve(2) chooses anew; None where that cannot be told. Raises ProcessGone."""
    try:
        return parse_start_stack(read_detail(process, "stat")) or None
    except ProcessGone:
        raise
    except (Gone, NotRead, FormatError):
        return None


def _not_found(procfs: ProcFs, number: int) -> NotFound:
    pids = procfs.list_pids()
    near = sorted(sorted(pids, key=lambda pid: abs(pid - number))[:_NEAR])
    last = procfs.read_sysctl("kernel/pid_max")
    if last is not None and last.isdigit() and number >= int(last):
        hint = f"no pid here is {last} or more (kernel.pid_max)"
    elif not procfs.shows_own_pids():
        hint = "it may be a number of another PID namespace than that of this procfs"
    else:
        hint = "it has ended, or it is its number in another PID namespace (nsagent scan shows those of this one)"
    return NotFound("process", str(number), near=[str(pid) for pid in near], hint=hint)
