"""The history of a host on disk: its runs, what changed with each, and now and then all that was open.

It is bounded by age and by size: whatever goes, goes from its beginning, up to a baseline.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self

from nsagent.agent.history_file import (
    WAIT_SECONDS,
    Damaged,
    check_place,
    hold_alone,
    open_readable,
    open_writable,
    set_aside,
    tell_error,
    telling,
)
from nsagent.agent.history_read import (
    PAGE,
    UNKNOWN,
    Break,
    Folded,
    RunCounts,
    Span,
    Wanted,
    count_runs,
    fold,
    list_breaks,
    list_changes,
    tell_span,
)
from nsagent.agent.history_rows import INSERT_BASELINE, INSERT_CHANGE, encode_change
from nsagent.errors import HistoryError
from nsagent.model.change import Change
from nsagent.model.snapshot import Snapshot
from nsagent.scan.diff import list_open

_DELETES: Final = (
    "DELETE FROM baseline WHERE run < ?",
    "DELETE FROM changes WHERE run < ?",
    "DELETE FROM runs WHERE id < ?",
)
_NEWEST: Final = (
    "SELECT max(at) FROM runs WHERE at <= :now AND id <= (SELECT min(id) FROM runs WHERE at <= :now AND "
    "id >= (SELECT min(id) FROM runs WHERE baseline IS NOT NULL AND id > :first))"
)
"""When the last of the runs up to the second baseline was, or what stands for it: a run of later than now is of a clock
that was ahead, and is older than the next other one."""

_ROW_BYTES: Final = 400
"""What a row takes at most, without its holders but for a few."""
_HOLDER_BYTES: Final = 40
_LEAST_RUNS: Final = 1000

_LEAST_CHANGES: Final = 1000
_PARTS: Final = 8
"""Into how many stretches, each with a baseline, a history is split: so much of it goes at once."""

_MOST_SECONDS: Final = 100 * 365 * 86400.0


class History:
    """One history that is written to, by any thread: each record waits for the one before, and closing for all.

    `aside` is where a damaged file was moved to last, None where there was none: it is to be told.
    """

    def __init__(
        self, path: Path, max_age_seconds: float, max_size_bytes: int, *, least_runs: int = _LEAST_RUNS
    ) -> None:
        self.aside: Path | None = None
        self._path = path
        self._max_age = timedelta(seconds=min(max_age_seconds, _MOST_SECONDS))
        self._max_size_bytes = max_size_bytes
        self._least_runs = least_runs
        self._runs = 0
        """That were recorded since a file was moved aside."""
        self._file: tuple[int, int] | None = None
        self._held: int | None = None
        """What keeps others from writing to it."""
        self._baseline_due = True
        self._lock = threading.Lock()
        self._connection = self._open()

    @classmethod
    def open(cls, path: Path, max_age_seconds: float, max_size_bytes: int, *, least_runs: int = _LEAST_RUNS) -> Self:
        """The history at this path, made if there is none. Raises HistoryError.

        A file that is damaged before so many runs were recorded after another one was is left as it is: its disk
        damages all of them.
        """
        return cls(path, max_age_seconds, max_size_bytes, least_runs=least_runs)

    def close(self, seconds: float = -1.0) -> None:
        """Let go of the file; what is still being recorded after so many seconds is waited for no longer.

        It is recorded whole then, or not at all.
        """
        if self._lock.acquire(timeout=seconds):
            try:
                self._let_go()
            finally:
                self._lock.release()

    def record(self, snapshot: Snapshot, changes: Sequence[Change] | None, *, due_seconds: float | None = None) -> None:
        """Add a run and what changed with it since the one before, all or nothing; the next one is due after so long.

        None for a run that was compared with nothing: it begins with a baseline. Raises HistoryError: what could
        not be kept is lost, and the next run begins with a baseline, too.
        """
        with self._lock:
            self._try_to_record(snapshot, changes, due_seconds)

    def _try_to_record(self, snapshot: Snapshot, changes: Sequence[Change] | None, due_seconds: float | None) -> None:
        try:
            self._reopen_if_replaced()
            self._baseline_due = self._baseline_due or changes is None
            self._record(snapshot, changes or (), due_seconds)
        except sqlite3.Error as err:
            self._baseline_due = True
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            error = tell_error(self._path, err)
            if isinstance(error, Damaged) and self._may_set_aside():
                self._let_go()
                self._set_aside()
            raise error from err
        except HistoryError:
            self._baseline_due = True
            raise

    def _open(self) -> sqlite3.Connection:
        try:
            connection = self._open_alone()
        except Damaged:
            if not self._may_set_aside():
                raise
            self._set_aside()
            connection = self._open_alone()
        self._file = self._tell_file()
        return connection

    def _open_alone(self) -> sqlite3.Connection:
        held = hold_alone(self._path)
        try:
            connection = open_writable(self._path, self._max_size_bytes)
        except BaseException:
            os.close(held)
            raise
        self._held = held
        return connection

    def _let_go(self) -> None:
        self._connection.close()
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def _may_set_aside(self) -> bool:
        return self.aside is None or self._runs >= self._least_runs

    def _set_aside(self) -> None:
        self._file, self._runs = None, 0
        self.aside = set_aside(self._path)

    def _tell_file(self) -> tuple[int, int] | None:
        """What is at the path now, None for nothing."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _reopen_if_replaced(self) -> None:
        """SQLite goes on with a file that was removed, and with it all would be lost."""
        check_place(self._path)
        if self._file is None or self._tell_file() != self._file:
            self._let_go()
            self._baseline_due = True
            self._file = None
            self._connection = self._open()

    def _record(self, snapshot: Snapshot, changes: Sequence[Change], due_seconds: float | None) -> None:
        connection = self._connection
        baseline = list_open(snapshot) if self._needs_baseline(snapshot, len(changes)) else None
        count = None if baseline is None else len(baseline)
        if baseline is not None and _measure(baseline) > self._max_size_bytes // 4:
            # It would leave no room for anything else.
            baseline, count = None, UNKNOWN
        self._make_room(_measure(changes) + _measure(baseline or ()))
        connection.execute("BEGIN IMMEDIATE")
        (run,) = connection.execute(
            "INSERT INTO runs (at, host, boot_id, complete, sockets, changes, baseline, due_seconds) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                snapshot.taken_at,
                snapshot.host,
                snapshot.boot_id,
                snapshot.coverage.complete,
                len(snapshot.sockets),
                len(changes),
                count,
                due_seconds,
            ),
        ).fetchone()
        for insert, rows in ((INSERT_CHANGE, changes), (INSERT_BASELINE, baseline or ())):
            connection.executemany(
                insert,
                ((run, number, *encode_change(change)) for number, change in enumerate(rows)),
            )
        connection.execute("COMMIT")
        self._baseline_due = False
        self._runs += 1
        self._drop_old()

    def _needs_baseline(self, snapshot: Snapshot, changes: int) -> bool:
        """Whether what was open is to be told anew: else to fold the changes since would take too long."""
        last = self._connection.execute("SELECT host, boot_id FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        start = self._connection.execute(
            "SELECT id, at, baseline FROM runs WHERE baseline IS NOT NULL ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if self._baseline_due or start is None or last != (snapshot.host, snapshot.boot_id):
            return True
        run, at, rows = start
        (since,) = self._connection.execute("SELECT total(changes) FROM runs WHERE id > ?", (run,)).fetchone()
        passed = datetime.fromisoformat(snapshot.taken_at) - datetime.fromisoformat(at)
        return since + changes >= max(_LEAST_CHANGES, 2 * rows) or abs(passed) > self._max_age / _PARTS

    def _make_room(self, size_bytes: int) -> None:
        """Drop what is oldest until there is room for so much more; raises HistoryError where there cannot be."""
        while self._count_used_bytes() + size_bytes > self._max_size_bytes * 9 // 10:
            if not self._drop_first_part():
                limit = f"{self._max_size_bytes} bytes, its limit"
                raise HistoryError(f"{self._path}: a run of about {size_bytes} bytes has no room in {limit}")

    def _drop_old(self) -> None:
        """Drop what is too old, as far as there is a baseline that is old enough for what stays.

        By the earlier one of the last two runs: a clock that is wrong once drops nothing.
        """
        recent = "SELECT min(at) FROM (SELECT at FROM runs ORDER BY id DESC LIMIT 2)"
        (now,) = self._connection.execute(recent).fetchone()
        moment = datetime.fromisoformat(now) - self._max_age
        limit = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
        while True:
            (first,) = self._connection.execute("SELECT min(id) FROM runs").fetchone()
            (newest,) = self._connection.execute(_NEWEST, {"now": now, "first": first}).fetchone()
            if newest is None or newest > limit or not self._drop_first_part():
                break
        # The copy of the last pages beside the file; not while somebody reads it.
        self._connection.execute("PRAGMA busy_timeout = 0")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.execute(f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000:.0f}")

    def _drop_first_part(self) -> bool:
        """Drop the runs before the second baseline, or half of those that there are; False where there is none."""
        first, count = self._connection.execute("SELECT min(id), count(*) FROM runs").fetchone()
        if not count:
            return False
        next_baseline = "SELECT min(id) FROM runs WHERE baseline IS NOT NULL AND id > ?"
        (until,) = self._connection.execute(next_baseline, (first,)).fetchone()
        if until is None:
            until = first + (count + 1) // 2
            self._baseline_due = True
        self._connection.execute("BEGIN IMMEDIATE")
        for delete in _DELETES:
            self._connection.execute(delete, (until,))
        self._connection.execute("COMMIT")
        self._connection.executescript("PRAGMA incremental_vacuum")  # One step for each page: execute() makes one.
        return True

    def _count_used_bytes(self) -> int:
        pages, free, page_bytes = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        used: int = (pages - free) * page_bytes
        return used


def _measure(changes: Sequence[Change]) -> int:
    """About how many bytes these take; 0.4 us each."""
    holders = sum(len(each.before) + (len(each.socket.holders) if each.socket is not None else 0) for each in changes)
    return len(changes) * _ROW_BYTES + holders * _HOLDER_BYTES


class HistoryReader:
    """One history that is read only, also while an agent writes to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_readable(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The history at this path; raises HistoryError, also where there is none."""
        return cls(path)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def tell_span(self) -> Span:
        """From when to when it tells; raises HistoryError."""
        with telling(self._path):
            return tell_span(self._connection)

    def list_changes(self, wanted: Wanted, *, page: int = PAGE) -> Iterator[Change]:
        """The changes that are wanted, the newest last, as they are read, so many at a time; raises HistoryError."""
        with telling(self._path):
            yield from list_changes(self._connection, wanted, page=page)

    def count_runs(self, since: str | None, until: str | None) -> RunCounts:
        """How many runs there are from then on, up to then, None for no end; raises HistoryError."""
        with telling(self._path):
            return count_runs(self._connection, since, until)

    def list_breaks(self, since: str | None, until: str) -> list[Break]:
        """When no run was recorded, from then on, None for the first run, up to then; raises HistoryError."""
        with telling(self._path):
            return list_breaks(self._connection, since, until)

    def fold(self, at: str, wanted: Wanted) -> Folded:
        """What was open at a time (RFC 3339 in UTC with ms); raises HistoryError."""
        with telling(self._path):
            return fold(self._connection, at, wanted)
