"""A process as one pass read it."""

from dataclasses import dataclass

from nsagent.model.ids import ContainerId, Pid


@dataclass(frozen=True, slots=True)
class Process:
    """One reading of one process, all of it through one held /proc/PID directory.

    `comm` may hold any character; bytes that are not UTF-8 are surrogate escapes. `start_ticks`
    is in clock ticks since boot. `uid` is the effective one, as /proc/PID shows it (0 for a
    process that is not dumpable). `netns` is the number of its netns in this snapshot, None if
    it could not be read. `container_id` is the container of its cgroup path that is to be believed
    (identity.believe), `around` are those around that one and `inner` those that a path shows below it,
    each outermost first. `unit` is the systemd unit. A kernel thread has no netns of its own, no
    container and no fds.
    """

    pid: Pid
    start_ticks: int
    comm: str
    uid: int
    netns: int | None
    container_id: ContainerId | None
    unit: str | None
    kernel_thread: bool = False
    around: tuple[ContainerId, ...] = ()
    inner: tuple[ContainerId, ...] = ()
