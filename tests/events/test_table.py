"""What events and looks mean together, whichever comes first."""

from collections.abc import Mapping

import pytest

from nsagent.events.running import Look, Running
from nsagent.events.table import ProcessTable
from nsagent.kernel.formats.cn_proc import Ack, Comm, Event, Exec, Exit, Fork, Gid, Uid
from nsagent.model.ids import Pid
from nsagent.model.process_event import EventEngine, ExitStatus, Ids, ProcessEvent, ProcessEventKind
from tests.cpu_time import cpu_seconds

TICK_NS = 10_000_000
SEEN = 100 * TICK_NS
LATER = SEEN + TICK_NS
ROOT, PARENT, CHILD = Pid(1), Pid(10), Pid(11)
OK = ExitStatus(0, 0, False)


def running(seen_ns: int = SEEN, /, **fields: object) -> Running:
    """A child of PID 1 that runs since tick 50."""
    made = Running(seen_ns, ROOT, frozenset(), 50, "sh", 4096, Ids(0, 0), Ids(0, 0))
    return made._replace(**fields)  # type: ignore[arg-type]


def look(processes: Mapping[Pid, Running], started_ns: int = SEEN, unread: frozenset[Pid] = frozenset()) -> Look:
    return Look(started_ns, processes, unread)


def begin(**fields: object) -> ProcessTable:
    """A table of one process."""
    table = ProcessTable(lambda monotonic_ns: monotonic_ns // TICK_NS)
    list(table.add(look({PARENT: running(**fields)})))
    return table


def told(table: ProcessTable, *events: Event, at: int = LATER) -> list[tuple[object, ...]]:
    """What these events mean, without their time and the starts of processes."""
    found: list[tuple[object, ...]] = []
    for event in events:
        for each in table.apply(at, event):
            assert (each.timestamp_ns, each.found_by) == (at, EventEngine.CONNECTOR)
            found.append((each.kind, each.pid, *(field for field in each[4:8] if field is not None)))
    return found


def looked(table: ProcessTable, now: Look) -> list[tuple[object, ...]]:
    """The same of a look."""
    events = [*table.add(now), *table.drop(now)]
    assert all(each.found_by is EventEngine.POLL for each in events)
    return [(each.kind, each.pid, *(field for field in each[4:8] if field is not None)) for each in events]


FORK = Fork(CHILD, CHILD, PARENT)


def test_a_process_is_told_of_from_fork_to_exit() -> None:
    events: list[Event] = [
        FORK,
        Exec(CHILD, CHILD),
        Comm(CHILD, CHILD, "x"),
        Uid(CHILD, CHILD, 1, 2),
        Gid(CHILD, CHILD, 3, 4),
    ]
    assert told(begin(), *events, Exit(CHILD, CHILD, 0)) == [
        ("fork", PARENT, CHILD),
        ("exec", CHILD),
        ("comm", CHILD, "x"),
        ("uid", CHILD, Ids(1, 2)),
        ("gid", CHILD, Ids(3, 4)),
        ("exit", CHILD, OK),
    ]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0, OK),
        (3 << 8, ExitStatus(3, 0, False)),
        (9, ExitStatus(0, 9, False)),
        (11 | 0x80, ExitStatus(0, 11, True)),
    ],
)
def test_bug_78_an_exit_has_its_code_its_signal_and_whether_it_dumped_core(code: int, status: ExitStatus) -> None:
    assert list(begin().apply(LATER, Exit(PARENT, PARENT, code))) == [
        ProcessEvent(ProcessEventKind.EXIT, PARENT, LATER, EventEngine.CONNECTOR, status=status, start_ticks=50)
    ]


def test_bug_68_the_end_of_a_thread_is_no_end_of_its_process() -> None:
    table = begin(threads=frozenset({20, 21}))
    assert told(table, Exit(20, PARENT, 0), Exit(21, PARENT, 0)) == []
    assert PARENT in table


def test_bug_68_nor_is_that_of_the_first_thread_while_another_runs() -> None:
    table = begin()
    assert told(table, Fork(20, PARENT, ROOT), Exit(PARENT, PARENT, 5 << 8)) == []
    assert PARENT in table
    assert told(table, Exit(20, PARENT, 0)) == [("exit", PARENT, ExitStatus(5, 0, False))]


def test_the_last_thread_tells_how_a_process_ends_that_goes_on_without_its_first() -> None:
    table = begin(threads=frozenset({20}))
    assert told(table, Exit(PARENT, PARENT, 0), Exit(20, PARENT, 7 << 8)) == [("exit", PARENT, ExitStatus(7, 0, False))]


def test_how_a_first_thread_ended_is_kept_by_a_look_and_not_known_where_only_that_saw_it() -> None:
    table = begin(threads=frozenset({20}))
    assert told(table, Exit(PARENT, PARENT, 5 << 8)) == []
    left = running(LATER, threads=frozenset({20}), left=True)
    assert looked(table, look({PARENT: left}, LATER)) == []
    assert told(table, Exit(20, PARENT, 0)) == [("exit", PARENT, ExitStatus(5, 0, False))]
    assert told(begin(threads=frozenset({20}), left=True), Exit(20, PARENT, 0)) == [("exit", PARENT)]


def test_bug_69_a_new_thread_is_no_fork() -> None:
    assert told(begin(), Fork(20, PARENT, ROOT)) == []


def test_an_exec_by_another_thread_ends_neither_the_process_nor_its_watch() -> None:
    """The kernel ends the first thread, and the one that called execve(2) goes on under its number."""
    table = begin(threads=frozenset({20}))
    assert told(table, Exit(PARENT, PARENT, 0), Exec(PARENT, PARENT), Exit(PARENT, PARENT, 1 << 8)) == [
        ("exec", PARENT),
        ("exit", PARENT, ExitStatus(1, 0, False)),
    ]


def test_names_and_ids_of_threads_are_not_those_of_processes() -> None:
    assert told(begin(), Comm(20, PARENT, "pool"), Uid(20, PARENT, 1, 1), Gid(20, PARENT, 1, 1), Ack(1, 0)) == []


def test_bug_79_the_parent_is_whose_child_it_is() -> None:
    table = begin()
    told(table, Fork(CHILD, CHILD, PARENT), Fork(12, 12, PARENT))
    assert table.list_descendants(PARENT) == [CHILD, 12]


def test_descendants_are_children_and_theirs() -> None:
    table = begin()
    told(table, FORK, Fork(12, 12, CHILD), Fork(13, 13, 12), Fork(14, 14, ROOT))
    assert (table.list_descendants(PARENT), table.list_descendants(Pid(13))) == ([11, 12, 13], [])


def test_what_is_older_than_a_look_is_shown_by_it_already() -> None:
    """Subscribed to first: what waited then comes after the look."""
    table = begin(threads=frozenset({20}))
    old: list[Event] = [Fork(21, PARENT, ROOT), Exit(20, PARENT, 0), Exec(PARENT, PARENT), Comm(PARENT, PARENT, "x")]
    assert told(table, *old, Fork(PARENT, PARENT, ROOT), Exit(PARENT, PARENT, 0), at=SEEN - 1) == []
    assert told(table, Exit(PARENT, PARENT, 0)) == []
    assert told(table, Exit(20, PARENT, 0)) == [("exit", PARENT, OK)]


def test_a_child_that_the_look_missed_is_added_by_its_fork_that_waited() -> None:
    assert told(begin(), FORK, at=SEEN - 1) == [("fork", PARENT, CHILD)]


def test_a_pid_that_was_given_out_anew_is_another_process() -> None:
    table = begin()
    assert told(table, FORK, Exit(CHILD, CHILD, 0), Fork(CHILD, CHILD, PARENT)) == [
        ("fork", PARENT, CHILD),
        ("exit", CHILD, OK),
        ("fork", PARENT, CHILD),
    ]


def test_who_had_a_pid_before_has_ended_though_that_was_not_told() -> None:
    assert told(begin(), FORK, Fork(CHILD, CHILD, ROOT)) == [
        ("fork", PARENT, CHILD),
        ("exit", CHILD),
        ("fork", ROOT, CHILD),
    ]


def test_a_look_finds_who_came_and_who_went() -> None:
    table = begin()
    now = look({Pid(12): running(LATER, parent=CHILD, start_ticks=61), CHILD: running(LATER, start_ticks=60)}, LATER)
    assert looked(table, now) == [("fork", ROOT, CHILD, "sh"), ("fork", CHILD, 12, "sh"), ("exit", PARENT)]
    assert len(table) == 2


def test_a_look_finds_another_program_name_and_ids() -> None:
    now = running(LATER, comm="dash", uids=Ids(1, 1), gids=Ids(2, 2))
    assert looked(begin(), look({PARENT: now}, LATER)) == [
        ("comm", PARENT, "dash"),
        ("uid", PARENT, Ids(1, 1)),
        ("gid", PARENT, Ids(2, 2)),
    ]
    assert looked(begin(), look({PARENT: running(LATER, comm="cat", start_stack=8192)}, LATER)) == [
        ("exec", PARENT, "cat")
    ]


def test_what_is_not_known_has_not_changed() -> None:
    """Only events have told of it, or its stack may not be read."""
    table = begin()
    told(table, FORK)
    assert looked(table, look({PARENT: running(LATER, start_stack=0), CHILD: running(LATER, start_ticks=101)})) == []


def test_a_look_tells_a_pid_that_was_given_out_anew_by_its_start() -> None:
    assert looked(begin(), look({PARENT: running(LATER, start_ticks=51)}, LATER)) == [
        ("exit", PARENT),
        ("fork", ROOT, PARENT, "sh"),
    ]


def test_a_look_tells_it_too_of_one_that_only_events_have_told_of() -> None:
    table = begin()
    told(table, FORK)
    now = look({PARENT: running(), CHILD: running(LATER + 50 * TICK_NS, start_ticks=102)}, LATER)
    assert looked(table, now) == [("exit", CHILD), ("fork", ROOT, CHILD, "sh")]


def test_an_event_has_the_start_of_its_process_once_a_look_has_met_that() -> None:
    table = begin()
    assert [each.start_ticks for each in table.apply(LATER, Exec(PARENT, PARENT))] == [50]
    assert [each.start_ticks for each in table.apply(LATER, FORK)] == [None]
    assert [each.start_ticks for each in table.apply(LATER, Uid(CHILD, CHILD, 1, 1))] == [None]
    table.learn_start(CHILD, 101)
    table.learn_start(CHILD, 102)
    table.learn_start(Pid(99), 1)
    assert [each.start_ticks for each in table.apply(LATER, Comm(CHILD, CHILD, "x"))] == [101]
    assert [each.start_ticks for each in table.apply(LATER, FORK)] == [101, None]
    reused = look({PARENT: running(LATER, start_ticks=51)}, LATER)
    assert [(each.kind, each.start_ticks) for each in table.add(reused)] == [("exit", 50), ("fork", 51)]
    assert [(each.pid, each.start_ticks) for each in table.drop(look({}, LATER + 1))] == [(PARENT, 51), (CHILD, None)]
    assert Pid(99) not in table


def test_who_could_not_be_read_is_there_still() -> None:
    assert looked(begin(), look({}, LATER, frozenset({PARENT}))) == []


def test_who_came_while_the_look_went_on_is_not_gone() -> None:
    table = begin()
    now = look({PARENT: running(LATER)}, LATER)
    found = [*table.add(now)]
    assert told(table, FORK, at=LATER + 1) == [("fork", PARENT, CHILD)]
    assert [*found, *table.drop(now)] == []


def test_who_is_not_known_has_no_events() -> None:
    assert told(begin(), Exec(77, 77), Exit(77, 77, 0), Exit(78, 77, 0), Fork(78, 77, 1)) == []


def test_a_process_with_many_threads_takes_no_longer_than_another_one() -> None:
    def change(table: ProcessTable) -> None:
        for tid in range(1_000_000, 1_002_000):
            assert told(table, Fork(Pid(tid), PARENT, PARENT), Exit(Pid(tid), PARENT, 0)) == []

    few, many = begin(), begin(threads=frozenset(range(100, 30_100)))
    least = cpu_seconds(lambda: change(few))
    assert cpu_seconds(lambda: change(many)) < 10 * least
