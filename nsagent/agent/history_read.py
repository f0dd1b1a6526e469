"""What a history tells: changes between two times, and what was open at one."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple

from nsagent.agent.history_rows import KNOWS_DUE, decode_change
from nsagent.errors import HistoryError
from nsagent.model.change import Change, ChangedSocket, ChangeKind

_Key = tuple[object, ...]

_CHANGES: Final = "SELECT runs.at, changes.* FROM changes JOIN runs ON runs.id = changes.run WHERE "
_BASELINE: Final = (
    "SELECT runs.at, baseline.* FROM baseline JOIN runs ON runs.id = baseline.run WHERE run = ? ORDER BY number"
)
_ID_PREFIX: Final = 4
_CHANGED: Final = (ChangeKind.HOLDER_CHANGED, ChangeKind.STATE_CHANGED)
"""Of what is open before and after."""

_BREAKS: Final = (
    "SELECT at, next FROM (SELECT at, due_seconds, lead(at) OVER (ORDER BY id) AS next FROM runs) "
    "WHERE at < :until AND coalesce(next > :since, 1) "
    "AND (julianday(coalesce(next, :until)) - julianday(at)) * 86400 > 3 * due_seconds + 60 ORDER BY at"
)
"""A pass may take a few times as long as it should."""

PAGE: Final = 1000
"""So many rows are read at a time; one has about 0.3 KiB."""

UNKNOWN: Final = -1
"""In the place of the size of a baseline, where what was open took too much room to be kept."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes are asked for: values of one field are alternatives, an empty one matches all."""

    since: str | None = None
    """RFC 3339 in UTC with ms, as of all times here."""
    until: str | None = None
    kinds: tuple[ChangeKind, ...] = ()
    containers: tuple[str, ...] = ()
    """By id, name, POD/NAME, KUBE_NAMESPACE/POD/NAME, or a prefix of 4 or more characters of the id."""
    pods: tuple[str, ...] = ()
    """By uid, name, or KUBE_NAMESPACE/NAME."""

    def is_of(self, change: Change) -> bool:
        """Whether containers and pods let it pass."""
        names = {change.container_id, change.container_name}
        pods = set()
        if change.pod is not None:
            pods = {change.pod.uid, change.pod.name, _join(change.pod.kube_namespace, change.pod.name)}
            names |= {_join(pod, change.container_name) for pod in pods if pod != change.pod.uid}
        if self.containers and names.isdisjoint(self.containers):
            id_ = change.container_id or ""
            if not any(len(name) >= _ID_PREFIX and id_.startswith(name) for name in self.containers):
                return False
        return not self.pods or not pods.isdisjoint(self.pods)


class Span(NamedTuple):
    """From when to when a history tells, None where it is empty, and of which host."""

    host: str | None
    first: str | None
    last: str | None


class RunCounts(NamedTuple):
    """How many runs there are, and from how many of them something was hidden."""

    all: int
    incomplete: int


class Break(NamedTuple):
    """A time in which no run was recorded, though some were due; None before the first one, or after the last."""

    after: str | None
    before: str | None


class Folded(NamedTuple):
    """What was open at a time, each as the change that it came by.

    `as_of` is the run that it is told by, the last one that is not later; None where the history does not
    know. `known_from` is from when on it does, None for never. A socket of a baseline came then or before.
    """

    open: tuple[Change, ...]
    as_of: str | None
    known_from: str | None


def tell_span(connection: sqlite3.Connection) -> Span:
    """From when to when it tells."""
    row = connection.execute(
        "SELECT (SELECT host FROM runs ORDER BY id DESC LIMIT 1), "
        "(SELECT at FROM runs ORDER BY id LIMIT 1), (SELECT at FROM runs ORDER BY id DESC LIMIT 1)"
    ).fetchone()
    return Span(*row)


def list_changes(connection: sqlite3.Connection, wanted: Wanted, *, page: int = PAGE) -> Iterator[Change]:
    """The changes that are wanted, the newest last, as they are read: up to what there is by now.

    So many rows at a time: SQLite keeps all that is written while a row is still to be read, and who reads may be
    slow. Raises HistoryError where those that come next are gone by then.
    """
    conditions = [("runs.at >= ?", wanted.since), ("runs.at <= ?", wanted.until)]
    used = [(condition, value) for condition, value in conditions if value is not None]
    where = " AND ".join(condition for condition, _ in used) or "1"
    if wanted.kinds:
        where += f" AND kind IN ({', '.join('?' * len(wanted.kinds))})"
    values = [*(value for _, value in used), *map(str, wanted.kinds)]
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()
    run, number = 0, -1
    while True:
        select = f"{_CHANGES}{where} AND run <= ? AND (run, number) > (?, ?) ORDER BY run, number LIMIT ?"
        rows = connection.execute(select, [*values, last, run, number, page]).fetchall()
        if run and not connection.execute("SELECT count(*) FROM runs WHERE id = ?", (run,)).fetchone()[0]:
            raise HistoryError("the history is read too slowly: what comes next has been dropped meanwhile")
        yield from filter(wanted.is_of, map(_decode, rows))
        if len(rows) < page:
            return
        run, number = rows[-1][1:3]


def count_runs(connection: sqlite3.Connection, since: str | None, until: str | None) -> RunCounts:
    """How many runs there are from then on, up to then; None for no end."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(NOT complete), 0) FROM runs "
        "WHERE at >= coalesce(?, at) AND at <= coalesce(?, at)",
        (since, until),
    ).fetchone()
    return RunCounts(*row)


def list_breaks(connection: sqlite3.Connection, since: str | None, until: str) -> list[Break]:
    """When no run was recorded, from then on, None for the first run, up to then; of runs that tell what was due."""
    (first,) = connection.execute("SELECT at FROM runs ORDER BY id LIMIT 1").fetchone() or (None,)
    breaks = [Break(None, first)] if since is not None and (first is None or since < first) else []
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version >= KNOWS_DUE:
        breaks += [Break(*row) for row in connection.execute(_BREAKS, {"since": since, "until": until})]
    return breaks


def fold(connection: sqlite3.Connection, at: str, wanted: Wanted) -> Folded:
    """What was open at a time: the last baseline before it, and what has changed since."""
    begin = "SELECT at FROM runs WHERE baseline >= 0 ORDER BY id LIMIT 1"
    (known_from,) = connection.execute(begin).fetchone() or (None,)
    last = "SELECT id, at FROM runs WHERE at <= ? ORDER BY id DESC LIMIT 1"
    run, as_of = connection.execute(last, (at,)).fetchone() or (None, None)
    # None of no run, too.
    baseline = "SELECT max(id) FROM runs WHERE id <= ? AND baseline IS NOT NULL"
    (start,) = connection.execute(baseline, (run,)).fetchone()
    (rows,) = connection.execute("SELECT baseline FROM runs WHERE id = ?", (start,)).fetchone() or (UNKNOWN,)
    if rows == UNKNOWN:
        return Folded((), None, known_from)
    later = _read(connection, f"{_CHANGES}run > ? AND run <= ? ORDER BY run, number", (start, run))
    changes = fold_changes(chain(_read(connection, _BASELINE, (start,)), later))
    return Folded(tuple(filter(wanted.is_of, changes)), as_of, known_from)


def fold_changes(changes: Iterable[Change]) -> Iterator[Change]:
    """What is open after these, each as the change that it came by, with who holds it now; listeners first."""
    open_now = _Open()
    for change in changes:
        open_now.follow(change)
    return open_now.list()


def _read(connection: sqlite3.Connection, sql: str, values: Sequence[object]) -> Iterator[Change]:
    with closing(connection.execute(sql, values)) as rows:
        yield from map(_decode, rows)


def _decode(row: tuple[Any, ...]) -> Change:
    at, _run, _number, *columns = row
    return decode_change(at, tuple(columns))


class _Open:
    """What is open, by what the changes that are followed say."""

    def __init__(self) -> None:
        self._listeners: dict[_Key, Change] = {}
        self._connections: defaultdict[_Key, list[Change]] = defaultdict(list)
        """By netns, protocol and both ends: of UDP several may share them."""
        self._ends: dict[_Key, _Key] = {}
        """By netns and cookie under which ends one stands: connect(2) gives a UDP socket others."""

    def list(self) -> Iterator[Change]:
        """Listeners first."""
        yield from self._listeners.values()
        yield from chain.from_iterable(self._connections.values())

    def follow(self, change: Change) -> None:
        """One change more."""
        socket = change.socket
        if socket is None:
            return
        listener, ends = _listener_key(change, socket), (socket.netns, socket.protocol, socket.local, socket.remote)
        if change.kind is ChangeKind.NEW_LISTENER:
            self._listeners[listener] = change
        elif change.kind is ChangeKind.LISTENER_GONE:
            self._take_listener(listener, socket)
        elif change.kind is ChangeKind.OPENED:
            self._add_connection(change, ends, socket)
        elif change.kind is ChangeKind.CLOSED:
            self._take_connection(ends, socket)
        elif change.kind in _CHANGED:
            self._replace(change, listener, ends, socket)

    def _take_listener(self, key: _Key, socket: ChangedSocket) -> Change | None:
        """The change that it came by, also in another place: its container had no name then, or another one."""
        if (earlier := self._listeners.pop(key, None)) is not None:
            return earlier
        for other, change in self._listeners.items():
            there = change.socket
            if there is not None and there.local == socket.local and _is_same(there, socket):
                return self._listeners.pop(other)
        return None

    def _add_connection(self, change: Change, ends: _Key, socket: ChangedSocket) -> None:
        self._connections[ends].append(change)
        if socket.cookie is not None:
            self._ends[socket.netns, socket.cookie] = ends

    def _take_connection(self, ends: _Key, socket: ChangedSocket) -> Change | None:
        """The change that it came by; None of a listener, and where it is not known that it was open."""
        there = self._connections.get(self._ends.pop((socket.netns, socket.cookie), ends), [])
        for index, change in enumerate(there):
            if change.socket is not None and _is_same(change.socket, socket):
                del there[index]
                return change
        return None

    def _replace(self, change: Change, listener: _Key, ends: _Key, socket: ChangedSocket) -> None:
        """What is open is as the change shows it, and came when it did."""
        now = change._replace(before=(), state_before=None)
        if earlier := self._take_connection(ends, socket):
            self._add_connection(now._replace(at=earlier.at, kind=ChangeKind.OPENED), ends, socket)
        elif earlier := self._take_listener(listener, socket):
            self._listeners[listener] = now._replace(at=earlier.at, kind=ChangeKind.NEW_LISTENER)


def _listener_key(change: Change, socket: ChangedSocket) -> _Key:
    return change.place, socket.protocol, socket.local.address, socket.local.port, socket.interface


def _is_same(one: ChangedSocket, other: ChangedSocket) -> bool:
    """Whether two with the same ends are one: by cookie, else by inode, which a row may have only for a while."""
    if one.cookie is not None and other.cookie is not None:
        return one.cookie == other.cookie
    return one.inode == other.inode or not (one.inode and other.inode)


def _join(*parts: str | None) -> str | None:
    known = [part for part in parts if part]
    return "/".join(known) if len(known) == len(parts) else None
