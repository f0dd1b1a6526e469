"""What all stages of one pass share: what is asked for, what is read, where gaps go, and when to stop."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import NamedTuple

from nsagent.errors import Gone, NotRead, Reason
from nsagent.kernel.host_mounts import find_host_mounts
from nsagent.kernel.lookups import Lookup, Lookups, SocketLookup
from nsagent.kernel.procfs import ProcFs
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.scan.collect.earlier_tables import EarlierTables
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.netns import MetNetns, NetnsRegistry
from nsagent.scan.collect.pace import Pace
from nsagent.scan.collect.read import TableReader
from nsagent.scan.collect.room import Room
from nsagent.scan.request import PassRequest


class PassContext(NamedTuple):
    """One pass."""

    request: PassRequest
    procfs: ProcFs
    live: bool
    """The procfs is one of the running kernel."""
    registry: NetnsRegistry
    reader: TableReader
    room: Room
    gaps: GapSink
    lookups: Lookups
    """What opens netns in foreign mount namespaces, pass after pass."""
    pace: Pace
    clock: Callable[[], float]
    """Monotonic, in seconds."""
    stop: threading.Event
    ends_at: float
    """By the clock: from then on nothing more is begun."""

    def keep_pace(self) -> None:
        """To be called between any two reads that take a while."""
        self.pace.keep(self.stop, lambda: self.clock() >= self.ends_at)

    def seconds_left(self) -> float:
        """Until the deadline of the pass, 0 from then on."""
        return max(self.ends_at - self.clock(), 0.0)

    def is_over(self) -> bool:
        """Whether nothing more is to be begun: the pass was told to stop, or is late."""
        return self.stop.is_set() or self.clock() >= self.ends_at

    def open_each(
        self, wanted: Sequence[Lookup | SocketLookup]
    ) -> Generator[tuple[int, int | Gone | NotRead], None, None]:
        """What Lookups.open_each tells, within the patience of the pass; a gap tells of who was left behind before."""
        if left := self.lookups.count_left():
            self.gaps.add((Gap(Stage.NETNS, Subject(Kind.CHILDREN), Reason.LEFT_OPEN, count=left),))
        seconds = min(self.request.patience_seconds, self.seconds_left())
        return self.lookups.open_each(wanted, seconds, clock=self.clock, stop=self.stop)


@contextmanager
def open_context(
    request: PassRequest,
    procfs: ProcFs,
    tell_met: Callable[[MetNetns], object],
    *,
    live: bool,
    lookups: Lookups,
    pace: Pace,
    earlier: EarlierTables,
    clock: Callable[[], float],
    stop: threading.Event,
) -> Iterator[PassContext]:
    """The context of a pass; lets go of every netns and every socket in one at its end.

    `tell_met` is told each netns when it is first seen, by the thread that sees it. `earlier` is what is
    known of the tables of the passes before.
    """
    ends_at = inf if request.deadline_seconds is None else clock() + request.deadline_seconds
    gaps = GapSink()
    room = Room(stop, reads_later=request.only is not None)
    with (
        TableReader(
            procfs,
            request.engine,
            request.tables,
            room,
            gaps,
            earlier,
            may_enter=live,
            clock=clock,
            stop=stop,
            is_late=lambda: clock() >= ends_at,
            keep_pace=lambda: pace.keep(stop, lambda: clock() >= ends_at),
        ) as reader,
        NetnsRegistry(room, gaps, tell_met, find_host_mounts(procfs, request.host_root)) as registry,
    ):
        yield PassContext(request, procfs, live, registry, reader, room, gaps, lookups, pace, clock, stop, ends_at)
