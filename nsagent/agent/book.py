"""What is known of each report: how often it was made, when and why not, and how long it is left alone after failures.

A report that fails again and again is tried more and more rarely: one that always does costs nobody anything.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from nsagent.agent.delivery import Lane
from nsagent.agent.reports import ReportMaker
from nsagent.agent.status import ReportStatus
from nsagent.report.times import tell_time

_FAILURES: Final = 3
"""In a row; then a report is left alone for a minute, and twice as long each time."""
_FIRST_SECONDS: Final = 60.0
_LONGEST_SECONDS: Final = 3600.0


@dataclass(slots=True)
class Entry:
    """One report."""

    maker: ReportMaker
    lanes: tuple[Lane, ...]
    """Of its outputs, in their order."""
    runs: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    skipped: int = 0
    last_success: float | None = None
    """Seconds since the epoch."""
    error: str | None = None

    @property
    def quarantined(self) -> bool:
        """Whether it is left alone for a while."""
        return self.failed_in_a_row >= _FAILURES

    def find_pause(self) -> float:
        """How long it is left alone from its last failure on, in seconds."""
        return min(_FIRST_SECONDS * 2.0 ** min(self.failed_in_a_row - _FAILURES, 10), _LONGEST_SECONDS)


@dataclass(slots=True)
class Book:
    """All reports of one config, by name; for any thread."""

    entries: dict[str, Entry]
    wall_clock: Callable[[], float]
    _pauses: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, name: str, skipped: int) -> Entry:
        """Count a report that is due."""
        with self._lock:
            entry = self.entries[name]
            entry.runs += 1
            entry.skipped += skipped
            return entry

    def finish(self, name: str, errors: Iterable[str], *, made: bool = True) -> None:
        """Count how it ended: well, if there are no errors. `made`: it could be made, whatever became of it then."""
        told = "; ".join(errors) or None
        with self._lock:
            entry = self.entries[name]
            entry.error = told
            entry.failed_in_a_row = 0 if made else entry.failed_in_a_row + 1
            if told is None:
                entry.last_success = self.wall_clock()
            else:
                entry.failed += 1
            if entry.quarantined:
                self._pauses[name] = entry.find_pause()

    def take_pauses(self) -> dict[str, float]:
        """The reports that are to be left alone from now on, each once for each failure, and for how many seconds."""
        with self._lock:
            pauses, self._pauses = self._pauses, {}
            return pauses

    def take_over(self, other: "Book") -> None:
        """Go on counting where reports of the same names were, under an earlier config."""
        with self._lock, other._lock:
            for name, entry in self.entries.items():
                if earlier := other.entries.get(name):
                    entry.runs, entry.failed, entry.skipped = earlier.runs, earlier.failed, earlier.skipped
                    entry.last_success, entry.error = earlier.last_success, earlier.error
                    entry.maker.take_over(earlier.maker)

    def list_statuses(self, tell_next: Callable[[str], float | None]) -> tuple[ReportStatus, ...]:
        """How each fares; `tell_next` tells when it is due next, in seconds since the epoch."""
        with self._lock:
            return tuple(_tell(name, entry, tell_next(name)) for name, entry in self.entries.items())


def _tell(name: str, entry: Entry, next_at: float | None) -> ReportStatus:
    return ReportStatus(
        name,
        None if next_at is None else tell_time(next_at),
        runs=entry.runs,
        failed=entry.failed,
        skipped=entry.skipped,
        last_success_at=None if entry.last_success is None else tell_time(entry.last_success),
        last_success_epoch_seconds=entry.last_success,
        quarantined=entry.quarantined,
        error=entry.error,
        outputs=tuple(lane.status() for lane in entry.lanes),
    )
