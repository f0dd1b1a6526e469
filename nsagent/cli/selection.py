"""Which of what a watch is told it prints."""

from collections.abc import Iterable

from nsagent.cli.watching import Passed, Told
from nsagent.errors import UsageError
from nsagent.events.followed import Followed
from nsagent.events.socket_changes import SocketChanges
from nsagent.model.ids import Pid
from nsagent.model.named_event import LostEvents, NamedEvent, NamedProcessEvent
from nsagent.model.snapshot import Snapshot
from nsagent.model.socket_event import SocketEvent
from nsagent.query.events import EventFilter
from nsagent.query.filter import Filter


class Selection:
    """What a filter and options ask for; for one thread."""

    def __init__(self, wanted: Filter, *, processes: bool, sockets: bool, follow: bool) -> None:
        """`processes`, `sockets`: these alone. Raises UsageError where nothing is left to be told."""
        self.pids = wanted.pids
        """Those that are watched alone, all for none."""
        self._filter = EventFilter(wanted._replace(pids=()))
        if processes and self._filter.asks_for_sockets:
            raise UsageError("--processes: the filter asks for sockets: for ports, addresses, protocols or states")
        self.processes_wanted = not sockets and not self._filter.asks_for_sockets
        self.sockets_wanted = not processes
        self._follow = follow
        self._followed: Followed | None = None
        self._changes = SocketChanges()

    @property
    def needs_processes(self) -> bool:
        """Whether events of processes are to be read: to be told, or to know who is followed."""
        return self.processes_wanted or bool(self.pids)

    @property
    def is_over(self) -> bool:
        """Whether all processes that are watched have ended."""
        return self._followed is not None and self._followed.are_gone

    def follow(self, watched: Iterable[Pid]) -> None:
        """Tell of these processes alone, which are watched now; of all where no pids were asked for."""
        if self.pids:
            self._followed = Followed(watched, children=self._follow)

    def learn(self, snapshot: Snapshot) -> None:
        """Take names as they are in the next snapshot; see EventFilter."""
        self._filter.learn(snapshot)

    def choose(self, told: Told) -> list[NamedEvent]:
        """The events that are printed; raises Ambiguous for what a name means by now."""
        if isinstance(told, Passed):
            self.learn(told.snapshot)
            return self._choose_sockets(told)
        chosen: list[NamedEvent] = []
        for event in told:
            if isinstance(event, SocketEvent):
                self._changes.note(event)
            elif isinstance(event, NamedProcessEvent) and self._followed is not None:
                self._followed.add(event.event)
            if self._takes(event):
                chosen.append(event)
        return chosen

    def _takes(self, event: NamedEvent) -> bool:
        if isinstance(event, LostEvents):
            return True
        if isinstance(event, NamedProcessEvent):
            return self.processes_wanted and self._filter.takes_process(event)
        is_followed = self._followed is None or self._followed.hold(event.change)
        return is_followed and self._filter.takes_socket(event.change)

    def _choose_sockets(self, passed: Passed) -> list[NamedEvent]:
        events = self._changes.tell(passed.changes) if self.sockets_wanted else ()
        chosen: list[NamedEvent] = [event for event in events if self._takes(event)]
        if self._followed is not None:
            self._followed.end_pass()
        return chosen
