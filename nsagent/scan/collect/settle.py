"""The stage that settles: whoever the walk did not show is looked for, and what has closed meanwhile is dropped.

More netns first: those to which only threads or sockets lead. Then rounds: rows that nobody was seen
to hold are looked up again, and looked for in the processes again.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from nsagent.errors import Reason
from nsagent.kernel.formats.release import is_at_least
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.threads import run_in_threads
from nsagent.model.choices import OwnersWanted
from nsagent.model.facts import ProcessReading, Rewalk
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import Pid, SocketInode
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.holders import Search, ThreadTables, search_processes
from nsagent.scan.collect.look_again import drop_closed, list_young
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.rings import Rings
from nsagent.scan.collect.state import Unheld
from nsagent.scan.collect.unlisted import find_unlisted, leave_vsock, see_sockets, see_threads
from nsagent.scan.collect.walk import Resting, Walk
from nsagent.scan.plan import MAX_ROUNDS, plan_next_round


@dataclass(slots=True)
class Settled:
    """What the rounds brought: readings of holders that the first walk did not show."""

    readings: list[ProcessReading] = field(default_factory=list)
    rewalk: Rewalk | None = None
    ownerless: list[Unheld] = field(default_factory=list)
    """The rows that nobody was seen to hold, and that have not closed."""


def settle(context: PassContext, walk: Walk, concerned: Sequence[ProcessReading]) -> Settled:
    """Look for what the walk did not show: more netns, and the owners of rows without one.

    Sockets in no table, of the processes `concerned`, lead to more netns.
    """
    if context.request.owners is OwnersWanted.CONTAINER:
        return Settled()
    if context.is_over():
        context.gaps.add((Gap(Stage.NETNS, Subject(Kind.NETNS_OF_SOCKETS), Reason.LATE),))
        _leave_unsettled(context.reader.find_unheld(walk.list_held()))
        return Settled()
    _follow_unlisted(context, concerned)
    return _search_missing_owners(context, walk)


def read_met(context: PassContext, met: Sequence[MetNetns], *, anew: bool = False) -> None:
    """Read the tables of these netns; `anew` as TableReader.read() has it."""
    run_in_threads([partial(context.reader.read, met, anew=anew)], context.stop)
    context.reader.read_rest(met)


def _follow_unlisted(context: PassContext, concerned: Sequence[ProcessReading]) -> None:
    """Read the netns to which only threads, or only sockets, lead."""
    unlisted = leave_vsock(context, find_unlisted(context, concerned))
    see_threads(context, unlisted)
    if not unlisted:
        return
    _read_new(context)
    listed = context.reader.list_inodes()
    unlisted = [one for one in unlisted if one.inode not in listed]
    if unlisted and context.live and context.procfs.shows_own_pids():
        # Most are younger than the table of their holder's netns: only of the others is the socket itself
        # asked, which means to hold it for a moment.
        young = list_young(context, {one.holder.netns_inode for one in unlisted})
        see_sockets(context, [one for one in unlisted if one.inode not in young])
        _read_new(context)


def _read_new(context: PassContext) -> None:
    """Read the netns met since the last read."""
    if found := context.reader.find_new(context.registry.list_met()):
        read_met(context, found, anew=True)


def _search_missing_owners(context: PassContext, walk: Walk) -> Settled:
    """Look rows without an owner up again, to drop what has closed meanwhile; walk again for those that have not.

    A row of a netns in which a process lives that may not be read, and whose uid is that of no
    readable process, is left alone: that process holds it, most likely. Rows whose holders are
    still being found when the rounds are used up become `unsettled`.
    """
    settled = Settled()
    started = context.clock()
    held = walk.list_held()
    found = context.reader.find_unheld(held)
    unheld = _leave_hidden(found, walk.readings)
    comparable = context.procfs.shows_own_pids()
    resting: Mapping[Pid, Resting] = walk.resting
    search: Search | None = None
    before: set[SocketInode] = set()
    for rounds in range(MAX_ROUNDS + 1):
        drop_closed(context, unheld)
        unheld = _keep(unheld, lambda one, place: place.inode not in one.netns.closed)
        missing = {place.inode for one in unheld for place in one.places}
        if context.is_over():
            _leave_unsettled(unheld)
            if missing:
                context.gaps.add((Gap(Stage.FDS, Subject(Kind.OWNERS), Reason.LATE, count=len(missing)),))
            break
        if not plan_next_round(missing, before, rounds):
            break
        search = Search(missing, context.reader.list_inodes(), ThreadTables(comparable), _make_rings(context))
        again, resting = search_processes(context, search, resting)
        settled.readings += again
        threads, seconds = search.threads, round(context.clock() - started, 6)
        settled.rewalk = Rewalk(rounds + 1, threads.seen, threads.skipped, search.in_flight, seconds)
        held.update(inode for reading in again for _, inode in reading.socket_fds or ())
        unheld = _keep(unheld, lambda _, place: place.inode not in held)
        before = missing
    if search is not None:
        _tell_unread(context, search)
    if settled.rewalk and settled.rewalk.rounds == MAX_ROUNDS and len(missing) < len(before):
        _leave_unsettled(unheld)
    left = _keep(found, lambda one, place: place.inode not in held and place.inode not in one.netns.closed)
    settled.ownerless = [one for one in left if one.places]
    return settled


def _tell_unread(context: PassContext, search: Search) -> None:
    """Add what the last round could not read, but what could not be read before for the same reason."""
    told = {(gap.stage, gap.subject, gap.reason) for gap in context.gaps.list_gaps()}
    unread = (*search.gaps, *search.rings.gaps, *search.threads.gaps)
    context.gaps.add(gap for gap in unread if (gap.stage, gap.subject, gap.reason) not in told)


def _make_rings(context: PassContext) -> Rings:
    shows_paths = is_at_least(context.procfs.read_sysctl("kernel/osrelease"), 6, 14)
    return Rings(shows_paths, context.keep_pace, context.is_over)


def _leave_unsettled(unheld: Iterable[Unheld]) -> None:
    """Note that it is not known who holds these rows, or whether they have closed."""
    for one in unheld:
        one.netns.unsettled |= {place.inode for place in one.places}


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
