"""Filters as they are typed, and rows as somebody wants to see them."""

import pytest

from nsagent.cli.live.look import Arranged, Look, TypedFilter, arrange, fit_window, is_around, read_filter
from nsagent.cli.live.seen import Seen, add_pass
from nsagent.errors import NotFound, NsagentError, UsageError, WrongExpression
from nsagent.model.choices import OwnersWanted, View
from nsagent.model.snapshot import Snapshot
from nsagent.query.expression import Autobound
from nsagent.report.options import OutputOptions
from tests.scan.snapshots import WEB, container, listener, process, snapshot

WEBS = container("web"), container("web", "b")
FRONT = listener(80, process(10, "nginx", container=WEBS[0]), netns=WEB)
BACK = listener(8080, process(20, "gunicorn", container=container("db", "c")), netns=WEB, cookie=2, inode=8)
NOBODYS = listener(22, cookie=3, inode=9)
HERE = snapshot(FRONT, BACK, NOBODYS, containers=(WEBS[0], container("db", "c")))
OUTPUT = OutputOptions()


def see(taken: Snapshot = HERE) -> Seen:
    return add_pass(None, taken, taken, ())


def arrange_with(text: str, taken: Snapshot = HERE, later: Snapshot | None = None, **look: object) -> Arranged:
    """The rows that a filter leaves, typed when this pass was seen, of the same pass or of a later one."""
    wanted = read_filter(text, see(taken)) if text else None
    return arrange(see(later or taken), Look(filter=wanted, **look), View.SOCKETS, OUTPUT)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["nginx", "80", "nginx: worker", "port", "not", "a-b/c", "(time_wait)"[1:]])
def test_what_is_no_expression_is_sought_as_it_is(text: str) -> None:
    assert read_filter(text, see()) == TypedFilter(text)


@pytest.mark.parametrize("text", ["sport = :80", "sport=:80", "port 80", "NOT port 80", "(port 80)", "! port 80"])
def test_what_begins_as_an_expression_or_has_an_operator_is_one(text: str) -> None:
    assert read_filter(text, see()).expression is not None


def test_the_one_expression_of_a_single_word_is_one() -> None:
    assert read_filter("autobound", see()) == TypedFilter("autobound", Autobound())


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("sport = :8x", WrongExpression, "expected a port from 0 to 65535 or the name of a service, got '8x'"),
        ("sprot = :80", WrongExpression, "did you mean sport?"),
        ("container = wbe", NotFound, "no container 'wbe'; near names: web"),
        (
            "proto = vsock or proto udp or proto = sctp",
            UsageError,
            "not read: sctp, vsock; begin with --protocol sctp,vs",
        ),
    ],
)
def test_a_wrong_filter_is_told(text: str, error: type[NsagentError], told: str) -> None:
    with pytest.raises(error) as raised:
        read_filter(text, see())
    assert told in str(raised.value)


def test_holders_are_not_asked_for_where_nobody_looks_for_them() -> None:
    taken = HERE._replace(coverage=HERE.coverage._replace(owners=OwnersWanted.CONTAINER))
    with pytest.raises(UsageError, match="use --owners pid"):
        read_filter("comm = nginx", see(taken))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [FRONT, BACK, NOBODYS]),
        ("GUNI", [BACK]),
        (":80", [FRONT, BACK]),
        ("nobody shows this", []),
        ("sport >= :80", [FRONT, BACK]),
        ("not container = web", [BACK, NOBODYS]),
        ("sport < :80 or comm = nginx", [FRONT, NOBODYS]),
    ],
)
def test_a_filter_leaves_the_rows_that_meet_it(text: str, rows: list[object]) -> None:
    assert list(arrange_with(text).table.rows) == rows


def test_a_text_is_sought_in_the_columns_that_are_shown() -> None:
    assert list(arrange_with("exact").table.rows) == []
    assert list(arrange_with("exact", wide=True).table.rows) == [FRONT, BACK]


def test_what_a_filter_names_may_be_gone_for_a_while() -> None:
    gone = arrange_with("container = web or sport = :22", later=snapshot(NOBODYS))
    assert (list(gone.table.rows), gone.seen.error) == ([NOBODYS], "")


def test_a_name_that_has_come_to_mean_several_things_is_told_and_selects_nothing() -> None:
    twice = arrange_with("container = web", later=HERE._replace(containers=WEBS))
    assert list(twice.table.rows) == []
    assert twice.seen.error.startswith("container 'web' is ambiguous: ")


def test_rows_are_sorted_and_columns_chosen() -> None:
    arranged = arrange_with("", sort_by=("-local",), wide=True)
    assert list(arranged.table.rows) == [BACK, FRONT, NOBODYS]
    assert {"unit", "fds", "acceptq"} < {column.name for column in arranged.table.columns}


def test_sockets_are_counted_as_with_count_by() -> None:
    output = OUTPUT._replace(group_by=("container",))
    table = arrange(see(), Look(sort_by=("-container",)), View.TOP, output).table
    assert [(row.sample, row.sockets) for row in table.rows] == [(FRONT, 1), (BACK, 1), (NOBODYS, 1)]


def test_of_many_rows_those_around_the_topmost_one_are_laid_out() -> None:
    many = HERE._replace(sockets=(*HERE.sockets * 1000, listener(60000, process(1, "x" * 15), netns=WEB)))
    arranged = arrange(see(many), Look(), View.SOCKETS, OUTPUT)
    near, middle, end = (fit_window(arranged, first, 200, OUTPUT) for first in (0, 1700, 3000))
    assert [(each.start, len(each.fitted.cells[0])) for each in (near, middle, end)] == [
        (0, 1500),
        (1000, 1500),
        (2500, 501),
    ]
    assert [is_around(middle, first) for first in (1499, 1500, 1999, 2000)] == [False, True, True, False]
    assert near.fitted.widths != end.fitted.widths
