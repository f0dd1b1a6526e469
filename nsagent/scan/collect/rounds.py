"""The rounds after the first walk: rows that nobody was seen to hold are looked up and looked for again."""

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.procfs import ProcFs
from nsagent.model.facts import Gap, ProcessReading, Rewalk
from nsagent.model.ids import SocketInode
from nsagent.scan.collect.holders import Search, ThreadTables, search_processes
from nsagent.scan.collect.netns import NetnsRegistry
from nsagent.scan.collect.netns_tables import Unheld
from nsagent.scan.collect.processes import Walk
from nsagent.scan.collect.second_look import SecondLook
from nsagent.scan.collect.tables import TableReader
from nsagent.scan.plan import MAX_ROUNDS, plan_next_round


@dataclass(slots=True)
class Rounds:
    """What the rounds brought: readings of holders that the first walk did not show."""

    readings: list[ProcessReading] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    rewalk: Rewalk | None = None


def search_missing_owners(
    procfs: ProcFs,
    registry: NetnsRegistry,
    reader: TableReader,
    look: SecondLook,
    walk: Walk,
    unheld: list[Unheld],
    *,
    clock: Callable[[], float],
    stop: threading.Event,
    patience_seconds: float,
) -> Rounds:
    """Look rows without an owner up again, to drop what has closed meanwhile; walk again for those that have not.

    A row of a netns in which a process lives that may not be read, and whose uid is that of no
    readable process, is left alone: that process holds it, most likely. Rows whose holders are
    still being found when the rounds are used up become `unsettled`.
    """
    found = Rounds()
    started = clock()
    held = walk.list_held()
    unheld = _leave_hidden(unheld, walk.readings)
    comparable = procfs.shows_own_pids()
    before: set[SocketInode] = set()
    for rounds in range(MAX_ROUNDS + 1):
        look.drop_closed(unheld)
        unheld = [Unheld(*one[:2], [p for p in one.places if p.inode not in one.netns.closed]) for one in unheld]
        missing = {place.inode for one in unheld for place in one.places}
        if stop.is_set() or not plan_next_round(missing, before, rounds):
            break
        search = Search(missing, reader.listed, ThreadTables(comparable))
        again = search_processes(procfs, registry, search, stop, patience_seconds)
        found.readings += again
        found.gaps = search.gaps + search.threads.gaps
        threads = search.threads
        found.rewalk = Rewalk(rounds + 1, threads.seen, threads.skipped, search.in_flight, round(clock() - started, 6))
        held.update(inode for reading in again for _, inode in reading.socket_fds or ())
        unheld = _keep(unheld, lambda _, place: place.inode not in held)
        before = missing
    if found.rewalk and found.rewalk.rounds == MAX_ROUNDS and len(missing) < len(before):
        for one in unheld:
            one.netns.unsettled |= {place.inode for place in one.places}
    return found


def _leave_hidden(unheld: list[Unheld], readings: Iterable[ProcessReading]) -> list[Unheld]:
    denied = [reading for reading in readings if reading.socket_fds is None]
    if not denied:
        return unheld
    inodes = {reading.netns_inode for reading in denied} - {None}
    keys = {reading.netns_key for reading in denied} - {None}
    uids = {reading.uid for reading in readings if reading.socket_fds}

    def is_worth_it(one: Unheld, place: RowPlace) -> bool:
        met = one.netns.met
        lives_there = (met.id and met.id.inode in inodes) or met.key in keys
        return not lives_there or place.uid in uids

    return _keep(unheld, is_worth_it)


def _keep(unheld: Collection[Unheld], wanted: Callable[[Unheld, RowPlace], bool]) -> list[Unheld]:
    return [Unheld(one.netns, one.table, [place for place in one.places if wanted(one, place)]) for one in unheld]
