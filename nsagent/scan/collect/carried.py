"""What one pass hands on to the next: who has not run need not be read again, who hangs need not be asked.

An fd table that two processes have in common (clone(2) CLONE_FILES without CLONE_THREAD) changes while
one of them rests: neither is handed on. Whoever makes such a child runs, and the child does, so
the last two to share one were read in the same pass, unless that was late, or listed its processes before the child
was there. So only what a pass has read anew is compared, and what it has not read; whoever shares is read anew each
time.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Final

from nsagent.errors import AccessDenied, Gone, NotRead, Reason
from nsagent.identity.share import name_share
from nsagent.kernel.lookups import Lookups
from nsagent.kernel.pidfd import compare_fd_tables
from nsagent.model.ids import Pid, SocketInode
from nsagent.scan.collect.earlier_tables import EarlierTables
from nsagent.scan.collect.pace import Pace
from nsagent.scan.collect.resting_tables import RestingTables, Stirred
from nsagent.scan.collect.state import NetnsState
from nsagent.scan.collect.walk import Resting, Walk
from nsagent.scan.laps import Laps
from nsagent.scan.memory import Lodger, Memory
from nsagent.scan.rows import RowDecoder

MapLodgers = Callable[[], Mapping[int, Collection[Lodger]]]
"""Tells Memory.left."""


_ATTEMPTS: Final = 3

_NOBODY: Final = Stirred(frozenset(), frozenset(), whole=False)


class Carried:
    """What passes of one program over one host have in common, and hand on one after the other."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        """How fast they go."""
        self.lookups = Lookups(name_share)
        """What opens netns in foreign mount namespaces: it knows which of its children hang."""
        self.resting: Mapping[Pid, Resting] = {}
        """Processes that did not run when their fds were read."""
        self._aside: Mapping[Pid, Collection[SocketInode]] = {}
        """What the walk that read them has seen in fd tables of their threads."""
        self.tables = _make_tables()
        """What the tables name, and which of them still hold."""
        self._stirred = _NOBODY
        """What the walk of this pass has seen, until its tables are read."""
        self.memory = Memory()
        """Who held what is closing now."""
        self.netns_met: Callable[[int], object] | None = None
        """Is told an fd on each netns that a pass meets, which is held open meanwhile; for the thread that meets it."""
        self.map_lodgers: MapLodgers | None = None
        """Who lives in which netns, and did lately: asked when all is read, for who ends meanwhile left something."""
        self.decoder = RowDecoder()
        """Which rows there were."""
        self.laps: Laps | None = None
        """How long each stage of the last pass took."""

    def recall(self) -> Memory:
        """What is known of what this pass has read."""
        return replace(self.memory, left={} if self.map_lodgers is None else self.map_lodgers())

    def take(
        self, walk: Walk, list_pids: Callable[[], Iterable[Pid]], own_tables: Iterable[int] = (), *, comparable: bool
    ) -> None:
        """Keep what this walk has seen; `comparable`: its PIDs are those of the own PID namespace.

        `list_pids` tells which processes there are now; `own_tables` are as ThreadTables has them.
        """
        self._stirred = find_stirred(walk, self.resting, self._aside)
        self._aside = _list_aside(walk)
        self.resting = _leave_shared(walk, list_pids, own_tables) if comparable else {}

    def keep_tables(self, states: Collection[NetnsState]) -> list[NetnsState]:
        """Know what was read of these netns; those whose tables are to be dumped after all (RestingTables.keep)."""
        stirred, self._stirred = self._stirred, _NOBODY
        return [] if self.tables.resting is None else self.tables.resting.keep(states, stirred)

    def forget(self) -> None:
        """Let go of what takes memory: the next pass reads everything."""
        self.resting = {}
        self.tables = _make_tables()
        self.memory = Memory()
        self.decoder = RowDecoder()

    def take_over(self, other: "Carried") -> None:
        """Go on where another one was, at the own pace."""
        self.lookups, self.resting, self.memory = other.lookups, other.resting, other.memory
        self.tables, self._aside = other.tables, other._aside
        self.netns_met, self.map_lodgers = other.netns_met, other.map_lodgers
        self.decoder = other.decoder


def _make_tables() -> EarlierTables:
    return EarlierTables(resting=RestingTables())


def find_stirred(
    walk: Walk, before: Mapping[Pid, Resting], aside: Mapping[Pid, Collection[SocketInode]] | None = None
) -> Stirred:
    """The sockets that this walk has seen; `before` are those that rested in the walk before, as far as was known.

    `aside` is what that one has seen in fd tables of their threads.
    """
    rested: set[SocketInode] = set()
    others: set[SocketInode] = set()
    for reading in walk.readings:
        (rested if reading.pid in walk.rested else others).update(inode for _, inode in reading.socket_fds or ())
    for pid, one in before.items():
        if pid not in walk.rested:
            others.update(inode for _, inode in one.links.sockets)
            others.update(aside.get(pid, ()) if aside else ())
    return Stirred(rested, others, whole=not walk.denied and not walk.skipped)


def _list_aside(walk: Walk) -> Mapping[Pid, Collection[SocketInode]]:
    """The sockets in fd tables of threads, by their processes."""
    aside: dict[Pid, set[SocketInode]] = {}
    for reading in walk.readings:
        if reading.tid is not None:
            aside.setdefault(reading.pid, set()).update(inode for _, inode in reading.socket_fds or ())
    return aside


def _leave_shared(
    walk: Walk, list_pids: Callable[[], Iterable[Pid]], own_tables: Iterable[int]
) -> Mapping[Pid, Resting]:
    """Those that rest, without who shares an fd table with somebody else; nobody where that cannot be told.

    One that has ended since, or may not be compared, can share that of whoever holds a socket that it held.
    One that came after the walk had listed its processes may be the child of one that was read after that, and
    one that a late walk did not reach that of any. A thread's own table is read in each pass; a child of the thread
    may share it.
    """
    threads = {*own_tables, *(reading.tid for reading in walk.readings if reading.tid is not None)}
    try:
        unread = set(list_pids()).difference(reading.pid for reading in walk.readings)
        shared, untold = find_shared_tables({*walk.tables, *threads, *unread})
    except NotRead:
        return {}
    theirs = {
        inode for one in walk.readings if one.pid in untold or one.tid in untold for _, inode in one.socket_fds or ()
    }
    return {
        pid: one
        for pid, one in walk.resting.items()
        if pid not in shared and theirs.isdisjoint(inode for _, inode in one.links.sockets)
    }


def find_shared_tables(numbers: Collection[int]) -> tuple[set[int], set[int]]:
    """Which of these threads (a process goes by its leader) share an fd table, and of which that cannot be told.

    Those are gone, or may not be compared. Sorted by their tables, which takes 3 us times the logarithm of their
    number for each: 500 take 15 ms.
    Raises NotRead where no tables can be compared, and where threads end all the time while that is done.
    """
    for _ in range(_ATTEMPTS):
        tables, shared, untold = _sort_tables(numbers)
        if _is_sorted(tables):
            return shared, untold
    raise NotRead("fd tables", Reason.INTERRUPTED)


def _sort_tables(numbers: Iterable[int]) -> tuple[list[int], set[int], set[int]]:
    """One thread for each table, in the order of these; what find_shared_tables() tells."""
    tables: list[int] = []
    shared: set[int] = set()
    untold: set[int] = set()
    for number in numbers:
        low, high = 0, len(tables)
        while low < high:
            middle = (low + high) // 2
            other = tables[middle]
            try:
                order = compare_fd_tables(number, other)
            except (Gone, AccessDenied):
                if _is_untold(number):
                    untold.add(number)
                    break
                untold.add(tables.pop(middle))
                high -= 1
                continue
            if order == 0:
                shared.update((number, other))
                break
            low, high = (low, middle) if order < 0 else (middle + 1, high)
        else:
            tables.insert(low, number)
    return tables, shared, untold


def _is_sorted(tables: Iterable[int]) -> bool:
    """Whether they are in order still, so that each was compared with those that it may be the same as.

    Who ends, or runs another program while others have the same table, has another one, or none, from one moment
    to the next (a zombie has none): whoever was compared with that before and after may be in a wrong place.
    """
    try:
        return all(compare_fd_tables(one, other) < 0 for one, other in pairwise(tables))
    except (Gone, AccessDenied):
        return False


def _is_untold(number: int) -> bool:
    try:
        return compare_fd_tables(number, number) != 0
    except (Gone, AccessDenied):
        return True
