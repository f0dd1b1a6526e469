"""Reports on their way to their outputs: in their order for each output, and none waits for another one's.

A few threads write for all outputs. One that is held up, as by a disk that does not answer, holds up what
goes to the same output, and the others go on: in its place another thread is started.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue
from typing import Final

from nsagent.agent.logs import logger
from nsagent.agent.outputs.report import Out, WrittenReport
from nsagent.agent.status import OutputStatus
from nsagent.errors import NsagentError, ReadFailed
from nsagent.kernel.threads import start_thread

_WRITERS: Final = 4
_MOST_WRITERS: Final = 16
"""With those that are held up."""
_HELD_UP_SECONDS: Final = 5.0
_MOST_WAITING: Final = 64
"""Reports that wait for one output: the oldest is let go then."""

Done = Callable[[str | None], object]
"""Called once for each report with why it was not written, None where it was; by any thread."""


class Lane:
    """One output, and what waits for it."""

    def __init__(self, out: Out) -> None:
        self.out = out
        self.waiting: deque[tuple[WrittenReport, Done]] = deque()
        self.busy = False
        self.dropped = 0

    def status(self) -> OutputStatus:
        """How it fares."""
        status = self.out.status()
        return replace(status, dropped=status.dropped + self.dropped)


class _Writer(threading.Thread):
    """A thread that writes; `since` is when it began to write a report, None while it waits for one."""

    def __init__(self, run: "Callable[[_Writer], None]") -> None:
        super().__init__(name="writer", daemon=True)
        self.since: float | None = None
        self._run_writer = run

    def run(self) -> None:
        self._run_writer(self)


class Delivery:
    """Takes reports for lanes; `clock` is monotonic."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._ready: SimpleQueue[Lane | None] = SimpleQueue()
        self._writers: list[_Writer] = []
        self._left = 0

    def submit(self, lane: Lane, report: WrittenReport, done: Done) -> None:
        """Have a report written; returns at once."""
        let_go = None
        with self._condition:
            if len(lane.waiting) >= _MOST_WAITING:
                let_go = lane.waiting.popleft()[1]
                lane.dropped += 1
            else:
                self._left += 1
            lane.waiting.append((report, done))
            if not lane.busy:
                lane.busy = True
                self._ready.put(lane)
        self.look_after()
        if let_go is not None:
            let_go(f"{lane.status().output}: too many reports wait for it")

    def look_after(self) -> None:
        """Start as many threads as are needed; to be called now and then, for some may be held up."""
        now = self._clock()
        self._writers = [one for one in self._writers if one.is_alive()]
        held_up = sum(one.since is not None and now - one.since > _HELD_UP_SECONDS for one in self._writers)
        while len(self._writers) < min(_WRITERS + held_up, _MOST_WRITERS, self._left + held_up):
            writer = _Writer(self._write)
            try:
                start_thread(writer)
            except ReadFailed:
                return  # No thread to be had just now: the next call tries again.
            self._writers.append(writer)

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is left to be written, at most for so long; whether all of it is."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._left, seconds)

    def close(self) -> None:
        """Let the threads end; what still waits is not written."""
        for _ in self._writers:
            self._ready.put(None)

    def _write(self, writer: _Writer) -> None:
        while (lane := self._ready.get()) is not None:
            with self._condition:
                report, done = lane.waiting.popleft()
            writer.since = self._clock()
            error = None
            try:
                lane.out.write(report)
            except NsagentError as err:
                error = str(err)
            except Exception as err:  # noqa: BLE001 - a bug costs a report, not all that wait for their output.
                logger.exception("%s: a bug", lane.out.status().output)
                error = f"a bug: {err!r}"
            writer.since = None
            done(error)  # Before it counts as written: whoever waits for that asks what was told.
            with self._condition:
                self._left -= 1
                lane.busy = bool(lane.waiting)
                if lane.busy:
                    self._ready.put(lane)
                self._condition.notify_all()
