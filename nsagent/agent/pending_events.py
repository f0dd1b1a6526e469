"""The events that a report has not told yet: chosen after each pass, by names as they are then."""

from collections import deque

from nsagent.agent.event_log import EVENTS_KEPT, EventLog
from nsagent.errors import Ambiguous
from nsagent.model.named_event import EventsHead, LostEvents, NamedEvent, NamedProcessEvent
from nsagent.model.snapshot import Snapshot
from nsagent.query.events import EventFilter
from nsagent.query.filter import Filter


class PendingEvents:
    """Those that a filter asks for, of too many the last ones; for one thread at a time."""

    def __init__(self, wanted: Filter, *, most: int = EVENTS_KEPT) -> None:
        self._most = most
        self._filter = EventFilter(wanted, must_exist=False)
        self._events: deque[NamedEvent] = deque()
        self._missed = 0
        """Events that are told of no more."""
        self._last: int | None = None
        """The number of the last event that was chosen from; None before the first pass."""
        self._since = ""
        self._head: EventsHead | None = None
        self._error: Ambiguous | None = None

    def see(self, snapshot: Snapshot, log: EventLog, head: EventsHead) -> None:
        """Choose from what happened up to a pass; nothing of what happened before the first one."""
        self._error = None
        try:
            self._filter.learn(snapshot)
        except Ambiguous as err:
            self._error = err
        new = log.list_since(self._last or 0)
        if self._last is not None:
            self._missed += new.missed
            self._events.extend(filter(self._takes, new.events))
        while len(self._events) > self._most:
            self._events.popleft()
            self._missed += 1
        self._last = new.last
        self._since = self._since or snapshot.taken_at
        self._head = head._replace(since=self._since, until=snapshot.taken_at)

    def take(self) -> tuple[EventsHead | None, tuple[NamedEvent, ...]]:
        """Of what they are, and those since the last time; None before the first pass. Raises Ambiguous."""
        if self._error is not None:
            raise self._error
        head, events = self._head, tuple(self._events)
        if head is not None:
            head = head._replace(missed=self._missed)
            self._since = head.until or ""
        self._missed = 0
        self._events.clear()
        return head, events

    def _takes(self, event: NamedEvent) -> bool:
        if isinstance(event, LostEvents):
            return True
        if isinstance(event, NamedProcessEvent):
            return self._filter.takes_process(event)
        return self._filter.takes_socket(event.change)
