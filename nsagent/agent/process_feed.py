"""What happens to processes, handed on with whose they are, as the kernel tells of it: to whoever counts, shows or
remembers it.

Where the kernel tells nothing, /proc is looked at only for a report that asks for events: each pass does anyway.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from nsagent.agent.processes import ProcessesKnown
from nsagent.agent.status import EventsStatus
from nsagent.errors import EventsUnavailable, NsagentError
from nsagent.events.identities import Identities
from nsagent.events.losses import Losses
from nsagent.events.process_events import ProcessEvents
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.threads import start_thread
from nsagent.model.named_event import Identity, NamedProcessEvent
from nsagent.model.process_event import EventEngine, ProcessEvent
from nsagent.scan.collect.pace import Pace

Sink = Callable[[ProcessEvent, Identity], object]
"""Takes an event, at once: it does no I/O, and what it keeps is bounded. It is called in the thread that hears."""
NamedSink = Callable[[NamedProcessEvent], object]
"""The same of an event as it is shown: to name all that nobody shows would take a tenth more."""

_LOOKS_A_SECOND: Final = 200
"""At processes that run another program, or whose parents nobody knows: a hundredth of a core."""

_PAUSE_SECONDS: Final = 0.05
"""From when all was heard until more is: where much happens, to wake up for each event costs four times as much."""

_PACED: Final = 64
"""After so many events it is looked at how much they took: that takes 3 us."""

_LISTEN_SECONDS: Final = 1.0
"""The same where nothing comes that is handed on: events of threads, of which there may be many, are taken in, too."""

_AGAIN_SECONDS: Final = 60.0
"""How long after events ended it is tried to hear them again."""

_END_SECONDS: Final = 0.3
"""How long it may take to hear no more; who waits for the kernel's first answer ends by itself."""


def hear(proc_root: str, *, poll_seconds: float | None = None) -> ProcessEvents:
    """All that happens to processes; raises EventsUnavailable where the kernel does not tell, unless it may poll."""
    events = ProcessEvents(proc_root=proc_root, poll_seconds=poll_seconds)
    events.watch_all()
    return events


class ProcessFeed:
    """Hears in a thread of its own, from begin() to close(); what a sink does keeps no pass waiting."""

    def __init__(
        self,
        proc_root: str,
        sinks: Sequence[Sink],
        *,
        named_sinks: Sequence[NamedSink] = (),
        tell: Callable[[str], None],
        hear: Callable[[str], ProcessEvents] = hear,
        share: float | None = None,
        again_seconds: float = _AGAIN_SECONDS,
    ) -> None:
        """`hear` subscribes to all processes of a procfs; raises EventsUnavailable and NotRead.

        It takes no more than `share` of a CPU: what the kernel cannot keep meanwhile is lost, counted, and looked for.
        What ends, or cannot be heard for what may pass, is tried again after `again_seconds`, and again.
        """
        self._share, self._again_seconds = share, again_seconds
        self._proc_root, self._tell, self._hear = proc_root, tell, hear
        self._sinks, self._named_sinks = tuple(sinks), tuple(named_sinks)
        self.identities = Identities(ProcFs(proc_root), looks_a_second=_LOOKS_A_SECOND)
        """What names the events, and learns of each pass."""
        self._ended = threading.Event()
        self._handed_on = 0
        """How many events were; its own thread alone counts them."""
        self._lock = threading.Lock()
        """Guards what follows."""
        self._events: ProcessEvents | None = None
        """What is heard now."""
        self._past = Losses()
        """Of what was heard before, whose end is a gap, too."""
        self._error: str | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="process events", daemon=True)

    def begin(self) -> None:
        """Hear from now on; that there is nothing to be heard shows later, in the status."""
        try:
            start_thread(self._thread)
        except NsagentError as err:
            self._fail(err)

    def status(self, known: ProcessesKnown) -> EventsStatus:
        """How it fares, and the table of processes that is fed."""
        with self._lock:
            events = self._events
            losses = self._past if events is None else self._past.plus(events.losses)
            return EventsStatus(
                engine=EventEngine.POLL if events is None else events.engine,
                error=self._error,
                events=self._handed_on,
                gaps=losses.gaps,
                lost=losses.events,
                processes=known.living,
                ended=known.ended,
                found_by_passes=known.found_by_passes,
                not_looked_at=self.identities.not_looked_at,
            )

    def close(self) -> None:
        """Hear no more."""
        with self._lock:
            self._closed = True
            events = self._events
        self._ended.set()
        if events is not None:
            events.close()
        if self._thread.ident is not None:
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while self._hear_on() and not self._ended.wait(self._again_seconds):
            pass

    def _hear_on(self) -> bool:
        """Hear until that ends; whether it is of use to try again: it was heard once, or what hinders it may pass."""
        try:
            events = self._hear(self._proc_root)
        except NsagentError as err:
            self._fail(err)
            return self._past != Losses() or not isinstance(err, EventsUnavailable) or err.may_pass
        with events:
            with self._lock:
                if self._closed:
                    return False
                self._events = events
                self._error = None if events.failure is None else str(events.failure)
            if events.failure is not None:
                self._tell(f"process events: {events.failure}: /proc is looked at instead, and tells less")
            try:
                self._hand_all_on(events)
            except NsagentError as err:
                self._fail(err)
            finally:
                with self._lock:
                    self._events, self._past = None, self._past.plus(events.losses)
        with self._lock:
            if not self._closed:
                self._past = self._past.plus(Losses(gaps=1))
        return True

    def _hand_all_on(self, events: ProcessEvents) -> None:
        pace = Pace(self._share, clock=time.monotonic, cpu_clock=time.thread_time)
        while not self._ended.is_set():
            event = events.take(_LISTEN_SECONDS)
            while event is not None:
                self._hand_on(event)
                self._handed_on += 1
                if self._handed_on % _PACED == 0:
                    pace.keep(self._ended)
                event = events.take(0)
            pace.keep(self._ended)
            self._ended.wait(_PAUSE_SECONDS)

    def _hand_on(self, event: ProcessEvent) -> None:
        identity = self.identities.follow(event)
        for sink in self._sinks:
            sink(event, identity)
        if self._named_sinks:
            named = self.identities.name(event, identity)
            for named_sink in self._named_sinks:
                named_sink(named)

    def _fail(self, err: NsagentError) -> None:
        with self._lock:
            was, self._error = self._error, str(err)
        if was != self._error:
            self._tell(f"process events: {err}: only passes tell which processes there are")
