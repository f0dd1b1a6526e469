"""When reports are due: by a timetable that is asked with made-up clocks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nsagent.agent.schedule import Due, Moment, Timetable, list_times
from nsagent.config.model import Report

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC).timestamp()


def report(name: str = "r", **values: Any) -> Report:
    return Report.model_validate({"name": name, **values})


def at(running: float, *, step: float = 0.0) -> Moment:
    """A moment so many seconds after noon, by a wall clock that was set by `step`."""
    return Moment(1000.0 + running, NOON + running + step)


def test_a_report_is_due_on_multiples_of_its_period_whenever_the_agent_was_started() -> None:
    table = Timetable([report(every="5m")], "node-1", at(123))
    assert table.find_next() == at(300).running
    assert table.take_due(at(299.9)) == []
    assert table.take_due(at(300)) == [Due("r", 0)]
    assert table.find_next() == at(600).running


def test_a_look_that_comes_a_little_early_by_the_wall_clock_makes_no_report_twice() -> None:
    table = Timetable([report(every="5m")], "node-1", at(0))
    early = Moment(at(300).running, at(300).wall - 0.01)
    assert table.take_due(early) == [Due("r", 0)]
    assert table.find_next() == pytest.approx(at(600).running, abs=0.02)


def test_the_next_time_is_told_as_it_is_meant_however_the_clocks_run_apart() -> None:
    table = Timetable([report(every="5m")], "node-1", at(0))
    assert table.tell_next("r", at(100, step=-0.0004)) == at(300).wall
    assert table.tell_next("r", at(100, step=0.3)) == at(300).wall
    assert table.tell_next("r", at(100, step=60)) == at(360).wall


def test_what_was_due_meanwhile_is_made_once_and_counted() -> None:
    table = Timetable([report(every="10s")], "node-1", at(0))
    assert table.take_due(at(47)) == [Due("r", 3)]
    assert table.find_next() == at(50).running


def test_those_that_are_due_together_are_taken_together_the_longest_due_first() -> None:
    table = Timetable([report("b", every="20s"), report("a", every="10s")], "node-1", at(1))
    assert table.take_due(at(20)) == [Due("a", 1), Due("b", 0)]


def test_jitter_is_the_same_each_time_on_one_host_and_another_one_on_others() -> None:
    jittered = report(every="1h", jitter="5m")
    offsets = {host: list_times(jittered, host, at(0), 1)[0] - NOON for host in ("node-1", "node-2", "node-3")}
    assert len(set(offsets.values())) == 3
    assert all(0 <= offset % 3600 < 300 for offset in offsets.values())
    first, second = list_times(jittered, "node-1", at(0), 2)
    assert second - first == pytest.approx(3600)


def test_a_cron_report_is_due_by_the_clock_of_its_zone() -> None:
    berlin = report(cron="0 6 * * *", timezone="Europe/Berlin")
    (time,) = list_times(berlin, "node-1", at(0), 1)
    assert datetime.fromtimestamp(time, UTC) == datetime(2026, 1, 3, 5, 0, tzinfo=UTC)
    table = Timetable([berlin], "node-1", at(0))
    assert table.take_due(at(17 * 3600)) == [Due("r", 0)]
    assert table.find_next() == at(41 * 3600).running


@pytest.mark.parametrize("cron", ["30 2 * * *", "15,45 1-3 * * *", "*/20 2 * * *", "30 * * * *"])
def test_the_next_time_of_a_cron_report_is_always_to_come_also_as_summer_time_ends(cron: str) -> None:
    """From 02:00 to 03:00 the clock shows each time twice."""
    berlin = report(cron=cron, timezone="Europe/Berlin")
    begin = datetime(2026, 10, 24, 23, 0, tzinfo=UTC).timestamp()
    for minute in range(5 * 60):
        now = begin + 60.0 * minute
        first, second = list_times(berlin, "node-1", Moment(0.0, now), 2)
        assert now < first < second


def test_a_cron_report_in_summer_time_keeps_its_hour() -> None:
    berlin = report(cron="0 6 * * *", timezone="Europe/Berlin")
    before = datetime(2026, 3, 28, 12, 0, tzinfo=UTC).timestamp()
    times = list_times(berlin, "node-1", Moment(0.0, before), 2)
    assert [datetime.fromtimestamp(time, UTC).hour for time in times] == [4, 4]


@pytest.mark.parametrize("step", [3600.0, -3600.0, 86400.0 * 400])
def test_a_clock_that_is_set_makes_no_report_at_once_and_puts_none_off(step: float) -> None:
    table = Timetable([report(every="5m")], "node-1", at(0))
    assert table.take_due(at(100, step=step)) == []
    assert table.find_next() == at(300).running
    assert table.take_due(at(300, step=step)) == [Due("r", 0)]


def test_after_a_clock_that_was_set_askew_reports_are_on_multiples_again() -> None:
    table = Timetable([report(every="5m")], "node-1", at(0))
    assert table.take_due(at(100, step=30.0)) == []
    assert table.find_next() == at(270).running


def test_after_a_sleep_of_the_machine_a_report_is_made_once() -> None:
    table = Timetable([report(every="5m")], "node-1", at(0))
    assert table.take_due(at(8 * 3600 + 10)) == [Due("r", 95)]
    assert table.find_next() == at(8 * 3600 + 300).running


def test_a_report_that_is_left_alone_is_due_at_its_next_time_after_that() -> None:
    table = Timetable([report(every="10s"), report("other", every="10s")], "node-1", at(0))
    table.delay("r", 60.0, at(0))
    assert table.take_due(at(59)) == [Due("other", 4)]
    assert table.take_due(at(60)) == [Due("r", 0), Due("other", 0)]


def test_a_month_of_a_report_drifts_by_nothing() -> None:
    table = Timetable([report(every="7m")], "node-1", at(0))
    running = 0.0
    for _ in range(6000):
        running = table.find_next() - at(0).running
        assert table.take_due(at(running)) == [Due("r", 0)]
    moment = datetime.fromtimestamp(NOON + running, UTC)
    assert (moment.timestamp() % 420) == pytest.approx(0, abs=1e-3)
    assert moment > datetime.fromtimestamp(NOON, UTC) + timedelta(days=29)


def test_what_was_due_when_another_config_was_loaded_is_made_by_that_one() -> None:
    """As where it came due while a pass was under way: a report of once a day would be left out for the day."""
    daily, other = report(cron="0 13 * * *"), report("other", every="1h")
    before = Timetable([daily, other, report("gone", every="1h")], "node-1", at(0))
    loaded = at(3602)
    after = Timetable([daily, report("other", every="2h"), report("new", every="1h")], "node-1", loaded)
    after.take_over(before, loaded)
    assert after.take_due(loaded) == [Due("r", 0)]
    again = Timetable([daily], "node-1", loaded)
    again.take_over(after, loaded)
    assert again.take_due(loaded) == []
