"""What is watched: events that are read in threads of their own, and wait for one that prints them.

What waits here is bounded. Who prints slowly has the readers wait, and then events wait in the kernel, which loses
what it has no room for, and tells; passes are compared less often.
"""

import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from queue import Empty, Full, Queue
from typing import Final, NamedTuple, Self

from nsagent.agent.processes import Processes
from nsagent.cli.options import Host
from nsagent.errors import Aborted
from nsagent.events.identities import Identities
from nsagent.events.process_events import ProcessEvents
from nsagent.events.socket_events import SocketEvents
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.threads import start_thread
from nsagent.model.change import Change
from nsagent.model.named_event import EventsOf, LostEvents, NamedEvent, NamedProcessEvent
from nsagent.model.process_event import ProcessEvent
from nsagent.model.snapshot import Snapshot
from nsagent.report.chunks import chunks
from nsagent.runtimes.discover import discover_runtimes
from nsagent.scan.collect.carried import Carried
from nsagent.scan.diff import diff_snapshots
from nsagent.scan.follow import follow
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import take_snapshot

_BATCHES: Final = 8
_BATCH: Final = 500
_LOOK_SECONDS: Final = 0.5
"""How often a thread that cannot go on looks whether it should end."""
_END_SECONDS: Final = 1.0
_COLLECT_PASSES: Final = 16
"""After so many passes what is in cycles is looked for: a pass makes none, libraries do."""


class Passed(NamedTuple):
    """A pass has ended: what it shows, and what has changed since the one before."""

    snapshot: Snapshot
    changes: tuple[Change, ...]


Told = Passed | list[NamedEvent]
"""What a thread has to tell."""


class Watching:
    """Makes passes and reads events until it is closed; a context manager."""

    def __init__(
        self,
        request: SnapshotRequest,
        host: Host,
        every_seconds: float,
        processes: ProcessEvents | None,
        sockets: SocketEvents | None,
        lodging: Processes,
    ) -> None:
        """`processes` and `sockets` are read where there are any, and closed with this; `lodging` learns of all."""
        self._every_seconds, self._processes, self._sockets = every_seconds, processes, sockets
        self._lodging = lodging
        self._runtimes = discover_runtimes(
            host.runtime,
            os.environ,
            os.path.abspath(host.host_root),
            clock=time.monotonic,
            labels_wanted=bool(request.only and request.only.labels),
            follow=True,
        )
        # Who comes and goes is not of this moment's containers alone.
        self._request = replace(request, only=None)
        self._carried = Carried()
        self._carried.netns_met = None if sockets is None else sockets.see_netns
        self._carried.map_lodgers = lodging.map_lodgers
        self._before: Snapshot | None = None
        self._began = time.monotonic()
        self._identities = Identities(ProcFs(request.proc_root))
        self._inbox: Queue[Told | BaseException] = Queue(_BATCHES)
        self._passed = threading.Event()
        """Whether the last pass was taken: there is no other one before."""
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for source in (self._processes, self._sockets):
            if source is not None:
                source.close()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        self._runtimes.close()

    def begin(self) -> Snapshot:
        """Read events from now on, and make the first pass; raises what scan.take does, and NotRead."""
        if self._processes is not None:
            self._start(partial(self._read_processes, self._processes))
        snapshot = self._make_pass().snapshot
        self._passed.set()
        if self._sockets is not None:
            self._start(partial(self._read_sockets, self._sockets))
        self._start(self._make_passes)
        return snapshot

    def take(self, seconds: float | None) -> Told | None:
        """What is next; None if nothing comes in this time. Raises what a thread has ended with."""
        try:
            told = self._inbox.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(told, BaseException):
            raise told
        if isinstance(told, Passed):
            self._passed.set()
        return told

    def _start(self, read: Callable[[], None]) -> None:
        def run() -> None:
            try:
                read()
            except Aborted:
                return
            except BaseException as err:  # noqa: BLE001 - raised again by who prints.
                self._put(err)

        thread = threading.Thread(target=run, daemon=True)
        start_thread(thread)
        self._threads.append(thread)

    def _put(self, told: Told | BaseException) -> None:
        while not self._stop.is_set():
            with suppress(Full):
                self._inbox.put(told, timeout=_LOOK_SECONDS)
                return

    def _make_passes(self) -> None:
        for number in count(1):
            began, ended = self._began, time.monotonic()
            self._stop.wait(max(began + self._every_seconds, 2 * ended - began) - ended)
            while not self._passed.wait(_LOOK_SECONDS) and not self._stop.is_set():
                pass
            if self._stop.is_set():
                return
            self._passed.clear()
            self._put(self._make_pass())
            if number % _COLLECT_PASSES == 0:
                gc.collect()

    def _make_pass(self) -> Passed:
        self._began, started_ns = time.monotonic(), time.monotonic_ns()
        taken = take_snapshot(
            self._request.started_at(time.time_ns()),
            self._runtimes,
            clock=time.monotonic,
            stop=self._stop,
            carried=self._carried,
        )
        snapshot, before = taken.snapshot, self._before
        for each in (self._identities, self._lodging):
            each.learn(snapshot, taken.facts, started_ns)
        if self._sockets is not None:
            self._sockets.learn(snapshot)
        self._before = follow(before, snapshot)
        return Passed(snapshot, () if before is None else diff_snapshots(before, snapshot))

    def _read_processes(self, events: ProcessEvents) -> None:
        lost = events.losses
        while not self._stop.is_set():
            batch: list[NamedEvent] = []
            event = events.take(_LOOK_SECONDS)
            while event is not None and len(batch) < _BATCH:
                batch.append(self._name(event))
                event = events.take(0)
            if event is not None:
                batch.append(self._name(event))
            if (losses := events.losses) != lost:
                batch.append(LostEvents(time.time(), EventsOf.PROCESS, losses.events - lost.events))
                lost = losses
            if batch:
                self._put(batch)

    def _name(self, event: ProcessEvent) -> NamedProcessEvent:
        identity = self._identities.follow(event)
        self._lodging.take(event, identity)
        return self._identities.name(event, identity)

    def _read_sockets(self, events: SocketEvents) -> None:
        lost = events.losses
        while not self._stop.is_set():
            event = events.take(_LOOK_SECONDS)
            batch: list[NamedEvent] = [] if event is None else [event, *events.read()]
            if (losses := events.losses) != lost:
                batch.append(LostEvents(time.time(), EventsOf.SOCKET, losses.events - lost.events))
                lost = losses
            for some in chunks(batch, _BATCH):
                self._put(some)
