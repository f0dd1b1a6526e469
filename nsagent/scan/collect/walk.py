"""The stage that walks: who is there, in which netns, and which sockets their fds hold."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead, ProcessGone, Reason
from nsagent.kernel.formats.pid_stat import PidStat
from nsagent.kernel.procfs import FdLinks, Instance, ProcessDir
from nsagent.kernel.threads import start_thread
from nsagent.model.facts import ProcessCounts, ProcessReading
from nsagent.model.gap import Gap, Kind, Stage, Subject, make_gap
from nsagent.model.ids import Fd, Pid, SocketInode
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.mount_views import ViewKey
from nsagent.scan.collect.run_marks import RunMark, has_rested, may_rest, read_run_mark
from nsagent.scan.collect.shares import Shares

MAX_LINKS: Final = 1 << 21
"""How many fds of one container or user are read in one walk: 3 us each."""

_LEAST_SECONDS: Final = 0.1
"""How long a process that is being read when the pass is late is waited for."""

LookFurther = Callable[[ProcessDir, ProcessDir, ProcessReading, FdLinks], Iterable[ProcessReading]]
"""More readings of a process whose fds were read, taken while its directory is held.

The second directory is that of whose fd table was read: the process, or a live thread of a dead leader.
"""


class Resting(NamedTuple):
    """A process as it was read when it did not run: its reading and its links hold as long as the mark is the same."""

    instance: Instance
    mark: RunMark
    reading: ProcessReading
    links: FdLinks
    mounts: ViewKey | None

    def rests(self, process: ProcessDir, instance: Instance, schedstat: bytes) -> bool:
        """Whether it is this process, and has not run since, as it was read now."""
        return instance == self.instance and has_rested(process, schedstat, self.mark)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a walk looks into each process: `fds`, at its fds, and `further` where these lead.

    Those of `resting` that have not run since are not read again, only looked further into; of those of `rested`,
    which an earlier pass has read, what others change is read again. `shares` bounds how many fds are read.
    """

    fds: bool = True
    further: LookFurther = lambda *_: ()
    resting: Mapping[Pid, Resting] = field(default_factory=dict)
    rested: Mapping[Pid, Resting] = field(default_factory=dict)
    shares: Shares = field(default_factory=lambda: Shares(MAX_LINKS))


@dataclass(slots=True)
class Walk:
    """What a walk saw."""

    pids: list[Pid]
    """What was listed: a process that came later is not in the walk."""
    position: int = 0
    """Where among them it is: short of their number where the pass was late."""
    readings: list[ProcessReading] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    ok: int = 0
    vanished: int = 0
    denied: int = 0
    skipped: int = 0
    host_inode: int | None = None
    """Of the netns that kernel threads are in."""
    host_key: int | None = None
    """Of the same, where its inode may not be read."""
    resting: dict[Pid, Resting] = field(default_factory=dict)
    """The processes that did not run when they were read."""
    rested: set[Pid] = field(default_factory=set)
    """Of these, those that have not run since the walk before."""
    tables: list[int] = field(default_factory=list)
    """Whose fds were read in this walk: processes, or of one whose leader is dead the thread."""

    def add(self, part: "Walk") -> None:
        """Take in what was read of the process at `position`, and go on to the next."""
        self.readings += part.readings
        self.gaps += part.gaps
        self.ok += part.ok
        self.vanished += part.vanished
        self.denied += part.denied
        self.skipped += part.skipped
        self.host_inode, self.host_key = part.host_inode, part.host_key
        self.resting |= part.resting
        self.rested |= part.rested
        self.tables += part.tables
        self.position += 1

    def list_held(self) -> set[SocketInode]:
        """The sockets that some fd holds."""
        return {inode for reading in self.readings for _, inode in reading.socket_fds or ()}

    def counts(self) -> ProcessCounts:
        """How the processes fared; each is counted where it is read."""
        return ProcessCounts(len(self.pids), self.ok, self.vanished, self.denied, self.skipped)


def walk_processes(context: PassContext, reach: Reach | None = None) -> Walk:
    """Every process once, and every netns that they, their mounts or their fds lead to.

    In one thread: reading a link takes 3 us, of which the interpreter's lock is free for 2, and
    two threads that hand it to each other 10^5 times take 1.5 times as long as one. A process of
    which a read takes longer than the pass has patience for, as a path into a dead file system may, is
    skipped: its thread is left behind, and another one goes on with the next process.
    """
    reach = reach or Reach()  # A new one each time: it counts what is read.
    procfs = context.procfs
    own_pid = procfs.read_own_pid()
    # The own process comes first, before it holds an fd on each netns.
    walk = Walk(sorted(procfs.list_pids(), key=lambda pid: (pid != own_pid, pid)))
    while walk.position < len(walk.pids) and not context.is_over():
        walker = _Walker(context, walk, lambda pid, part: _walk_one(context, pid, own_pid, part, reach))
        if not walker.finish(min(context.request.patience_seconds, max(context.seconds_left(), _LEAST_SECONDS))):
            stuck = walk.pids[walk.position]
            walk.gaps.append(Gap(Stage.PROCESSES, process_subject(stuck), Reason.NO_ANSWER))
            walk.skipped += 1
            walk.position += 1
    if unread := len(walk.pids) - walk.position:
        walk.gaps.append(Gap(Stage.PROCESSES, Subject(Kind.PROCESSES), Reason.LATE, count=unread))
        walk.skipped += unread
    return walk


class _Walker:
    """Takes the processes of a walk one by one, in a thread that can be left behind.

    Each process is read into a part of its own, which joins the walk if nobody lost patience.
    """

    def __init__(self, context: PassContext, walk: Walk, read: Callable[[Pid, Walk], None]) -> None:
        self._context = context
        self._walk = walk
        self._read = read
        self._lock = threading.Lock()
        self._left = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        start_thread(self._thread)

    def finish(self, patience_seconds: float) -> bool:
        """Wait for the end of the walk; False if one process held it up for so long, and True else."""
        before = None
        try:
            while self._thread.is_alive():
                self._thread.join(patience_seconds)
                with self._lock:
                    now = self._walk.position, self._context.pace.steps
                    if self._thread.is_alive() and now == before:
                        self._left = True
                        return False
                    before = now
        except BaseException:
            self._context.stop.set()
            self._thread.join(patience_seconds)
            raise
        if self._error is not None:
            raise self._error
        return True

    def _run(self) -> None:
        walk = self._walk
        try:
            while walk.position < len(walk.pids) and not self._context.is_over():
                self._context.keep_pace()
                part = Walk([], host_inode=walk.host_inode, host_key=walk.host_key)
                self._read(walk.pids[walk.position], part)
                with self._lock:
                    if self._left:
                        return
                    walk.add(part)
        except BaseException as err:  # noqa: BLE001 - raised again by whoever waits.
            self._error = err


def process_subject(pid: Pid) -> Subject:
    """What a gap calls a process."""
    return Subject(Kind.PROCESS, str(pid))


def _walk_one(context: PassContext, pid: Pid, own_pid: Pid | None, walk: Walk, reach: Reach) -> None:
    """Add one process to the walk, or count why not."""
    reader = _ProcessReader(context, reach, walk, own=pid == own_pid)
    try:
        with context.procfs.open_process(pid) as process:
            try:
                readings = reader.read(process)
            except Gone:
                # Something of it is not there: what has exited has nothing, and all else has its reason.
                if context.live and process.read_stat().has_left:
                    raise ProcessGone(process.subject) from None
                raise
    except Gone as err:
        if context.live and isinstance(err, ProcessGone):
            walk.vanished += 1
            return
        # Nobody exits in a copied tree.
        walk.gaps.append(Gap(Stage.PROCESSES, process_subject(pid), Reason.GONE))
        walk.skipped += 1
        return
    except (NotRead, FormatError) as err:
        walk.gaps.append(make_gap(Stage.PROCESSES, process_subject(pid), err))
        if isinstance(err, NotRead):
            walk.denied += 1
        else:
            walk.skipped += 1
        return
    walk.readings += readings
    walk.gaps += reader.gaps
    if any(gap.stage is Stage.FDS for gap in reader.gaps):
        walk.denied += 1
    else:
        walk.ok += 1


class _ProcessReader:
    """Reads one process into a part of a walk; what is denied becomes one of its `gaps`."""

    def __init__(self, context: PassContext, reach: Reach, walk: Walk, *, own: bool) -> None:
        self.gaps: list[Gap] = []
        self._procfs = context.procfs
        self._registry = context.registry
        self._keep_pace = context.keep_pace
        self._reach = reach
        self._walk = walk
        self._own = own
        self._mounts: ViewKey | None = None

    def read(self, process: ProcessDir) -> list[ProcessReading]:
        """The readings of the process."""
        pid = Pid(process.number)
        schedstat = process.read_schedstat() if self._reach.fds else b""
        instance = process.read_instance()
        known = self._reach.resting.get(pid)
        if known is not None and known.rests(process, instance, schedstat):
            self._walk.resting[pid] = known
            return list(self._reach.further(process, process, known.reading, known.links))
        known = self._reach.rested.get(pid)
        if known is not None and known.rests(process, instance, schedstat):
            self._walk.resting[pid] = known = known._replace(reading=self._read_again(process, pid, known))
            self._walk.rested.add(pid)
            return [known.reading, *self._reach.further(process, process, known.reading, known.links)]
        stat = process.read_stat()
        if stat.is_kernel_thread:
            return [_read_kernel_thread(process, pid, stat, self._walk)]
        if stat.is_dead:
            return self._read_dead(process, stat)
        mark = read_run_mark(process, schedstat, stat)
        reading, links = self._read_through(process, pid, stat)
        told = reading.socket_fds is not None and reading.netns_inode is not None
        if mark is not None and told and may_rest(self._procfs, links):
            self._walk.resting[pid] = Resting(instance, mark, reading, links, self._mounts)
        return [reading, *self._reach.further(process, process, reading, links)]

    def _read_again(self, process: ProcessDir, pid: Pid, known: Resting) -> ProcessReading:
        """The reading of a process that has not run since it was read.

        Name, netns and threads are its own doing; into another cgroup others move it.
        """
        reading = known.reading
        netns_inode = self._registry.see_process(process, pid, inode=reading.netns_inode)
        self._registry.see_mounts(process, known.mounts)
        cgroup = self._read_cgroup(process, pid)
        for fd, inode in known.links.netns:
            self._registry.see_fd(process, fd, inode)
        if (netns_inode, cgroup) == (reading.netns_inode, reading.cgroup):
            return reading
        return reading._replace(netns_inode=netns_inode, cgroup=cgroup)

    def _read_dead(self, process: ProcessDir, stat: PidStat) -> list[ProcessReading]:
        """A process whose leader has exited: a live thread has its fds and its netns."""
        pid = Pid(process.number)
        if stat.num_threads == 1:
            return [_make_reading(pid, stat, uid=process.read_uid(), cgroup=self._read_cgroup(process, pid))]
        for tid in process.list_threads():
            try:
                with process.open_thread(tid) as thread:
                    if not thread.read_stat().is_dead:
                        reading, links = self._read_through(thread, pid, stat)
                        return [reading, *self._reach.further(process, thread, reading, links)]
            except Gone:
                continue  # This thread ended, or has no netns any more: the next one, unless that was the last.
        raise ProcessGone(process.subject)

    def _read_through(self, process: ProcessDir, pid: Pid, stat: PidStat) -> tuple[ProcessReading, FdLinks]:
        """The reading through the directory of the process or of one of its threads.

        The fds come last: what they hold, held under the identity that was read before.
        """
        netns_inode = netns_key = None
        try:
            netns_inode = self._registry.see_process(process, pid)
            self._mounts = self._registry.see_mounts(process)
        except NotRead:
            # No gap of its own: the same right is needed for the fds, and the key tells the netns apart.
            netns_key = self._registry.see_key(process, pid)
        uid, cgroup = process.read_uid(), self._read_cgroup(process, pid)
        links, socket_fds = self._read_links(process, pid, cgroup, uid)
        for fd, inode in links.netns if not self._own else ():  # The own ones are those of this pass.
            self._registry.see_fd(process, fd, inode)
        reading = _make_reading(
            pid, stat, uid=uid, cgroup=cgroup, netns_inode=netns_inode, netns_key=netns_key, socket_fds=socket_fds
        )
        return reading, links

    def _read_cgroup(self, process: ProcessDir, pid: Pid) -> str:
        """Its cgroup file; "" where that cannot be told, as of a path of more than 4,095 bytes before Linux 6.8.

        Whoever may make cgroups can be in such a one, and is not to hide what it holds, or what others do.
        """
        try:
            return process.read_cgroup()
        except NotRead as err:
            self.gaps.append(make_gap(Stage.CGROUPS, process_subject(pid), err))
            return ""

    def _read_links(
        self, process: ProcessDir, pid: Pid, cgroup: str, uid: int
    ) -> tuple[FdLinks, tuple[tuple[Fd, SocketInode], ...] | None]:
        """Its links, and those of sockets: None where they may not be read, or who shares has had enough."""
        if not self._reach.fds:
            return FdLinks((), ()), ()
        shares = self._reach.shares
        try:
            if not shares.take(cgroup, uid, 1):
                raise NotRead(process.subject, Reason.TOO_MANY)
            links = process.read_fd_links(self._keep_pace)
        except NotRead as err:
            self.gaps.append(make_gap(Stage.FDS, process_subject(pid), err))
            return FdLinks((), ()), None
        self._walk.tables.append(process.number)
        shares.take(cgroup, uid, links.fds)
        return links, links.sockets


def _read_kernel_thread(process: ProcessDir, pid: Pid, stat: PidStat, walk: Walk) -> ProcessReading:
    """A kernel thread: no fds; the first one tells which netns is the host's."""
    if walk.host_inode is None and walk.host_key is None:
        try:
            walk.host_inode = process.read_netns_inode()
        except NotRead:
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
