"""What happened to processes and sockets lately, with whose they are, and how much since the start.

Its thread-safe part is what reports and metrics ask for; events come in from the threads that hear of them.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from nsagent.agent.status import EventCounts
from nsagent.events.losses import Losses
from nsagent.events.socket_changes import SocketChanges
from nsagent.model.change import Change
from nsagent.model.ids import Pid
from nsagent.model.named_event import LIFE, EventsOf, Identity, LostEvents, NamedEvent, NamedProcessEvent
from nsagent.model.process_event import ProcessEvent, ProcessEventKind
from nsagent.model.snapshot import Snapshot
from nsagent.model.socket_event import OwnerSource, SocketEvent

EVENTS_KEPT: Final = 10_000
"""Until the next pass; one has about 0.8 KiB."""

_LIFE: Final = frozenset(LIFE)
_EXIT: Final = ProcessEventKind.EXIT
"""A name of its own: to ask an enum for its member takes a tenth of what an event does."""


class EventsSince(NamedTuple):
    """The events after a number; `missed` more were let go before, `last` is the number to go on from."""

    events: tuple[NamedEvent, ...]
    missed: int
    last: int


class EventLog:
    """The last events, numbered from 1 on without gaps, where somebody wants them; their counts in any case."""

    def __init__(self, *, most: int = EVENTS_KEPT, wall_clock: Callable[[], float] = time.time) -> None:
        self.wanted = False
        """Whether events are kept: whoever loads another config sets it."""
        self._wall_clock = wall_clock
        self._changes = SocketChanges()
        self._lock = threading.Lock()
        """Guards all that follows, and the changes."""
        self._events: deque[NamedEvent] = deque(maxlen=most)
        self._last = 0
        self._counts: Counter[str] = Counter()
        self._lost: Counter[EventsOf] = Counter()
        """How many since the start."""
        self._losses: dict[EventsOf, Losses] = {}
        """Of those that listen now."""
        self._short_processes = self._short_sockets = 0
        self._new: set[Pid] = set()
        """Processes that have begun since the last pass."""
        self._new_before: set[Pid] = set()
        """Those that began while that pass was under way, and that it has not met."""

    def count_one(self, event: ProcessEvent, _: Identity) -> None:
        """What has happened to a process, whether anybody wants to be told or not."""
        if event.kind not in _LIFE:
            return
        with self._lock:
            self._counts[event.kind] += 1
            if event.child is not None:
                self._new.add(event.child)
            elif event.kind is _EXIT:
                self._short_processes += event.pid in self._new or event.pid in self._new_before
                self._new.discard(event.pid)
                self._new_before.discard(event.pid)

    def keep(self, named: NamedProcessEvent) -> None:
        """The same event for whoever wants to be told."""
        if named.event.kind in _LIFE:
            with self._lock:
                self._add(named)

    def take_socket(self, event: SocketEvent) -> None:
        """The end of a socket of which the kernel has told."""
        with self._lock:
            self._changes.note(event)
            self._short_sockets += event.owner_source is not OwnerSource.SNAPSHOT
            self._add_socket(event)

    def hear_anew(self, of: EventsOf) -> None:
        """Somebody else listens for these from now on, who counts what he loses from 0 on."""
        with self._lock:
            self._losses.pop(of, None)

    def lose(self, of: EventsOf, losses: Losses) -> None:
        """What was lost since somebody listens; a loss is told also where it is not known how many those were."""
        with self._lock:
            before = self._losses.get(of, Losses())
            if losses != before:
                self._losses[of] = losses
                more = losses.events - before.events
                self._lost[of] += more
                self._add(LostEvents(self._wall_clock(), of, more))

    def learn(self, snapshot: Snapshot, changes: Iterable[Change]) -> None:
        """What a pass shows, and how that differs from the one before."""
        with self._lock:
            self._new_before = self._new.difference(process.pid for process in snapshot.processes)
            self._new = set()
            for event in self._changes.tell(changes):
                self._add_socket(event)

    def list_since(self, number: int) -> EventsSince:
        """The events that have a higher number, as far as they are kept."""
        with self._lock:
            new = max(self._last - number, 0)
            events = tuple(self._events)[-new:] if new else ()
            return EventsSince(events, new - len(events), self._last)

    def count(self) -> EventCounts:
        """How much has happened since the start."""
        with self._lock:
            return EventCounts(
                processes={str(kind): self._counts[kind] for kind in LIFE},
                short_lived_processes=self._short_processes,
                sockets={str(kind): self._counts[kind] for kind in ("open", "close", "change")},
                short_lived_sockets=self._short_sockets,
                lost={str(of): self._lost[of] for of in EventsOf},
            )

    def _add_socket(self, event: SocketEvent) -> None:
        self._counts[event.kind] += 1
        self._add(event)

    def _add(self, event: NamedEvent) -> None:
        if self.wanted:
            self._last += 1
            self._events.append(event)
