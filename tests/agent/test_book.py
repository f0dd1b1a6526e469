"""What is known of reports: counts, and how long one that cannot be made is left alone."""

from dataclasses import replace

import pytest

from nsagent.agent.book import Book, Entry
from nsagent.agent.made_report import Outcome
from nsagent.agent.reports import ReportMaker
from nsagent.agent.status import ReportStatus
from nsagent.config.model import Report

NOON = 1_767_355_200.0


def make_book(*names: str) -> Book:
    reports = [Report.model_validate({"name": name, "every": "1m"}) for name in names]
    return Book({report.name: Entry(ReportMaker(report), ()) for report in reports}, lambda: NOON)


def status_of(book: Book, name: str) -> ReportStatus:
    statuses = {one.name: one for one in book.list_statuses(lambda _: NOON + 60)}
    return statuses[name]


FRESH = ReportStatus("a", "2026-01-02T12:01:00.000Z")


def test_a_report_that_ends_well_is_counted() -> None:
    book = make_book("a")
    assert status_of(book, "a") == FRESH
    book.begin("a", 2)
    book.finish("a", [])
    assert status_of(book, "a") == replace(
        FRESH, runs=1, skipped=2, last_success_at="2026-01-02T12:00:00.000Z", last_success_epoch_seconds=NOON
    )


def test_errors_of_all_outputs_are_told_until_it_ends_well() -> None:
    book = make_book("a")
    book.finish("a", ["/x: full", "/y: gone"])
    assert (status_of(book, "a").error, status_of(book, "a").failed) == ("/x: full; /y: gone", 1)
    book.finish("a", [])
    assert (status_of(book, "a").error, status_of(book, "a").failed) == (None, 1)


def test_one_that_cannot_be_made_is_left_alone_longer_each_time() -> None:
    book = make_book("a", "b")
    pauses = []
    for _ in range(11):
        book.finish("a", ["ambiguous"], made=False)
        pauses.append(book.take_pauses().get("a", 0.0))
    assert pauses == [0, 0, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert status_of(book, "a").quarantined
    assert not status_of(book, "b").quarantined
    book.finish("a", [])
    assert not status_of(book, "a").quarantined
    assert book.take_pauses() == {}


def test_one_whose_outputs_fail_is_made_each_time() -> None:
    book = make_book("a")
    for _ in range(20):
        book.finish("a", ["/x: full"])
    assert book.take_pauses() == {}


def test_a_config_that_is_loaded_goes_on_counting() -> None:
    earlier, later = make_book("a", "gone"), make_book("a", "new")
    earlier.begin("a", 1)
    earlier.finish("a", ["/x: full"])
    later.take_over(earlier)
    assert status_of(later, "a") == replace(FRESH, runs=1, skipped=1, failed=1, error="/x: full")
    assert status_of(later, "new") == replace(FRESH, name="new")


@pytest.mark.parametrize(("told", "errors"), [([None, None], []), (["x", None], ["x"]), (["x", "y"], ["x", "y"])])
def test_an_outcome_is_told_once_all_outputs_have_told(told: list[str | None], errors: list[str]) -> None:
    heard: list[list[str]] = []
    outcome = Outcome(2, lambda all_: heard.append(list(all_)))
    outcome.add(told[0])
    assert heard == []
    outcome.add(told[1])
    assert heard == [errors]
