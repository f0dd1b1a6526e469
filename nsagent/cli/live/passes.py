"""Passes for the live table, one after the other, in a thread of their own."""

import gc
import threading
from collections.abc import Callable, Collection
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, Protocol

from nsagent.cli.answer import add_command_lines, check_named, list_unmet_lines, tell_lacking
from nsagent.cli.live.look import Arranged, Look, arrange
from nsagent.cli.live.seen import Seen, add_pass
from nsagent.cli.options import Source
from nsagent.cli.read import discover
from nsagent.errors import Aborted, NotFound, NsagentError
from nsagent.kernel.threads import start_thread
from nsagent.model.choices import View
from nsagent.model.snapshot import Snapshot
from nsagent.report.coverage import coverage_lines
from nsagent.report.escape import escape
from nsagent.report.options import OutputOptions
from nsagent.runtimes.runtimes import Runtimes
from nsagent.scan.collect.carried import Carried
from nsagent.scan.progress import Progress
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import take_snapshot

_COLLECT_PASSES: Final = 16
"""After so many passes what is in cycles is looked for: a pass makes none, libraries do."""

_LATE_SECONDS: Final = 1.0
_END_SECONDS: Final = 2.0
"""How long a pass is waited for that is to end: it is left behind where it hangs."""


class Select(Protocol):
    """The rows of a pass that the table is about; what an expression names may be gone `again`."""

    def __call__(self, snapshot: Snapshot, *, again: bool) -> Snapshot: ...


class Watched(NamedTuple):
    """What the live table is about."""

    view: View
    make_request: Callable[[], SnapshotRequest]
    """The request of the next pass."""
    select: Select
    source: Source
    output: OutputOptions
    named: Collection[str]
    """Names of containers that `select` looks for."""
    labels_wanted: bool
    interval_seconds: float
    """From the end of a pass to the start of the next."""
    strict: bool


class Passes:
    """Makes passes until it is closed; each one is put where `take` finds it, and then `wake` is called.

    An error of the first pass ends them, and is raised by `take`; a later one is told beside what was seen last.
    """

    def __init__(self, watched: Watched, look: Look, wake: Callable[[], object], clock: Callable[[], float]) -> None:
        self.look = look
        """How passes to come are arranged; another thread may put a new one here."""
        self._watched, self._wake, self._clock = watched, wake, clock
        self._carried = Carried()
        self._last: Seen | None = None
        self._progress = Progress()
        self._begun: float | None = None
        self._made: SimpleQueue[Arranged | BaseException] = SimpleQueue()
        self._stop = threading.Event()
        self._due, self._go = threading.Event(), threading.Event()
        """Whether the next pass is to be made before its time, and whether one may be made at all."""
        self._go.set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin with the first one; raises ReadFailed where there is no thread."""
        start_thread(self._thread)

    def pause(self, *, paused: bool) -> None:
        """Make no further pass until told to go on, and then one at once."""
        if paused:
            self._go.clear()
        elif not self._go.is_set():
            self._due.set()
            self._go.set()

    def take(self) -> Arranged | None:
        """The next pass that was made, None where there is none; raises what ended them."""
        try:
            made = self._made.get_nowait()
        except Empty:
            return None
        if isinstance(made, BaseException):
            raise made
        return made

    def tell_late(self) -> str:
        """How far the pass is that is being made, "" where it is not late."""
        begun = self._begun
        if begun is None or self._clock() - begun < _LATE_SECONDS:
            return ""
        read, found = self._progress.look()
        return f"reading for {self._clock() - begun:.0f} s: {read} of {found} netns"

    def close(self) -> None:
        """End; a pass that hangs is not waited for."""
        self._stop.set()
        self._due.set()
        self._go.set()
        if self._thread.ident is not None:
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        watched = self._watched
        made = 0
        try:
            with closing(discover(watched.source.host, labels_wanted=watched.labels_wanted, follow=True)) as runtimes:
                while not self._stop.is_set():
                    self._begun = self._clock()
                    self._made.put(self._make(runtimes))
                    self._begun = None
                    self._wake()
                    made += 1
                    if made % _COLLECT_PASSES == 0:
                        gc.collect()
                    self._due.wait(min(watched.interval_seconds, threading.TIMEOUT_MAX))
                    self._go.wait()
                    self._due.clear()
        except BaseException as err:  # noqa: BLE001 - raised again by whoever takes what was made.
            self._made.put(err)
            self._wake()

    def _make(self, runtimes: Runtimes) -> Arranged:
        before = self._last
        try:
            seen = self._see(before, runtimes)
        except NsagentError as err:
            if before is None or isinstance(err, Aborted):
                raise
            seen = _tell_error(before, err)
        self._last = seen
        return arrange(seen, self.look, self._watched.view, self._watched.output)

    def _see(self, before: Seen | None, runtimes: Runtimes) -> Seen:
        watched, carried = self._watched, self._carried
        request = watched.make_request()
        taken = take_snapshot(
            request, runtimes, clock=self._clock, stop=self._stop, carried=carried, progress=self._progress
        )
        selected = watched.select(taken.snapshot, again=before is not None)
        check_named(taken.snapshot, request, watched.source, watched.named)
        if watched.output.mentions("argv"):
            selected = add_command_lines(selected, request, carried.lookups)
        unmet = list_unmet_lines(request.only, taken.snapshot)
        lacks = (*coverage_lines(selected), *tell_lacking(taken, request), *unmet)
        partial = not selected.coverage.complete or bool(taken.lacking)
        return add_pass(before, taken.snapshot, selected, lacks)._replace(partial=partial)


def _tell_error(before: Seen, err: NsagentError) -> Seen:
    """What was seen before, with the reason why there is nothing later; nothing of what is not there any more."""
    selected = before.selected._replace(sockets=()) if isinstance(err, NotFound) else before.selected
    return before._replace(selected=selected, come=frozenset(), gone=0, error=escape(str(err)))
