"""No more than a share of one CPU for a program: what it does is done in slices, with pauses between them.

What all of its threads take counts, so that who is behind after a pass, for what attribute and
reports took, begins the next one with a pause.
"""

import threading
from collections.abc import Callable
from typing import Final

_BURST_SECONDS: Final = 1.0
"""So many seconds' worth may be taken at once."""
_LEAST_SECONDS: Final = 0.0005
"""Of CPU: pauses for less cost more than they spare."""
_LONGEST_PAUSE: Final = 0.1
"""In seconds; then it is looked again, so that who waits sees that it goes on."""


class Pace:
    """Pauses where its share is used up; without a share it never does.

    `clock` and `cpu_clock` tell seconds, the latter those that this process has spent on CPUs. For
    several threads at once.
    """

    def __init__(
        self,
        share: float | None = None,
        *,
        clock: Callable[[], float] = lambda: 0.0,
        cpu_clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._share = share
        self._clock, self._cpu_clock = clock, cpu_clock
        self._lock = threading.Lock()
        self._left_seconds = (share or 0.0) * _BURST_SECONDS
        self._seen = clock(), cpu_clock()
        self.steps = 0
        """How often it was kept: who waits for somebody else sees by it that he goes on."""

    def keep(self, stop: threading.Event, is_late: Callable[[], bool] = lambda: False) -> None:
        """Pause as long as it takes, or until `stop` is set, or it is late; to be called between any two reads."""
        if self._share is None:
            return
        while (behind := self._count()) >= _LEAST_SECONDS and not is_late():
            if stop.wait(min(behind / self._share, _LONGEST_PAUSE)):
                return
            self.steps += 1
        self.steps += 1

    def _count(self) -> float:
        """How many CPU seconds more than its share were taken."""
        share = self._share or 0.0
        with self._lock:
            before, cpu_before = self._seen
            self._seen = now, cpu_now = self._clock(), self._cpu_clock()
            earned = self._left_seconds + (now - before) * share
            self._left_seconds = min(earned, share * _BURST_SECONDS) - (cpu_now - cpu_before)
            return -self._left_seconds
