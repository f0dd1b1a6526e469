"""Holders that the fd links of a process do not show: threads with an fd table of their own, and io_urings.

Whether a thread shares the fd table of its process is asked of each: one that does not may hold sockets
of a netns that nothing else leads to. io_urings are looked at only where rows have no owner.

Source: clone(2) CLONE_FILES, kcmp(2), unix(7) SCM_RIGHTS.
"""

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.kernel.formats.fdinfo import parse_scm_fds
from nsagent.kernel.pidfd import shares_fd_table
from nsagent.kernel.procfs import FdLinks, ProcessDir
from nsagent.model.facts import FoundBy, HeldBy, ProcessReading
from nsagent.model.gap import Gap, Kind, Stage, Subject, make_gap
from nsagent.model.ids import Pid, SocketInode, Tid
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.netns import NetnsRegistry
from nsagent.scan.collect.rings import Rings
from nsagent.scan.collect.shares import Shares
from nsagent.scan.collect.walk import MAX_LINKS, Reach, Resting, walk_processes

MAX_THREADS: Final = 16_384
"""How many threads one container or user may have looked at in one walk, which takes 3 us each."""

MAX_QUEUES: Final = 1 << 16
"""Of how many sockets one container or user may have the queues looked at in one walk, which takes 16 us each."""

_TABLES: Final = 8
"""With how many fd tables of other threads one is compared that does not share that of its process."""

SearchTable = Callable[[ProcessDir, ProcessReading, FdLinks], Iterable[ProcessReading]]
"""Readings of one fd table, given whose it is, a reading of all of it, and its links."""


@dataclass(slots=True)
class ThreadTables:
    """Looks at every thread of the processes that it is shown."""

    comparable: bool
    """The PIDs of the procfs are those of this program's PID namespace, so that kcmp(2) can tell at once which threads
    share the fd table of their process. Where it cannot, the links of each thread are read if `deep`, else a gap says
    so."""
    registry: NetnsRegistry | None = None
    """Notes the netns of threads too, if `deep` also of those that share the table."""
    deep: bool = True
    seen: int = 0
    """Threads."""
    skipped: int = 0
    """Threads."""
    own_tables: list[int] = field(default_factory=list)
    """Threads with an fd table that is not that of their process, one for each, as far as that can be told."""
    gaps: list[Gap] = field(default_factory=list)
    _shares: Shares = field(default_factory=lambda: Shares(MAX_THREADS))
    _links: Shares = field(default_factory=lambda: Shares(MAX_LINKS))

    def look(
        self,
        process: ProcessDir,
        holder: ProcessDir,
        reading: ProcessReading,
        links: FdLinks,
        search_table: SearchTable = lambda _holder, reading, _links: (reading,),
    ) -> Iterator[ProcessReading]:
        """What `search_table` makes of each fd table of a thread that is not that of the process (of `holder`)."""
        if reading.threads < 2 or reading.socket_fds is None:
            return
        tids, gap = list_fair_threads(process, reading, self._shares)
        if gap is not None:
            self._skip(gap)
        tables, failed = [holder.number], Counter[Gap]()
        for tid in tids:
            if tid == holder.number:
                continue
            try:
                shared = self._find_table(tables, tid)
                if shared is None and not self.deep:
                    raise NotRead(process.subject, Reason.NOT_TOLD)
                if not shared or (self.registry is not None and self.deep):
                    yield from self._look_at(process, reading, links, Tid(tid), search_table, shared=bool(shared))
            except Gone:
                continue  # The thread ended; whether the process did is asked at the next one.
            except (NotRead, FormatError) as err:
                failed[make_gap(Stage.PROCESSES, threads_subject(reading.pid), err)] += 1
            else:
                self.seen += 1
        for each, count in failed.items():
            self._skip(replace(each, count=count))

    def _find_table(self, tables: list[int], tid: int) -> bool | None:
        """Whether a thread has the fd table of one of these, of which it becomes one; None where that is not told."""
        if not self.comparable:
            return None
        for other in tables:
            try:
                shared = shares_fd_table(other, tid)
            except Gone:
                continue  # Either of them: if it is this thread, to look at it says so.
            if shared or shared is None:
                return shared
        # Whoever gives each thread a table of its own makes none of them dearer than a few comparisons.
        del tables[_TABLES:]
        tables.insert(1, tid)
        self.own_tables.append(tid)
        return False

    def _skip(self, gap: Gap) -> None:
        self.skipped += gap.count
        self.gaps.append(gap)

    def _look_at(
        self,
        process: ProcessDir,
        reading: ProcessReading,
        links: FdLinks,
        tid: Tid,
        search_table: SearchTable,
        *,
        shared: bool,
    ) -> Iterable[ProcessReading]:
        with process.open_thread(tid) as thread:
            if self.registry is not None and not thread.read_stat().is_dead:
                self.registry.see_process(thread, Pid(tid), FoundBy.THREAD)
            own = links if shared else self._read_links(thread, reading)
            # Without kcmp(2) equal links are taken for one table: whose fds they are makes no difference then.
            if own == links or not (own.sockets or own.rings):
                return ()
            return list(search_table(thread, reading._replace(socket_fds=own.sockets, tid=tid), own))

    def _read_links(self, thread: ProcessDir, reading: ProcessReading) -> FdLinks:
        """The links of a thread with an fd table of its own; raises NotRead where who shares has had enough."""
        if not self._links.take(reading.cgroup, reading.uid, 1):
            raise NotRead(thread.subject, Reason.TOO_MANY)
        own = thread.read_fd_links()
        self._links.take(reading.cgroup, reading.uid, own.fds)
        if self.registry is not None:
            for fd, inode in own.netns:
                self.registry.see_fd(thread, fd, inode)
        return own


@dataclass(slots=True)
class Search:
    """Looks for whoever holds one of the `wanted` inodes, and for descriptors that are in transit.

    `listed` are the inodes in tables: a socket that is in none may be a unix socket, and have
    descriptors in its queue, which `in_flight` counts.
    """

    wanted: Collection[int]
    listed: Container[int]
    threads: ThreadTables
    rings: Rings = field(default_factory=lambda: Rings(shows_paths=False))
    queues: Shares = field(default_factory=lambda: Shares(MAX_QUEUES))
    in_flight: int = 0
    gaps: list[Gap] = field(default_factory=list)
    _seen: set[SocketInode] = field(default_factory=set)

    def look(
        self, process: ProcessDir, holder: ProcessDir, reading: ProcessReading, links: FdLinks
    ) -> Iterator[ProcessReading]:
        """Readings of threads and of io_urings, with the wanted inodes alone."""
        yield from self._search_rings(holder, reading, links)
        yield from self.threads.look(process, holder, reading, links, self._search_table)

    def keep_wanted(self, readings: Iterable[ProcessReading]) -> Iterator[ProcessReading]:
        """Those of the readings that hold a wanted inode, without what else they hold."""
        for reading in readings:
            held = tuple(link for link in reading.socket_fds or () if link[1] in self.wanted)
            if held:
                yield reading._replace(socket_fds=held)

    def _search_table(self, holder: ProcessDir, reading: ProcessReading, links: FdLinks) -> Iterator[ProcessReading]:
        yield from self.keep_wanted([reading])
        yield from self._search_rings(holder, reading, links)

    def _search_rings(self, holder: ProcessDir, reading: ProcessReading, links: FdLinks) -> Iterator[ProcessReading]:
        """What the io_urings of one fd table hold; counts what is in transit in its sockets on the way."""
        self._count_in_flight(holder, reading, links)
        registered = tuple(self.rings.find_registered(holder, reading, links.rings, self.wanted))
        if registered:
            yield reading._replace(socket_fds=registered, held_by=HeldBy.IO_URING)

    def _count_in_flight(self, holder: ProcessDir, reading: ProcessReading, links: FdLinks) -> None:
        unlisted = {inode: fd for fd, inode in links.sockets if inode not in self.listed and inode not in self._seen}
        if not unlisted:
            return
        may = self.queues.take(reading.cgroup, reading.uid, len(unlisted))
        for inode, fd in islice(unlisted.items(), may):
            self._seen.add(inode)
            try:
                self.in_flight += parse_scm_fds(holder.read_fdinfo(fd))
            except (Gone, NotRead, FormatError):
                continue  # Closed by now, most likely: it has no queue any more.
        if unseen := len(unlisted) - may:
            subject = Subject(Kind.IN_FLIGHT, str(reading.pid))
            self.gaps.append(Gap(Stage.FDS, subject, Reason.TOO_MANY, count=unseen))


def search_processes(
    context: PassContext, search: Search, resting: Mapping[Pid, Resting]
) -> tuple[list[ProcessReading], Mapping[Pid, Resting]]:
    """Who holds one of the wanted inodes now: new readings, with those fds alone; who rests by now.

    A process that has run since is read whole again: under its number may by now be another one. One
    that rests holds what it held, of which nothing is wanted, but for its threads and its rings. What
    cannot be read is among the gaps of the search.
    """
    walk = walk_processes(context, Reach(further=search.look, resting=resting))
    # That no time was left is told by who looks for the holders: all processes there are were met before.
    search.gaps += [gap for gap in walk.gaps if gap.subject.kind is not Kind.PROCESSES]
    return list(search.keep_wanted(walk.readings)), walk.resting


def list_fair_threads(process: ProcessDir, reading: ProcessReading, shares: Shares) -> tuple[list[int], Gap | None]:
    """The threads of a process that may be looked at, and a gap for those beyond its share."""
    tids = process.list_threads()
    may = shares.take(reading.cgroup, reading.uid, len(tids))
    if unseen := len(tids) - may:
        return tids[:may], Gap(Stage.PROCESSES, threads_subject(reading.pid), Reason.TOO_MANY, count=unseen)
    return tids, None


def threads_subject(pid: Pid) -> Subject:
    """What a gap calls the threads of a process."""
    return Subject(Kind.THREADS, str(pid))
