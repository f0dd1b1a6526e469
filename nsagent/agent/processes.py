"""The processes of this host between passes, and which containers lived in which netns lately.

A pass says where each process lives; a child lives where its parent does, until it runs another program: then it is
looked at. So a container that begins and ends between two passes is known too. What is told from here may be asked
from any thread.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from nsagent.agent.live_table import LiveTable, Living
from nsagent.errors import FormatError, Gone, NotRead
from nsagent.identity.believe import believe
from nsagent.identity.claims import identify
from nsagent.kernel.boot_clock import count_ticks
from nsagent.kernel.procfs import ProcFs
from nsagent.model.container import Container
from nsagent.model.facts import Facts
from nsagent.model.gap import Kind
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.process import Process, ProcessKey
from nsagent.model.process_event import ProcessEvent, ProcessEventKind
from nsagent.model.snapshot import Snapshot
from nsagent.scan.memory import Lodger

GRACE_SECONDS: Final = 60.0
"""How long it is remembered who has ended: as long as TIME_WAIT lasts."""
MOST_ENDED: Final = 10_000
"""Of processes that are remembered one by one, 0.3 KiB each; where they lived is known of all."""
_LOOKS_A_SECOND: Final = 100
"""At processes that run another program: 60 us each."""
_MOST_TEXTS: Final = 64
"""Cgroups that no pass has seen and that are named between two passes: each takes 10 us for each one that is known."""

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
        procfs: ProcFs,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        grace_seconds: float = GRACE_SECONDS,
        most_ended: int = MOST_ENDED,
    ) -> None:
        """`clock_ns` is CLOCK_MONOTONIC."""
        self._procfs, self._clock_ns = procfs, clock_ns
        self._lock = threading.Lock()
        """Guards all that follows; not held while a process is looked at."""
        self._table = LiveTable(count_ticks, grace_ns=int(grace_seconds * _NANO), most_ended=most_ended)
        self._second, self._looks = 0, 0
        self._cookies: Mapping[int, int | None] = {}
        self._texts: dict[str, ContainerId | None] = {}
        """The containers of the cgroup texts of the last pass, and of what was looked at since."""
        self._most_texts = 0
        self._containers: tuple[Container, ...] = ()
        self._passes = self._found = 0

    def take(self, event: ProcessEvent) -> None:
        """What has happened to a process."""
        at_ns = event.timestamp_ns
        if event.kind is ProcessEventKind.EXEC and self._may_look(at_ns):
            self._look(event.pid, at_ns)
            return
        with self._lock:
            if event.kind is ProcessEventKind.FORK and event.child is not None:
                self._table.fork(at_ns, event.child, event.pid)
            elif event.kind is ProcessEventKind.EXIT:
                self._table.end(at_ns, event.pid)
            elif event.kind is ProcessEventKind.COMM:
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
        texts = _map_texts(snapshot, facts)
        with self._lock:
            found = self._table.hold_against(seen, there, started_ns)
            self._table.forget(self._clock_ns())
            self._found += found if self._passes else 0
            self._passes += 1
            self._cookies, self._texts, self._most_texts = cookies, texts, len(texts) + _MOST_TEXTS
            self._containers = (*snapshot.containers, *snapshot.folded)

    def list_lodgers(self, netns: int, cookie: int | None = None) -> frozenset[ContainerId | None]:
        """The containers of all who live in a netns of the last pass, or did within the grace time; None is the host.

        `netns` is its number there; with its cookie without those who lived in another one of that number. Empty
        where nobody is known to.
        """
        with self._lock:
            return self._table.list_lodgers(netns, cookie, self._clock_ns())

    def list_left(self) -> Mapping[int, tuple[Lodger, ...]]:
        """Whose processes ended within the grace time, by the number of the netns: for the memory of the next pass."""
        with self._lock:
            self._table.forget(self._clock_ns())
            return self._table.list_left()

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

    def _may_look(self, at_ns: int) -> bool:
        """Whether one more process may be looked at in this second; for the thread that hears alone."""
        second = at_ns // _NANO
        self._second, self._looks = second, self._looks + 1 if second == self._second else 1
        return self._looks <= _LOOKS_A_SECOND

    def _look(self, pid: Pid, at_ns: int) -> None:
        """Where a process lives that ran another program then."""
        try:
            with self._procfs.open_process(pid) as process:
                stat, netns, text = process.read_stat(), process.read_netns_inode(), process.read_cgroup()
        except (Gone, NotRead, FormatError):
            return  # It has ended by now, or may not be read: then its parent says where it lived.
        if stat.start_ticks > count_ticks(at_ns):
            return
        with self._lock:
            cookie = self._table.find_cookie(netns, self._cookies.get(netns))
            lodger = Lodger(netns, cookie, self._name(text))
            self._table.put(Living(pid, at_ns, stat.start_ticks, stat.comm, lodger))

    def _name(self, text: str) -> ContainerId | None:
        """The container of a cgroup text, None where it is none's, or not known yet; the lock is held."""
        if text not in self._texts and len(self._texts) < self._most_texts:
            identities = identify((*self._texts, text))
            self._texts[text] = believe({text: identities[text]}, self._containers)[text].container_id
        return self._texts.get(text)


def _find_lodger(process: Process, cookies: Mapping[int, int | None]) -> Lodger | None:
    if process.netns is None or process.kernel_thread:
        return None
    return Lodger(process.netns, cookies.get(process.netns), process.container_id)


def _map_texts(snapshot: Snapshot, facts: Facts) -> dict[str, ContainerId | None]:
    """The container of each cgroup text; None too where its processes are not all of the same one."""
    containers = {process.key: process.container_id for process in snapshot.processes}
    texts: dict[str, ContainerId | None] = {}
    for reading in facts.processes:
        found = containers.get(ProcessKey(reading.pid, reading.start_ticks))
        texts[reading.cgroup] = found if texts.get(reading.cgroup, found) == found else None
    return texts
