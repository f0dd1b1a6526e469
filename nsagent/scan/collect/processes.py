"""The walk over the processes: who is there, in which netns, and which sockets their fds hold."""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from nsagent.errors import AccessDenied, FormatError, ProcessGone, ReadFailed
from nsagent.kernel.formats.pid_stat import PidStat
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.facts import FoundBy, Gap, ProcessCounts, ProcessReading, Stage
from nsagent.model.ids import Fd, Pid, SocketInode
from nsagent.scan.collect.netns import NetnsRegistry

MAX_THREADS = 512
"""How many threads of one process are looked at."""


@dataclass(slots=True)
class Walk:
    """What a walk saw; `host_inode` and `host_key` are those of the netns that kernel threads are in."""

    readings: list[ProcessReading] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    seen: int = 0
    vanished: int = 0
    denied: int = 0
    skipped: int = 0
    host_inode: int | None = None
    host_key: int | None = None

    def counts(self) -> ProcessCounts:
        """How the processes fared; what is no trouble is ok."""
        ok = self.seen - self.vanished - self.denied - self.skipped
        return ProcessCounts(self.seen, ok, self.vanished, self.denied, self.skipped)


def walk_processes(procfs: ProcFs, registry: NetnsRegistry, stop: threading.Event) -> Walk:
    """Every process once, and every netns that they, their mounts or their fds lead to.

    In one thread: reading a link takes 3 us, of which the interpreter's lock is free for 2, and
    two threads that hand it to each other 10^5 times take 1.5 times as long as one.
    """
    own_pid = procfs.read_own_pid()
    pids = procfs.list_pids()
    walk = Walk(seen=len(pids))
    for pid in pids:
        if stop.is_set():
            break
        _walk_one(procfs, pid, own_pid, registry, walk)
    return walk


def walk_for(
    procfs: ProcFs, registry: NetnsRegistry, wanted: Collection[int], stop: threading.Event
) -> list[ProcessReading]:
    """Who holds one of the `wanted` inodes now: new readings, with those fds alone.

    A process is read whole again: under its number may by now be another one.
    """
    holders = []
    for reading in walk_processes(procfs, registry, stop).readings:
        held = tuple(link for link in reading.socket_fds or () if link[1] in wanted)
        if held:
            holders.append(replace(reading, socket_fds=held))
    return holders


def see_threads(procfs: ProcFs, registry: NetnsRegistry, readings: Iterable[ProcessReading]) -> list[Gap]:
    """Look for netns that only threads are in, in these processes; gaps say whose are too many or unreadable."""
    gaps = []
    for reading in readings:
        try:
            with procfs.open_process(reading.pid) as process:
                tids = process.list_threads()
                if len(tids) > MAX_THREADS:
                    unseen = len(tids) - MAX_THREADS
                    gaps.append(Gap(Stage.PROCESSES, f"threads of pid {reading.pid}", "too many", unseen))
                for tid in tids[:MAX_THREADS]:
                    _see_thread(process, tid, registry)
        except ProcessGone:
            continue
        except (AccessDenied, ReadFailed) as err:
            gaps.append(Gap(Stage.PROCESSES, f"threads of pid {reading.pid}", err.reason))
    return gaps


def _see_thread(process: ProcessDir, tid: int, registry: NetnsRegistry) -> None:
    try:
        with process.open_thread(tid) as thread:
            registry.see_process(thread, Pid(tid), FoundBy.THREAD)
    except (ProcessGone, FormatError):
        return


def _walk_one(procfs: ProcFs, pid: Pid, own_pid: Pid | None, registry: NetnsRegistry, walk: Walk) -> None:
    """Add one process to the walk, or count why not."""
    gaps: list[Gap] = []
    try:
        with procfs.open_process(pid) as process:
            stat = process.read_stat()
            if stat.is_kernel_thread:
                reading = _read_kernel_thread(process, pid, stat, walk)
            elif stat.is_dead and stat.num_threads > 1:
                with process.open_live_thread() as thread:
                    reading = _read_user_process(thread, pid, stat, registry, gaps, own=pid == own_pid)
            elif stat.is_dead:
                reading = _make_reading(pid, stat, uid=process.read_uid(), cgroup=process.read_cgroup())
            else:
                reading = _read_user_process(process, pid, stat, registry, gaps, own=pid == own_pid)
        walk.readings.append(reading)
    except ProcessGone:
        walk.vanished += 1
        return
    except (AccessDenied, ReadFailed) as err:
        gaps.append(Gap(Stage.PROCESSES, f"pid {pid}", err.reason))
    except FormatError as err:
        walk.gaps.append(Gap(Stage.PROCESSES, f"pid {pid}", str(err)))
        walk.skipped += 1
        return
    walk.gaps += gaps
    walk.denied += bool(gaps)


def _read_user_process(
    process: ProcessDir, pid: Pid, stat: PidStat, registry: NetnsRegistry, gaps: list[Gap], *, own: bool
) -> ProcessReading:
    """The reading of a process through its directory, or that of a live thread; what is denied becomes a gap.

    The fds come last: what they hold, held under the identity that was read before.
    """
    netns_inode = netns_key = None
    try:
        netns_inode = registry.see_process(process, pid)
        registry.see_mounts(process)
    except (AccessDenied, ReadFailed):
        # No gap of its own: the same right is needed for the fds, and the key tells the netns apart.
        netns_key = registry.see_key(process, pid)
    uid, cgroup = process.read_uid(), process.read_cgroup()
    try:
        links = process.read_fd_links()
    except (AccessDenied, ReadFailed) as err:
        gaps.append(Gap(Stage.FDS, f"pid {pid}", err.reason))
        return _make_reading(
            pid, stat, uid=uid, cgroup=cgroup, netns_inode=netns_inode, netns_key=netns_key, socket_fds=None
        )
    for fd, inode in links.netns if not own else ():  # The own ones are those of this pass.
        registry.see_fd(process, fd, inode)
    return _make_reading(
        pid, stat, uid=uid, cgroup=cgroup, netns_inode=netns_inode, netns_key=netns_key, socket_fds=links.sockets
    )


def _read_kernel_thread(process: ProcessDir, pid: Pid, stat: PidStat, walk: Walk) -> ProcessReading:
    """A kernel thread: no fds; the first one tells which netns is the host's."""
    if walk.host_inode is None and walk.host_key is None:
        try:
            walk.host_inode = process.read_netns_inode()
        except AccessDenied:
            walk.host_key = process.read_netns_key()
    return _make_reading(pid, stat, uid=0, cgroup="", kernel_thread=True)


def _make_reading(
    pid: Pid,
    stat: PidStat,
    *,
    uid: int,
    cgroup: str,
    kernel_thread: bool = False,
    netns_inode: int | None = None,
    netns_key: int | None = None,
    socket_fds: tuple[tuple[Fd, SocketInode], ...] | None = (),
) -> ProcessReading:
    return ProcessReading(
        pid=pid,
        start_ticks=stat.start_ticks,
        comm=stat.comm,
        uid=uid,
        kernel_thread=kernel_thread,
        netns_inode=netns_inode,
        netns_key=netns_key,
        cgroup=cgroup,
        threads=stat.num_threads,
        socket_fds=socket_fds,
    )
