"""The history on disk: what it keeps, what it refuses, and what outlives a kill, a full disk and damage."""

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from nsagent.agent.history import History, HistoryReader
from nsagent.agent.history_read import Wanted
from nsagent.agent.history_rows import VERSION
from nsagent.errors import HistoryError
from nsagent.model.change import Change, ChangeKind
from nsagent.model.ids import ContainerId
from nsagent.model.net import SocketState
from nsagent.scan.diff import diff_snapshots
from tests.agent.histories import (
    ALL,
    WEB_POD,
    at,
    connection,
    list_changes,
    passes,
    record_all,
    shown,
    taken,
    told,
)
from tests.kernel.apart import run_apart
from tests.live.capabilities import Capability, require
from tests.scan.snapshots import container, listener, process

DAY = 86400.0
MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a history may be."""
    directory = tmp_path / "nsagent"
    directory.mkdir(mode=0o750)
    return directory / "history.db"


def list_runs(path: Path) -> list[tuple[int, str, int | None]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT id, at, baseline FROM runs ORDER BY id").fetchall()


def test_what_was_recorded_comes_back_as_it_was(path: Path) -> None:
    snapshots = passes(5)
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, snapshots)
    changes = [change for pair in pairwise(snapshots) for change in diff_snapshots(*pair)]
    with closing(HistoryReader.open(path)) as reader:
        assert list(reader.list_changes(ALL)) == changes
        assert reader.tell_span() == ("node-1", at(0), at(4))


def test_changes_are_listed_by_time_kind_container_and_pod(path: Path) -> None:
    before, after = taken(0), taken(1, connection(1))._replace(containers=(), sockets=(connection(1),))
    with closing(History.open(path, DAY, MIB)) as history:
        history.record(before, ())
        history.record(after, diff_snapshots(before, after))

        def kinds(wanted: Wanted) -> list[str]:
            return [change.kind.value for change in list_changes(path, wanted)]

        assert kinds(ALL) == ["container_gone", "listener_gone", "new_peer", "opened"]
        assert kinds(Wanted(containers=("web",))) == ["container_gone", "listener_gone"]
        assert kinds(Wanted(pods=("shop/web-1",), kinds=(ChangeKind.LISTENER_GONE,))) == ["listener_gone"]
        assert kinds(Wanted(since=at(1), until=at(1), kinds=(ChangeKind.OPENED, ChangeKind.NEW_PEER))) == [
            "new_peer",
            "opened",
        ]
        assert kinds(Wanted(since=at(2))) == kinds(Wanted(until=at(0))) == []


def test_what_was_open_is_told_for_every_run_since_the_first(path: Path) -> None:
    snapshots = passes(30)
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, snapshots)
        for minute, one in enumerate(snapshots):
            assert told(path, minute) == (at(minute), shown(one))
        with closing(HistoryReader.open(path)) as reader:
            assert reader.fold("2025-12-31T23:59:59.999Z", ALL) == ((), None, at(0))
        assert told(path, 1000) == (at(29), shown(snapshots[-1]))


def test_what_was_open_is_told_in_the_state_of_that_time(path: Path) -> None:
    states = [SocketState.SYN_SENT, SocketState.ESTABLISHED, SocketState.CLOSE_WAIT, SocketState.LAST_ACK]
    met = connection(1)
    snapshots = [taken(minute, met._replace(row=met.row._replace(state=state))) for minute, state in enumerate(states)]
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, snapshots)
    for minute, one in enumerate(snapshots):
        assert told(path, minute) == (at(minute), shown(one))
    assert [change.state_before for change in list_changes(path, Wanted(kinds=(ChangeKind.STATE_CHANGED,)))] == states[
        :-1
    ]


def test_an_agent_that_starts_again_begins_with_all_that_is_open(path: Path) -> None:
    first, second = taken(0, connection(1)), taken(60, connection(2))
    for one in (first, second):
        with closing(History.open(path, DAY, MIB)) as history:
            history.record(one, ())
    assert told(path, 59) == (at(0), shown(first))
    assert told(path, 61) == (at(60), shown(second))


def test_another_boot_begins_with_all_that_is_open(path: Path) -> None:
    first, second = taken(0, connection(1)), taken(60, connection(1))._replace(boot_id="next")
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, [first, second])
        assert [baseline for _, _, baseline in list_runs(path)] == [3, 3]
        assert told(path, 60) == (at(60), shown(second))


def test_a_run_that_was_compared_with_nothing_begins_with_all_that_is_open(path: Path) -> None:
    """As after a pass that let go of what it kept of the one before."""
    with closing(History.open(path, DAY, MIB)) as history:
        history.record(taken(0, connection(1)), ())
        history.record(taken(1, connection(2)), None)
        assert told(path, 1) == (at(1), shown(taken(1, connection(2))))


def test_any_thread_records_one_after_the_other(path: Path) -> None:
    """An agent makes each pass in a thread of its own, and closes an earlier history from another one."""
    history = History.open(path, DAY, MIB)
    for minute in range(5):
        run_apart(partial(history.record, taken(minute), ()))
    run_apart(history.close)
    assert [run[:2] for run in list_runs(path)] == [(minute + 1, at(minute)) for minute in range(5)]
    with pytest.raises(HistoryError, match="closed"):
        history.record(taken(6), ())


def test_a_baseline_is_written_now_and_then(path: Path) -> None:
    with closing(History.open(path, 8 * 20 * 60.0, 64 * MIB)) as history:
        record_all(history, passes(130, rows=1))
    baselines = [id_ for id_, _, baseline in list_runs(path) if baseline is not None]
    assert baselines == list(range(1, 131, 21))


def test_what_is_older_than_its_age_goes_and_what_was_open_since_stays_known(path: Path) -> None:
    snapshots = passes(150, rows=2)
    with closing(History.open(path, 80 * 60.0, 64 * MIB)) as history:
        record_all(history, snapshots)
        runs = list_runs(path)
        assert at(150 - 80 - 12) <= runs[0][1] <= at(150 - 80)
        assert runs[0][2] is not None
        for minute in range(150 - 80, 150):
            assert told(path, minute) == (at(minute), shown(snapshots[minute]))
    assert [id_ for id_, _, _ in runs] == list(range(runs[0][0], 151))


def test_a_clock_that_is_wrong_once_drops_nothing(path: Path) -> None:
    snapshots = passes(20)
    with closing(History.open(path, 3600.0, 64 * MIB)) as history:
        record_all(history, snapshots)
        for wrong in ("2099-01-01T00:00:00.000Z", "1999-01-01T00:00:00.000Z"):
            history.record(snapshots[-1]._replace(taken_at=wrong), ())
            history.record(snapshots[-1], ())
    assert [id_ for id_, _, _ in list_runs(path)] == list(range(1, 25))


def test_what_is_old_goes_also_where_the_clock_was_once_ahead(path: Path) -> None:
    """As of a host that has no time of day until it has asked for it: runs of 2099 are as old as those beside them."""
    snapshots = passes(150, rows=2)
    with closing(History.open(path, 80 * 60.0, 64 * MIB)) as history:
        for _ in range(3):
            history.record(snapshots[0]._replace(taken_at="2099-01-01T00:00:00.000Z"), None)
        record_all(history, snapshots)
        assert at(150 - 80 - 12) <= list_runs(path)[0][1] <= at(150 - 80)


def test_five_thousand_containers_come_and_go_within_bounds(path: Path) -> None:
    limit = 512 << 10
    with closing(History.open(path, 365 * DAY, limit)) as history:
        before = taken(0)
        history.record(before, ())
        for number in range(100):
            there = tuple(
                container(f"c{number}-{i}")._replace(id=ContainerId(f"{number * 50 + i:064x}")) for i in range(50)
            )
            after = taken(number + 1, containers=there)
            history.record(after, diff_snapshots(before, after))
            before = after
            size = sum(each.stat().st_size for each in path.parent.iterdir() if not each.name.endswith("-shm"))
            assert size <= limit
        assert told(path, 100)[1] == shown(before)
    runs = list_runs(path)
    assert [id_ for id_, _, _ in runs] == list(range(runs[0][0], 102))
    assert runs[0][0] > 1
    assert runs[0][2] is not None


def test_a_file_that_became_large_shrinks_again(path: Path) -> None:
    with closing(History.open(path, 3600.0, 64 * MIB)) as history:
        large = [taken(minute, *map(connection, range(minute * 1000, minute * 1000 + 1000))) for minute in range(3)]
        record_all(history, large)
        full = path.stat().st_size
        for minute in range(300, 330):
            history.record(taken(minute * 4), ())
        assert path.stat().st_size < full / 4


def test_what_has_no_room_at_all_is_an_error_and_the_next_run_is_kept(path: Path) -> None:
    with closing(History.open(path, DAY, 128 << 10)) as history:
        history.record(taken(0), ())
        large = taken(1, *map(connection, range(2000)))
        with pytest.raises(HistoryError, match=r"history\.db: a run of about \d+ bytes has no room in 131072 bytes"):
            history.record(large, diff_snapshots(taken(0), large))
        history.record(taken(2), ())
        assert told(path, 2) == (at(2), shown(taken(2)))


def test_a_baseline_that_takes_too_much_room_is_left_out_and_what_was_open_is_not_known(path: Path) -> None:
    with closing(History.open(path, DAY, 256 << 10)) as history:
        history.record(taken(0, *map(connection, range(500))), ())
        assert list_runs(path) == [(1, at(0), -1)]
        with closing(HistoryReader.open(path)) as reader:
            assert reader.fold(at(0), ALL) == ((), None, None)


def test_what_very_many_hold_takes_as_much_room_as_it_takes(path: Path) -> None:
    """As a server that has forked hundreds of times, on many ports: nothing is full while there is what may go."""
    holders = [process(1_000_000 + number, "fifteen-letters", start_ticks=10**9) for number in range(400)]
    rows = [listener(1000 + port, *holders, cookie=1000 + port, inode=1000 + port) for port in range(26)]
    with closing(History.open(path, DAY, 2 * MIB)) as history:
        for minute in range(20):
            history.record(taken(minute, *rows), None)
        assert told(path, 20) == (at(19), shown(taken(19, *rows)))


def test_the_file_is_its_owners_and_groups(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(History.open(path, DAY, MIB)) as history:
            history.record(taken(0), ())
            assert {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == dict.fromkeys(
                ("history.db", "history.db-wal", "history.db-shm"), 0o640
            )
    finally:
        os.umask(before)


def test_no_label_and_nothing_but_names_gets_into_the_file(path: Path) -> None:
    secret = "s3cret"
    web = WEB_POD._replace(labels={"password": secret}, told_by=None)
    assert web.pod is not None
    assert secret in web.pod.labels.values()
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, [taken(0, containers=()), taken(1, containers=(web,))])
        assert [change.kind.value for change in list_changes(path)] == ["container_come"]
        for file in path.parent.iterdir():
            assert secret.encode() not in file.read_bytes()


def test_text_that_is_not_utf8_is_kept_as_json_has_it(path: Path) -> None:
    odd = listener(81, process(40, "a\udcff\0\n\u202e"), cookie=9)
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, [taken(0), taken(1, odd)])
        (change,) = list_changes(path)
        assert change.socket is not None
        assert change.socket.holders == ((40, 100, "a\\xff\0\n\u202e"),)


def test_numbers_of_64_bits_come_back(path: Path) -> None:
    high = listener(81, process(40), cookie=(1 << 64) - 1, inode=(1 << 64) - 2)
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, [taken(0), taken(1, high)])
        (change,) = list_changes(path)
        assert change.socket is not None
        assert (change.socket.cookie, change.socket.inode) == ((1 << 64) - 1, (1 << 64) - 2)


def make_text(path: Path) -> None:
    path.write_text("precious, and no history at all\n" * 10)


def make_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE precious (id INTEGER)")


def make_foreign(path: Path) -> None:
    make_database(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA application_id = 4711")


def make_later(path: Path) -> None:
    History.open(path, DAY, MIB).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")


@pytest.mark.parametrize(
    ("make", "essentials"),
    [
        (make_text, "not a history"),
        (make_database, "not a history"),
        (make_foreign, "not a history"),
        (make_later, f"a history of version {VERSION + 1}, and this nsagent has version {VERSION}"),
        (Path.mkdir, "no regular file"),
        (os.mkfifo, "no regular file"),
        (lambda path: path.symlink_to("elsewhere"), "it is a symbolic link|No such file"),
    ],
    ids=["text", "database", "foreign", "later", "directory", "fifo", "link"],
)
def test_what_is_no_history_or_of_a_later_version_is_refused_and_left_as_it_is(
    path: Path, make: Callable[[Path], object], essentials: str
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for open_it in (lambda: History.open(path, DAY, MIB), lambda: HistoryReader.open(path)):
        with pytest.raises(HistoryError, match=essentials) as caught:
            open_it()
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    assert before is None or path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_directory_that_others_may_write_in_is_refused(path: Path) -> None:
    path.parent.chmod(0o777)
    with pytest.raises(HistoryError, match=r"others may write in nsagent on its way \(mode 0777"):
        History.open(path, DAY, MIB)
    assert list(path.parent.iterdir()) == []


def damage(path: Path) -> None:
    """Overwrite all but the header."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(random.Random(7).randbytes(size - 100))


def test_a_damaged_file_is_moved_aside_and_a_new_one_is_begun(path: Path) -> None:
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, passes(20))
    damage(path)
    damaged = path.read_bytes()
    with closing(History.open(path, DAY, MIB)) as history:
        aside = history.aside
        assert aside is not None
        assert re.fullmatch(r"history\.db\.corrupt-\d{8}T\d{6}Z", aside.name)
        assert aside.read_bytes() == damaged
        history.record(taken(30), ())
        assert told(path, 30) == (at(30), shown(taken(30)))


def record_large(history: History, minutes: range) -> None:
    """Passes with 2,000 connections each, of which none stays."""
    for minute in minutes:
        rows = tuple(map(connection, range(minute * 2000, minute * 2000 + 2000)))
        history.record(taken(minute, *rows), diff_snapshots(taken(minute), taken(minute, *rows)))


def test_a_file_that_is_damaged_while_it_is_open_is_an_error_and_a_new_one_is_begun(path: Path) -> None:
    with closing(History.open(path, DAY, 6 * MIB)) as history:
        record_large(history, range(4))
        damage(path)
        with pytest.raises(HistoryError, match="damaged"):
            record_large(history, range(4, 20))
        assert history.aside is not None
        history.record(taken(50), ())
        assert told(path, 50) == (at(50), shown(taken(50)))


def put_damaged(path: Path) -> None:
    """Another file in its place, which is damaged."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    damage(copy)
    copy.rename(path)


def test_a_file_is_moved_aside_again_but_not_where_each_new_one_is_soon_damaged(path: Path) -> None:
    """The disk would be full of damaged files."""
    with closing(History.open(path, DAY, MIB, least_runs=3)) as history:
        for minute in range(6):
            if minute in (1, 4):
                put_damaged(path)
            history.record(taken(minute), None)
            assert told(path, minute)[0] == at(minute)
        put_damaged(path)
        for minute in range(6, 12):
            with pytest.raises(HistoryError, match="damaged"):
                history.record(taken(minute), None)


def test_of_two_agents_one_writes_to_a_history(path: Path) -> None:
    """What changed would be told twice, and what both saw come would go once."""
    first = History.open(path, DAY, MIB)
    with pytest.raises(HistoryError, match=r"history\.db: another agent writes to it"):
        History.open(path, DAY, MIB)
    record_all(first, passes(3))
    first.close()
    with closing(History.open(path, DAY, MIB)) as history:
        history.record(taken(5), ())
    assert [run[1] for run in list_runs(path)] == [at(0), at(1), at(2), at(5)]


class Slow(list[Change]):
    """Changes that are not written before a test says so."""

    def __init__(self, changes: Iterable[Change]) -> None:
        super().__init__(changes)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[Change]:
        self.begun.set()
        assert self.go_on.wait(60)
        return super().__iter__()


def test_whoever_ends_does_not_wait_for_a_disk_that_hangs(path: Path) -> None:
    before, after = passes(2)
    history, changes = History.open(path, DAY, MIB), Slow(diff_snapshots(before, after))
    writing = threading.Thread(target=history.record, args=(after, changes))
    writing.start()
    assert changes.begun.wait(60)
    history.close(0.0)
    changes.go_on.set()
    writing.join(60)
    history.close()
    assert [run[1] for run in list_runs(path)] == [at(1)]


def test_a_file_that_was_removed_is_begun_anew_with_all_that_is_open(path: Path) -> None:
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, passes(3))
        for each in path.parent.iterdir():
            each.unlink()
        history.record(taken(5, connection(1)), ())
        assert told(path, 5) == (at(5), shown(taken(5, connection(1))))
    assert [run[1:] for run in list_runs(path)] == [(at(5), 3)]


def test_a_directory_that_is_gone_is_an_error_until_it_is_back(path: Path) -> None:
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, passes(3))
        path.parent.rename(path.parent.with_name("elsewhere"))
        for _ in range(2):
            with pytest.raises(HistoryError, match=r"history\.db: No such file or directory"):
                history.record(taken(5), ())
        path.parent.mkdir(mode=0o700)
        history.record(taken(6), ())
        assert told(path, 6) == (at(6), shown(taken(6)))


def test_it_is_read_while_it_is_written_and_the_writer_does_not_wait(path: Path) -> None:
    with closing(History.open(path, DAY, MIB)) as history:
        snapshots = passes(40)
        record_all(history, snapshots[:20])
        with closing(HistoryReader.open(path)) as reader:
            reading: Iterator[object] = reader.list_changes(ALL)
            next(reading)
            for before, after in pairwise(snapshots[19:]):
                history.record(after, diff_snapshots(before, after))
            assert len(list(reading)) == sum(len(diff_snapshots(*pair)) for pair in pairwise(snapshots[:20])) - 1
            assert told(path, 100)[0] == at(39)


def test_whoever_reads_slowly_has_no_file_grow(path: Path) -> None:
    """As with a pager that is left open: what is written meanwhile would all stay beside the file."""
    snapshots = passes(30)
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, snapshots[:10])
        with closing(HistoryReader.open(path)) as reader:
            reading = reader.list_changes(ALL)
            next(reading)
            record_all(history, snapshots[10:])
            assert path.with_name(f"{path.name}-wal").stat().st_size == 0


def test_what_is_dropped_while_it_is_read_is_told(path: Path) -> None:
    snapshots = passes(30)
    with closing(History.open(path, 60.0, 64 * MIB)) as history:
        record_all(history, snapshots)
        with closing(HistoryReader.open(path)) as reader:
            reading = reader.list_changes(ALL, page=4)
            next(reading)
            history.record(taken(5000), ())
            history.record(taken(5001), ())
            with pytest.raises(HistoryError, match="what comes next has been dropped meanwhile"):
                list(reading)


@pytest.mark.parametrize("page", [1, 2, 3, 7, 1000])
def test_changes_are_the_same_however_many_are_read_at_a_time(path: Path, page: int) -> None:
    snapshots = passes(6)
    changes = [change for pair in pairwise(snapshots) for change in diff_snapshots(*pair)]
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, snapshots)
    with closing(HistoryReader.open(path)) as reader:
        assert list(reader.list_changes(ALL, page=page)) == changes


def test_a_copy_of_the_file_alone_is_read_and_nothing_is_made_beside_it(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "yesterday.db"
    copy.parent.mkdir()
    with closing(History.open(path, DAY, MIB)) as history:
        record_all(history, passes(5))
        copy.write_bytes(path.read_bytes())
    copy.parent.chmod(0o500)
    assert told(copy, 4) == (at(4), shown(passes(5)[-1]))
    with closing(HistoryReader.open(copy)):
        assert [each.name for each in copy.parent.iterdir()] == ["yesterday.db"]


def test_where_there_is_none_is_an_error(path: Path) -> None:
    with pytest.raises(HistoryError, match=r"history\.db: No such file or directory"):
        HistoryReader.open(path)
    path.touch()
    with pytest.raises(HistoryError, match="it is empty"):
        HistoryReader.open(path)


KILLED = """
import sys
from pathlib import Path
from nsagent.agent.history import History
from nsagent.scan.diff import diff_snapshots
from tests.agent.histories import passes

snapshots = passes(25, rows=10)
print("made", flush=True)
history = History.open(Path(sys.argv[1]), 600.0, 1 << 20)
print("open", flush=True)
while True:
    history.record(snapshots[0], ())
    for before, after in zip(snapshots, snapshots[1:]):
        history.record(after, diff_snapshots(before, after))
        print(flush=True)
"""


def check_whole(path: Path) -> int:
    """Every run is there with all its rows, none is missing between two; the number of the last one, 0 for none."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if database.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            return 0  # It was killed before there were tables.
        runs = database.execute(
            "SELECT id, changes, (SELECT count(*) FROM changes WHERE run = id), coalesce(baseline, 0), "
            "(SELECT count(*) FROM baseline WHERE run = id) FROM runs ORDER BY id"
        ).fetchall()
        assert [run[0] for run in runs] == list(range(runs[0][0], runs[0][0] + len(runs))) if runs else True
        assert [run for run in runs if run[1] != run[2] or run[3] != run[4]] == []
        return int(runs[-1][0]) if runs else 0


def test_a_kill_at_any_moment_leaves_whole_runs_without_a_hole(path: Path) -> None:
    """From the opening of the file on; every run that was told as recorded is there."""
    chance = random.Random(13)
    last = 0
    for attempt in range(30):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == b"made\n"
            for _ in range(0 if attempt < 10 else chance.randrange(1, 30)):
                child.stdout.readline()
            time.sleep(chance.uniform(0, 0.004))  # Anywhere within the next run, or within opening.
            child.kill()
            child.stdout.read()
            child.wait()
        assert child.returncode == -signal.SIGKILL
        if path.exists() and path.stat().st_size:
            runs = check_whole(path)
            assert runs >= last
            last = runs
        assert not list(path.parent.glob("*.corrupt-*"))
    assert last > 50
    with closing(HistoryReader.open(path)) as reader:
        assert reader.fold("2026-02-01T00:00:00.000Z", ALL).as_of is not None


FULL = """
import subprocess, sys
from pathlib import Path
from nsagent.agent.history import History
from nsagent.errors import HistoryError
from nsagent.scan.diff import diff_snapshots
from tests.agent.histories import connection, passes, record_all, shown, taken, told, at

place = Path(sys.argv[1])
path = place / "history.db"
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs", place], check=True)
history = History.open(path, 86400.0, 1 << 30)
record_all(history, passes(5))
(place / "filler").write_bytes(bytes(200 << 10))
failed = 0
for minute in range(10, 60):
    try:
        history.record(taken(minute), diff_snapshots(taken(minute), taken(minute, *map(connection, range(100)))))
    except HistoryError as err:
        assert "full" in str(err) or "No space" in str(err) or "disk I/O" in str(err), err
        failed += 1
assert failed, "the disk was never full"
assert told(path, 4) == (at(4), shown(passes(5)[-1]))
(place / "filler").unlink()
history.record(taken(100), ())
assert told(path, 100) == (at(100), shown(taken(100)))
history.close()
subprocess.run(["mount", "-o", "remount,ro", place], check=True)
try:
    History.open(path, 86400.0, 1 << 30)
except HistoryError as err:
    print(err)
"""


def test_a_full_disk_and_a_read_only_one_are_errors_and_nothing_recorded_is_lost(tmp_path: Path) -> None:
    """The disk is a small one that only the child sees."""
    require(Capability.ROOT, Capability.SETPRIV)
    done = subprocess.run(
        ["unshare", "--mount", "--propagation=private", "--", sys.executable, "-c", FULL, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "history.db: Read-only file system" in done.stdout
