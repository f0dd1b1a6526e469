"""A process as one pass read it."""

from typing import NamedTuple

from nsagent.model.ids import ContainerId, Pid


class ProcessKey(NamedTuple):
    """What makes a process the same one: its pid may be another's later, its start in clock ticks since boot is not."""

    pid: Pid
    start_ticks: int


class CommandLine(NamedTuple):
    """The arguments of a process as it shows them; `cut`: there are more, or the last one is longer.

    Each may hold any character but NUL; bytes that are not UTF-8 are surrogate escapes.
    """

    argv: tuple[str, ...]
    cut: bool = False


class Process(NamedTuple):
    """One reading of one process, all of it through one held /proc/PID directory.

    A kernel thread has no netns of its own, no container and no fds.
    """

    pid: Pid
    start_ticks: int
    """In clock ticks since boot."""
    comm: str
    """May hold any character; bytes that are not UTF-8 are surrogate escapes."""
    uid: int
    """The effective one, as /proc/PID shows it (0 for a process that is not dumpable)."""
    netns: int | None
    """The number of its netns in this snapshot, None if it could not be read."""
    container_id: ContainerId | None
    """The container of its cgroup path that is to be believed (identity.believe)."""
    unit: str | None
    """The systemd unit."""
    kernel_thread: bool = False
    around: tuple[ContainerId, ...] = ()
    """The containers around that one, outermost first."""
    inner: tuple[ContainerId, ...] = ()
    """Those that its path shows below that one, outermost first."""

    @property
    def key(self) -> ProcessKey:
        """What it is in other passes, too."""
        return ProcessKey(self.pid, self.start_ticks)
