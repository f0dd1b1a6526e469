"""When reports are due: on multiples of their period since the epoch, or at the times of a cron expression. Pure.

Waiting is by the monotonic clock, so that a step of the wall clock neither makes a report at once nor
puts it off for an hour; what is due after a step is found anew.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, inf
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from nsagent.config.model import Report

_STEP_SECONDS: Final = 1.0
"""By so much the wall clock may gain on the other one between two looks before it counts as set."""
_ROUNDING: Final = 1e-6
_MOST_SKIPPED: Final = 1000


class Moment(NamedTuple):
    """One look at two clocks, in seconds: one that only runs on, while the machine sleeps too, and the wall clock."""

    running: float
    wall: float


class Due(NamedTuple):
    """A report that is due, and how many times it was between its last time and now, without being made."""

    name: str
    skipped: int


@dataclass(slots=True)
class _Entry:
    report: Report
    offset: float
    """By how much it is late each time, for its jitter."""
    due_wall: float = inf
    due: float = inf
    """On the running clock; inf: never again."""

    def plan(self, now: Moment, after: float) -> None:
        """Find its next time after that wall time."""
        self.due_wall = self.find_next(after)
        self.due = now.running + self.due_wall - now.wall

    def find_next(self, after: float) -> float:
        if self.report.every is not None:
            every = self.report.every
            return (floor((after - self.offset + _ROUNDING) / every) + 1) * every + self.offset
        return next(self._list_times(after - self.offset), inf) + self.offset

    def is_due_as(self, other: "_Entry") -> bool:
        """Whether both have the same times."""
        mine, theirs = self.report, other.report
        same = (mine.every, mine.cron, mine.timezone) == (theirs.every, theirs.cron, theirs.timezone)
        return same and self.offset == other.offset

    def count_until(self, now: float) -> int:
        """How many times after the one that is due now were due as well."""
        if self.report.every is not None:
            return max(0, floor((now - self.due_wall + _ROUNDING) / self.report.every))
        skipped = 0
        for time in self._list_times(self.due_wall - self.offset):
            if time + self.offset > now or skipped == _MOST_SKIPPED:
                break
            skipped += 1
        return skipped

    def _list_times(self, after: float) -> Iterator[float]:
        from cronsim import CronSim

        zone = ZoneInfo(self.report.timezone) if self.report.timezone else UTC
        times = CronSim(self.report.cron or "", datetime.fromtimestamp(after + _ROUNDING, zone))
        # In the hour that a clock is put back by, it tells the first of two times, which may have passed.
        return (time for time in map(datetime.timestamp, times) if time > after)


class Timetable:
    """The next time of each report; `host` spreads those with a jitter, so that not all hosts send at once."""

    def __init__(self, reports: Sequence[Report], host: str, now: Moment) -> None:
        self._entries = {report.name: _Entry(report, _find_offset(report, host)) for report in reports}
        self._last = now
        self._plan(self._entries.values(), now)

    def take_due(self, now: Moment) -> list[Due]:
        """The reports that are due, the longest due first; each is then due again after now."""
        due = []
        for entry in sorted(self._entries.values(), key=lambda one: one.due):
            if entry.due <= now.running:
                # By the wall clock as it ran until the look before: it may have been set since.
                wall = self._last.wall + now.running - self._last.running
                due.append(Due(entry.report.name, entry.count_until(wall)))
                entry.plan(now, max(now.wall, entry.due_wall) if abs(wall - now.wall) < _STEP_SECONDS else now.wall)
        if self._is_set(now):
            self._plan(self._entries.values(), now)
        self._last = now
        return due

    def take_over(self, earlier: "Timetable", now: Moment) -> None:
        """Have what is due by the timetable of an earlier config, and was not taken, due by this one, too."""
        for name, entry in self._entries.items():
            before = earlier._entries.get(name)
            if before is not None and before.due <= now.running and before.is_due_as(entry):
                entry.due_wall, entry.due = before.due_wall, before.due

    def find_next(self) -> float:
        """When the next one is due, on the running clock; inf for never."""
        return min((entry.due for entry in self._entries.values()), default=inf)

    def tell_next(self, name: str, now: Moment) -> float | None:
        """When a report is due next, in seconds since the epoch; None for never."""
        entry = self._entries[name]
        if entry.due == inf:
            return None
        told = now.wall + entry.due - now.running
        # The two clocks are read one after the other, and run apart: 12:05:00 would be told as 12:04:59.999.
        return entry.due_wall if abs(told - entry.due_wall) < _STEP_SECONDS else told

    def delay(self, name: str, seconds: float, now: Moment) -> None:
        """Put off a report by at least so much."""
        entry = self._entries[name]
        entry.plan(now, max(entry.due_wall - _ROUNDING * 2, now.wall + seconds - _ROUNDING * 2))

    def _is_set(self, now: Moment) -> bool:
        return abs((now.wall - self._last.wall) - (now.running - self._last.running)) >= _STEP_SECONDS

    @staticmethod
    def _plan(entries: Iterable[_Entry], now: Moment) -> None:
        for entry in entries:
            entry.plan(now, now.wall)


def list_times(report: Report, host: str, now: Moment, most: int) -> list[float]:
    """The next times of a report on that host, in seconds since the epoch."""
    entry = _Entry(report, _find_offset(report, host))
    times: list[float] = []
    while len(times) < most and (time := entry.find_next(times[-1] if times else now.wall)) != inf:
        times.append(time)
    return times


def _find_offset(report: Report, host: str) -> float:
    spread = zlib.crc32(f"{host}/{report.name}".encode("utf-8", "surrogateescape")) / 2**32
    return report.jitter * spread
