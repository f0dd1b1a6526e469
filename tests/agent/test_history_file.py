"""The file of a history that an earlier version of nsagent has written."""

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nsagent.agent.history import History, HistoryReader
from nsagent.agent.history_read import Break
from nsagent.agent.history_rows import VERSION
from nsagent.model.net import SocketState
from nsagent.scan.diff import diff_snapshots
from tests.agent.histories import ALL, at, connection, list_changes, taken

FIRST = Path(__file__).parents[2] / "fixtures" / "history" / "version-1.db.gz"
KINDS = ["opened", "opened", "closed", "closed"]
LAST = "2026-11-29T14:48:32.216Z"
"""When its last pass was."""
DAY, MIB = 86400.0 * 3650, 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history of nsagent 0.2: a server and a client, one more connection of theirs, and the end of the first."""
    path = tmp_path / "history.db"
    path.write_bytes(gzip.decompress(FIRST.read_bytes()))
    return path


def list_columns(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return [
            row for table in ("runs", "changes", "baseline") for row in database.execute(f"PRAGMA table_info({table})")
        ]


def read_version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        return int(version)


def test_one_of_version_1_is_read_and_left_as_it_is(path: Path) -> None:
    whole = path.read_bytes()
    changes = list_changes(path)
    assert [change.kind.value for change in changes] == KINDS
    assert {change.state_before for change in changes} == {None}
    with closing(HistoryReader.open(path)) as reader:
        folded = reader.fold(LAST, ALL)
    assert [(change.kind.value, change.socket and change.socket.state) for change in folded.open] == [
        ("new_listener", SocketState.LISTEN),
        ("opened", SocketState.ESTABLISHED),
        ("opened", SocketState.ESTABLISHED),
    ]
    assert path.read_bytes() == whole
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_one_of_version_1_is_written_on_as_a_new_one(path: Path) -> None:
    earlier = list_changes(path)
    half_closed = connection(1)
    half_closed = half_closed._replace(row=half_closed.row._replace(state=SocketState.CLOSE_WAIT))
    before, after = taken(0, connection(1)), taken(1, half_closed)
    with closing(History.open(path, DAY, MIB)) as history, closing(HistoryReader.open(path)) as reader:
        assert list(reader.list_changes(ALL)) == earlier, "while it is open"
        history.record(before, ())
        history.record(after, diff_snapshots(before, after))
        assert [change.state_before for change in reader.list_changes(ALL)] == [*[None] * 4, SocketState.ESTABLISHED]
    assert list_changes(path)[:4] == earlier
    new = path.with_name("new.db")
    History.open(new, DAY, MIB).close()
    assert (list_columns(path), read_version(path)) == (list_columns(new), VERSION)


def test_one_of_version_2_tells_of_no_time_when_nobody_looked_until_it_is_written_on(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(History.open(path, DAY, MIB)) as history:
        for minute in (0, 60):
            history.record(taken(minute), (), due_seconds=1.0)
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE runs DROP COLUMN due_seconds")
        database.execute("PRAGMA user_version = 2")
    with closing(HistoryReader.open(path)) as reader:
        assert reader.list_breaks(None, at(180)) == []
    with closing(History.open(path, DAY, MIB)) as history:
        history.record(taken(120), (), due_seconds=1.0)
    with closing(HistoryReader.open(path)) as reader:
        assert (read_version(path), reader.list_breaks(None, at(180))) == (VERSION, [Break(at(120), None)])
