"""What events and passes mean together for who lives, and who lived where."""

from collections.abc import Iterable

import pytest

from nsagent.agent.live_table import LiveTable
from nsagent.agent.living import Ended, Living
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.process_event import ExitStatus
from nsagent.scan.memory import Lodger

TICK = 10_000_000
T = 1000 * TICK
"""When the first pass began."""
GRACE = 100 * TICK
NETNS, COOKIE = 4026532500, 4101
WEB, DB = ContainerId("web"), ContainerId("db")
PARENT, CHILD = Pid(10), Pid(11)
FAILED = ExitStatus(3, 0, core_dumped=False)
IN_WEB = Lodger(NETNS, COOKIE, WEB)
IN_DB = Lodger(NETNS, COOKIE, DB)


def living(pid: Pid = PARENT, *, at: int = T, start: int | None = 50, lodger: Lodger | None = IN_WEB) -> Living:
    return Living(pid, at, start, "sh", lodger)


def make_table(*processes: Living, most_ended: int = 10) -> LiveTable:
    table = LiveTable(lambda at_ns: at_ns // TICK, grace_ns=GRACE, most_ended=most_ended)
    for process in processes:
        table.put(process)
    return table


def hold(table: LiveTable, *seen: Living, at: int, there: Iterable[Pid] = ()) -> int:
    """What a pass that began then had not been told."""
    return table.hold_against(seen, {*(each.pid for each in seen), *there}, at)


def test_a_child_lives_where_its_parent_does() -> None:
    table = make_table(living())
    table.fork(T + 1, CHILD, PARENT)
    assert table.find(CHILD) == Living(CHILD, T + 1, None, "sh", IN_WEB)
    table.fork(T + 1, Pid(12), Pid(99))
    assert table.find(Pid(12)) == Living(Pid(12), T + 1, None, None, None)


def test_a_child_that_a_pass_saw_before_its_birth_was_told_of_has_a_parent_too() -> None:
    table = make_table(living(), living(CHILD, start=T // TICK))
    table.fork(T + 1, CHILD, PARENT)
    assert table.list_parents(CHILD, T // TICK) == [living()]
    table.end(T + 2, PARENT, FAILED)
    assert table.list_parents(CHILD, T // TICK) == [Ended(T + 2, living(), FAILED)]
    assert (table.list_parents(CHILD, 1), table.list_parents(PARENT, 50)) == (None, None)


def test_who_has_ended_is_a_lodger_for_the_grace_time() -> None:
    table = make_table(living())
    table.end(T + 5, PARENT)
    assert (len(table), list(table.ended)) == (0, [Ended(T + 5, living())])
    assert table.list_lodgers(NETNS, COOKIE, T + 5 + GRACE) == {WEB}
    assert table.list_lodgers(NETNS, COOKIE, T + 6 + GRACE) == frozenset()
    assert table.map_lodgers() == {NETNS: {IN_WEB}}
    table.forget(T + 6 + GRACE)
    assert (list(table.ended), table.map_lodgers()) == ([], {})


def test_a_pass_brings_back_nobody_who_has_ended_since_it_began_however_few_are_remembered() -> None:
    table = make_table(living(), living(CHILD), most_ended=1)
    table.end(T + 5, CHILD)
    table.end(T + 6, PARENT)
    assert hold(table, living(at=T + 4), living(CHILD, at=T + 4), at=T + 4) == 0
    assert (len(table), list(table.ended)) == (0, [Ended(T + 6, living())])
    assert hold(table, living(at=T + 7), at=T + 7) == 1


def test_who_lives_is_a_lodger_too() -> None:
    """Its end may not have been told yet."""
    table = make_table(living(), living(CHILD, lodger=IN_DB))
    table.end(T + 5, CHILD)
    assert table.map_lodgers() == {NETNS: {IN_WEB, IN_DB}}


def test_however_many_end_where_they_lived_is_known() -> None:
    table = make_table(living(), living(CHILD, lodger=IN_DB))
    table.end(T, CHILD)
    for pid in range(100, 200):
        table.fork(T + 1, Pid(pid), PARENT)
        table.end(T + 1, Pid(pid))
    assert len(table.ended) == 10
    assert table.list_lodgers(NETNS, COOKIE, T + 2) == {WEB, DB}


def test_a_netns_that_has_the_number_of_one_before_has_not_its_lodgers() -> None:
    table = make_table(living())
    assert table.list_lodgers(NETNS, COOKIE + 1, T) == frozenset()
    assert table.list_lodgers(NETNS, None, T) == {WEB}
    table.put(living(lodger=Lodger(NETNS, None, WEB)))
    assert table.list_lodgers(NETNS, COOKIE + 1, T) == {WEB}


def test_a_number_is_still_a_netns_s_while_somebody_lives_there_who_was_seen_in_it() -> None:
    table = make_table(living())
    assert (table.find_cookie(NETNS, COOKIE), table.find_cookie(NETNS, COOKIE + 1)) == (COOKIE, None)
    table.end(T + 1, PARENT)
    assert table.find_cookie(NETNS, COOKIE) is None


@pytest.mark.parametrize(
    ("was", "now", "known", "found"),
    [
        (living(), living(at=T + 9), living(at=T + 9), 0),
        (living(), living(at=T + 9, lodger=IN_DB), living(at=T + 9, lodger=IN_DB), 0),
        (living(start=None), living(at=T + 9, start=T // TICK), living(at=T + 9, start=T // TICK), 0),
        (living(), living(at=T + 9, start=900), living(at=T + 9, start=900), 1),
        (living(start=None), living(at=T + 9, start=T // TICK + 1), living(at=T + 9, start=T // TICK + 1), 1),
        (living(at=T + 20, start=None), living(at=T + 9), living(at=T + 20, start=None), 0),
        (living(at=T + 20, start=900), living(at=T + 9), living(at=T + 20, start=900), 0),
    ],
    ids=["alike", "moved", "told of", "another, unheard", "another since", "one forked since", "one that ran since"],
)
def test_a_pass_shows_where_a_process_lives_and_whether_it_is_the_same(
    was: Living, now: Living, known: Living, found: int
) -> None:
    table = make_table(was)
    assert hold(table, now, at=T + 9) == found
    assert table.find(PARENT) == known


def test_what_a_pass_finds_counts_and_what_it_may_not_have_seen_stays() -> None:
    table = make_table(living(), living(CHILD), living(Pid(12)), living(Pid(13), at=T + 20))
    assert hold(table, living(at=T + 9), living(Pid(14), at=T + 9), at=T + 9, there=[CHILD]) == 2
    assert sorted(table.list_pids()) == [PARENT, CHILD, Pid(13), Pid(14)]
    assert list(table.ended) == [Ended(T + 9, living(Pid(12)))]


def test_who_ended_while_a_pass_went_on_lives_no_more_though_it_saw_it() -> None:
    table = make_table(living(), living(CHILD, start=None))
    for pid in (PARENT, CHILD):
        table.end(T + 12, pid)
    assert hold(table, living(at=T + 9), living(CHILD, at=T + 9), at=T + 9) == 0
    assert len(table) == 0
    assert hold(table, living(at=T + 20), at=T + 20) == 1


def test_what_is_told_late_of_who_was_seen_is_nothing_new_and_of_one_before_it_nothing() -> None:
    seen = living(at=T, start=T // TICK)
    table = make_table(seen)
    table.fork(T + 3 * TICK, PARENT, Pid(1))
    table.end(T - 1, PARENT)
    assert table.find(PARENT) == seen
    table.fork(T + 20 * TICK, PARENT, Pid(1))
    assert table.find(PARENT) == Living(PARENT, T + 20 * TICK, None, None, None)
    assert list(table.ended) == [Ended(T + 20 * TICK, seen)]
