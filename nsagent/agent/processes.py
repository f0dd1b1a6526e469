"""The processes of this host between passes, and which containers lived in which netns lately.

A pass says where each process lives; a child lives where its parent does, until it runs another program: then the event
tells who it is by a look. So a container that begins and ends between two passes is known too. What is told from here
may be asked from any thread.
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from nsagent.agent.live_table import LiveTable
from nsagent.agent.living import Ended, Living
from nsagent.kernel.boot_clock import count_slept_ns, count_ticks
from nsagent.model.facts import Facts
from nsagent.model.forebear import Forebear
from nsagent.model.gap import Kind
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.named_event import Identity, IdentitySource
from nsagent.model.process import Process
from nsagent.model.process_event import EventEngine, ProcessEvent, ProcessEventKind
from nsagent.model.snapshot import Snapshot
from nsagent.scan.memory import Lodger

GRACE_SECONDS: Final = 60.0
"""How long it is remembered who has ended: as long as TIME_WAIT lasts."""
MOST_ENDED: Final = 10_000
"""Of processes that are remembered one by one, 0.3 KiB each; where they lived is known of all."""
_FORK, _EXEC, _EXIT, _COMM, *_ = ProcessEventKind
"""Names of their own: to ask an enum for its member takes a tenth of what an event does."""
_CONNECTOR: Final = EventEngine.CONNECTOR
_NANO: Final = 1_000_000_000


class ProcessesKnown(NamedTuple):
    """How large the table is."""

    living: int
    ended: int
    """That are remembered."""
    found_by_passes: int
    """That began or ended, and of which nobody had told when a pass found it, since the start."""


class Processes:
    """The live table of an agent; `take` is a sink of its events, learn() is called after each pass."""

    def __init__(
        self,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_clock: Callable[[], float] = time.time,
        count_slept_ns: Callable[[], int] = count_slept_ns,
        grace_seconds: float = GRACE_SECONDS,
        most_ended: int = MOST_ENDED,
    ) -> None:
        """`clock_ns` is CLOCK_MONOTONIC; `wall_clock` the time of day."""
        self._clock_ns, self._wall_clock, self._count_slept_ns = clock_ns, wall_clock, count_slept_ns
        self._lock = threading.Lock()
        """Guards all that follows."""
        self._make_table = partial(
            LiveTable,
            count_ticks,
            grace_ns=int(grace_seconds * _NANO),
            most_ended=most_ended,
            count_slept_ns=count_slept_ns,
        )
        self._table = self._make_table()
        self._cookies: Mapping[int, int | None] = {}
        self._passes = self._found = 0

    def begin_anew(self) -> None:
        """Know nobody, for nobody has told who came and went for a while; the next pass tells who there is."""
        with self._lock:
            self._table, self._cookies = self._make_table(), {}
            self._passes = 0

    def take(self, event: ProcessEvent, identity: Identity) -> None:
        """What has happened to a process, and which that is."""
        at_ns, kind = event.timestamp_ns, event.kind
        with self._lock:
            if kind is _EXIT:
                self._table.end(at_ns, event.pid, event.status)
            elif kind is _FORK or kind is _EXEC:
                if event.child is not None:
                    is_told = event.found_by is _CONNECTOR
                    self._table.fork(at_ns, event.child, event.pid, is_told=is_told)
                self._put(event, identity)
            elif kind is _COMM:
                was = self._table.find(event.pid)
                if was is not None:
                    self._table.put(was._replace(comm=event.comm))

    def learn(self, snapshot: Snapshot, facts: Facts, started_ns: int) -> None:
        """Hold the table against a pass that began then, by CLOCK_MONOTONIC."""
        cookies = {one.number: one.cookie for one in snapshot.netns}
        seen = [
            Living(process.pid, started_ns, process.start_ticks, process.comm, _find_lodger(process, cookies))
            for process in snapshot.processes
            if process.kernel_thread or process.netns is not None  # Else it has ended, and its parent has not heard.
        ]
        unread = (one.id for gap in facts.gaps if (one := gap.subject).kind is Kind.PROCESS and one.id.isdigit())
        there = {*(process.pid for process in snapshot.processes), *map(Pid, map(int, unread))}
        if facts.process_counts.skipped:
            there.update(self._list_living())
        with self._lock:
            found = self._table.hold_against(seen, there, started_ns)
            self._table.forget(self._clock_ns())
            self._found += found if self._passes else 0
            self._passes += 1
            self._cookies = cookies

    def list_lodgers(self, netns: int, cookie: int | None = None) -> frozenset[ContainerId | None]:
        """The containers of all who live in a netns of the last pass, or did within the grace time; None is the host.

        `netns` is its number there; with its cookie without those who lived in another one of that number. Empty
        where nobody is known to.
        """
        with self._lock:
            return self._table.list_lodgers(netns, cookie, self._clock_ns())

    def map_lodgers(self) -> Mapping[int, frozenset[Lodger]]:
        """All of them, by the number of the netns: what Memory has, who has ended unheard among those that live."""
        with self._lock:
            self._table.forget(self._clock_ns())
            return self._table.map_lodgers()

    def list_forebears(self, pid: Pid, start_ticks: int) -> tuple[Forebear, ...] | None:
        """Whose child a process was when it began, whose that one, and so on, as far as the kernel told.

        None where no process of this pid and start is known to live.
        """
        with self._lock:
            found = self._table.list_parents(pid, start_ticks)
        if found is None:
            return None
        ahead_seconds = self._wall_clock() - (self._clock_ns() + self._count_slept_ns()) / _NANO
        return tuple(_tell_forebear(each, ahead_seconds) for each in found)

    def count(self) -> ProcessesKnown:
        """How large it is."""
        with self._lock:
            return ProcessesKnown(len(self._table), len(self._table.ended), self._found)

    def find(self, pid: Pid) -> Living | None:
        """The process that has this pid now."""
        with self._lock:
            return self._table.find(pid)

    def _list_living(self) -> list[Pid]:
        with self._lock:
            return self._table.list_pids()

    def _put(self, event: ProcessEvent, seen: Identity) -> None:
        """Where a process lives by a look at this event; the lock is held."""
        netns = seen.netns
        # Without a command an earlier look tells: the number of its netns may be another one's by now.
        if seen.source is not IdentitySource.LOOK or seen.comm is None or netns is None:
            return  # Its parent says where it lives.
        lodger = Lodger(netns, self._table.find_cookie(netns, self._cookies.get(netns)), seen.container_id)
        pid = event.pid if event.child is None else event.child
        self._table.put(Living(pid, event.timestamp_ns, seen.start_ticks, seen.comm, lodger))


def _tell_forebear(one: Living | Ended, ahead_seconds: float) -> Forebear:
    """`ahead_seconds` is what the time of day is ahead of CLOCK_BOOTTIME."""
    ended, was = (one, one.was) if isinstance(one, Ended) else (None, one)
    return Forebear(
        was.pid,
        was.start_ticks,
        was.comm,
        None if was.lodger is None else was.lodger.container_id,
        None if ended is None else (ended.ended_ns + ended.slept_ns) / _NANO + ahead_seconds,
        None if ended is None else ended.status,
    )


def _find_lodger(process: Process, cookies: Mapping[int, int | None]) -> Lodger | None:
    if process.netns is None or process.kernel_thread:
        return None
    return Lodger(process.netns, cookies.get(process.netns), process.container_id)
