"""Processes as they come and go: those that somebody watches, or all.

Subscribed to first, and looked at in /proc then, so that nothing falls in between. What waits, waits in the kernel: a
reader that is slow loses events, which is seen, counted and mended by one more look, and costs no memory. Where the
kernel tells nothing, one look after the other is compared.
"""

import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from typing import Final, Protocol, Self

from nsagent.errors import EventsUnavailable, FormatError, Gone, NotRead
from nsagent.events.losses import Losses
from nsagent.events.running import look_at, look_at_all
from nsagent.events.table import ProcessTable
from nsagent.events.waiter import Waiter
from nsagent.events.watches import Watch, Watches
from nsagent.kernel.boot_clock import count_ticks
from nsagent.kernel.proc_events import Batch, open_connector
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid
from nsagent.model.process_event import EventEngine, ProcessEvent, ProcessEventKind

_TIMES_APART: Final = 4
"""So many times as long as a look took, the next one begins after its end: a large host takes no more of a core."""
_UNDRAINED_NS: Final = 1_000_000_000
"""After a loss what still waits is read first, but not longer than this."""
_MOST_BATCHES: Final = 64
_RUSH_NS: Final = 4_000_000
_GATHER_SECONDS: Final = 0.001
"""Where events came a moment ago more are let gather: in the least of buffers, for 256 of them, 10 ms have room."""
_SURE_NS: Final = 600_000_000_000
"""So long it is believed that nothing was lost of which nothing tells: what a CPU lost before its first event."""

_LOOKED_UP: Final = frozenset((ProcessEventKind.FORK, ProcessEventKind.EXEC))

ALL_KINDS: Final = frozenset(ProcessEventKind)


class Source(Protocol):
    """What tells events."""

    def fileno(self) -> int:
        """An fd that can be read from when events wait."""
        ...

    def read(self) -> Batch:
        """What waits."""
        ...

    def close(self) -> None:
        """Tell no more."""
        ...


def _connect(procfs: ProcFs) -> Source:
    return open_connector(procfs, time.monotonic)


class ProcessEvents:
    """Events of the processes that are watched; a context manager, an iterator, and one for asyncio.

    Any number of threads may use it at once; each event goes to one of them. It has no thread of its own.
    """

    def __init__(
        self,
        *,
        proc_root: str = "/proc",
        poll_seconds: float | None = 1.0,
        with_keys: bool = False,
        connect: Callable[[ProcFs], Source] = _connect,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Without events of the kernel, /proc is looked at every `poll_seconds`, and less often where that takes long.

        With None it is not: then this raises EventsUnavailable, as `connect` does; where no fds are to be had it always
        does. `with_keys` has whoever is told to have begun, or to run another program, looked at for its start and
        name: 60 us each. `clock_ns` is CLOCK_MONOTONIC. Raises NotRead where there is no procfs at all.
        """
        self._procfs, self._clock_ns, self._with_keys = ProcFs(proc_root), clock_ns, with_keys
        self._poll_ns = int((poll_seconds or 0.0) * 1e9)
        self.failure: EventsUnavailable | None = None
        """Why the kernel tells nothing; None if it does."""
        self._source: Source | None = None
        try:
            self._source = connect(self._procfs)
        except EventsUnavailable as err:
            if poll_seconds is None:
                raise
            self.failure = err
        self._table, self._watches = ProcessTable(count_ticks), Watches()
        self._ready: deque[ProcessEvent] = deque()
        self._lost_at: int | None = None
        """When a loss was told of that no look has mended."""
        self._next_look = 0
        self._sure_until = 0
        """A look is due then, even if no loss is told of."""
        self._woken_ns = 0
        """When somebody was woken last."""
        self._closed = False
        self._lock = threading.RLock()
        """Guards all of these; not held while anybody waits. A signal handler may close what its thread is reading."""
        self.losses = Losses()
        try:
            self._waiter = Waiter(() if self._source is None else (self._source.fileno(),))
        except EventsUnavailable:
            if self._source is not None:
                self._source.close()
            raise
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def engine(self) -> EventEngine:
        """Whether events come from the kernel, or from looks that are compared."""
        return EventEngine.POLL if self._source is None else EventEngine.CONNECTOR

    def watch(self, pid: int, kinds: Collection[ProcessEventKind] = ALL_KINDS, *, follow: bool = False) -> None:
        """Tell what happens to a process from now on; with `follow` to its children and theirs, those to come too.

        A watch ends with its process. Raises ProcessGone, UsageError for a thread, and NotRead.
        """
        with self._lock:
            self._catch_up()
            process = Pid(pid)
            if self._with_keys or self._source is None or process not in self._table:
                self._keep(self._table.add_one(process, look_at(self._procfs, process, self._clock_ns)))
            watch = Watch(frozenset(kinds), follow)
            for each in (process, *(self._table.list_descendants(process) if follow else ())):
                self._watches.put(each, watch)

    def watch_all(self, kinds: Collection[ProcessEventKind] = ALL_KINDS) -> None:
        """Tell what happens to any process from now on; no kinds tell nothing but what single watches want."""
        with self._lock:
            self._catch_up()
            self._watches.put_all(kinds)

    def unwatch(self, pid: int) -> bool:
        """Tell no more of a process; whether it was watched. Children that were followed stay watched."""
        with self._lock:
            return self._watches.remove(Pid(pid))

    def list_watched(self) -> list[Pid]:
        """The processes that are watched by their pid now: children that are followed too."""
        with self._lock:
            return self._watches.list_pids()

    def take(self, seconds: float | None = None) -> ProcessEvent | None:
        """The next event; None if none comes in this time, or once this is closed. Raises NotRead."""
        event = self._pop()  # First of all: where much happens, to ask the clock for each takes long.
        until = None if seconds is None or event is not None else self._clock_ns() + int(seconds * 1e9)
        while event is None and not self._closed:
            wait_ns = self._advance()
            if until is not None:
                left = until - self._clock_ns()
                if left <= 0:
                    return self._pop()
                wait_ns = min(wait_ns, left)
            if wait_ns != 0:
                self._waiter.wait(wait_ns / 1e9)
                time.sleep(self._find_rest())
            event = self._pop()
        return event

    def __iter__(self) -> Iterator[ProcessEvent]:
        return self

    def __next__(self) -> ProcessEvent:
        event = self.take()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> AsyncIterator[ProcessEvent]:
        return self

    async def __anext__(self) -> ProcessEvent:
        """As __next__; what is read in a thread of the loop's executor stays here if the task is cancelled."""
        import asyncio

        while True:
            event = self._pop()
            if event is not None:
                return event
            if self._closed:
                raise StopAsyncIteration
            wait_ns = await asyncio.to_thread(self._advance)
            if wait_ns != 0:
                await self._waiter.wait_async(wait_ns / 1e9)
                await asyncio.sleep(self._find_rest())

    def close(self) -> None:
        """Hear no more; who waits for an event is told that there is none."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._source is not None:
                self._source.close()
            self._waiter.close()

    def _find_rest(self) -> float:
        """How long to let events gather, in seconds: none unless some were waited for a moment ago.

        To be woken for each takes as long as to take in two of them.
        """
        before, self._woken_ns = self._woken_ns, self._clock_ns()
        return _GATHER_SECONDS if self._woken_ns - before < _RUSH_NS else 0.0

    def _pop(self) -> ProcessEvent | None:
        with self._lock:
            if not self._ready or self._closed:
                return None
            event = self._ready.popleft()
            if not self._ready:
                self._waiter.set_ready(False)
            return event

    def _advance(self) -> int:
        """Read what waits, and look if that is due; how long to wait then for more, if none comes."""
        with self._lock:
            if self._closed:
                return 0
            drained = self._read()
            if self._is_look_due(drained):
                self._look()
            if self._ready or not drained:
                return 0
            sure = self._source is not None and self._lost_at is None
            return max((self._sure_until if sure else self._next_look) - self._clock_ns(), 0)

    def _read(self) -> bool:
        """Apply what waits; whether that was all."""
        if self._source is None:
            return True
        batch = self._source.read()
        if batch.lost is not None:
            self.losses = self.losses.plus(Losses(batch.lost.afresh, batch.lost.number))
            if batch.lost.afresh and self._lost_at is None:
                self._lost_at = self._clock_ns()
        for timestamp_ns, event in batch.events:
            self._keep(self._table.apply(timestamp_ns, event))
        return batch.drained

    def _catch_up(self) -> None:
        """Make the table what it is now, as far as events tell."""
        self._read_all()
        if self._lost_at is not None:
            self._look()

    def _read_all(self) -> None:
        for _ in range(_MOST_BATCHES):
            if self._read():
                return

    def _is_look_due(self, drained: bool) -> bool:
        now = self._clock_ns()
        if now < self._next_look:
            return False
        if self._source is None:
            return True
        if self._lost_at is None:
            return drained and now >= self._sure_until
        return drained or now >= self._lost_at + _UNDRAINED_NS

    def _look(self) -> None:
        """Hold all processes against what is known of them."""
        look = look_at_all(self._procfs, self._clock_ns)
        self._lost_at = None
        self._keep(self._table.add(look))
        self._read_all()
        self._keep(self._table.drop(look))
        ended = self._clock_ns()
        apart = 0 if self._source is not None else self._poll_ns
        self._next_look = max(look.started_ns + apart, ended + (ended - look.started_ns) * _TIMES_APART)
        self._sure_until = ended + _SURE_NS

    def _keep(self, events: Iterable[ProcessEvent]) -> None:
        wanted = filter(self._watches.take, events)
        self._ready.extend(map(self._complete, wanted) if self._with_keys else wanted)
        if self._ready:
            self._waiter.set_ready(True)

    def _complete(self, event: ProcessEvent) -> ProcessEvent:
        """A fork or an exec with the start and the name of its process, if that is still there."""
        pid = event.pid if event.child is None else event.child
        if event.kind not in _LOOKED_UP or event.found_by is EventEngine.POLL:
            return event
        try:
            with self._procfs.open_process(pid) as process:
                stat = process.read_stat()
        except (Gone, NotRead, FormatError):
            return event
        # Whoever began later, or at another time than is known, has the pid of one that has ended.
        if stat.start_ticks > count_ticks(event.timestamp_ns) or event.start_ticks not in (None, stat.start_ticks):
            return event
        self._table.learn_start(pid, stat.start_ticks)
        return event._replace(start_ticks=stat.start_ticks, comm=stat.comm)
