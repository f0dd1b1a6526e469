"""Which rows of a pass the live table shows, in which order: a filter that is typed, and columns to sort by."""

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from nsagent.cli.expression import read_expression
from nsagent.cli.live.seen import Seen
from nsagent.cli.scan import check_owners
from nsagent.errors import Ambiguous, UsageError
from nsagent.model.choices import OutputFormat, View
from nsagent.query.conditions import AUTOBOUND, WORDS
from nsagent.query.evaluate import take_unknown_for_nothing
from nsagent.query.filter import Filter
from nsagent.query.match import make_test
from nsagent.query.select import select_rows
from nsagent.report import layouts
from nsagent.report.escape import escape
from nsagent.report.layout import escaped_cells
from nsagent.report.layouts import Answer, Table
from nsagent.report.options import OutputOptions
from nsagent.report.text_table import Fitted, fit_cells

if TYPE_CHECKING:
    from nsagent.query.expression import Expression

_OPERATOR: Final = re.compile(r"[=<>!&|]|^\s*\(")
_OPENING: Final = frozenset((*WORDS, "not", "exclude"))
"""What an expression may begin with."""

_BLOCK: Final = 500
"""Rows, more than any screen has. To fit one takes 20 to 100 us."""


class TypedFilter(NamedTuple):
    """Which rows somebody wants to see."""

    text: str
    expression: "Expression | None" = None
    """None: the rows that show the text, in any case."""


class Look(NamedTuple):
    """How somebody wants to see a pass."""

    sort_by: tuple[str, ...] = ()
    """As in OutputOptions."""
    filter: TypedFilter | None = None
    wide: bool = False
    """With the columns of `-o wide`, and nothing cut."""


class Arranged(NamedTuple):
    """The rows of a pass as somebody wants to see them."""

    seen: Seen
    look: Look
    table: Table


class Window(NamedTuple):
    """Some of the rows, laid out for a terminal; `start` is the place of the first of them."""

    start: int
    fitted: Fitted


def read_filter(text: str, seen: Seen) -> TypedFilter:
    """The filter that a text stands for, in the words of query.grammar or as it is.

    Raises UsageError (a WrongExpression where a place is wrong), NotFound and Ambiguous.
    """
    if not _is_expression(text):
        return TypedFilter(text)
    expression = read_expression([text])
    wanted, coverage = Filter(expression=expression), seen.whole.coverage
    check_owners(wanted, coverage.owners)
    if unread := sorted(wanted.named_protocols.difference(coverage.protocols)):
        raise UsageError(f"not read: {', '.join(unread)}; begin with --protocol {','.join(unread)}")
    make_test(seen.whole, wanted)
    return TypedFilter(text, expression)


def _is_expression(text: str) -> bool:
    first, *rest = text.lower().split()
    return bool(_OPERATOR.search(text)) or first == AUTOBOUND or (bool(rest) and first in _OPENING)


def arrange(seen: Seen, look: Look, view: View, output: OutputOptions) -> Arranged:
    """The rows of a pass as `look` wants them; of `output` the columns and what is counted by.

    A name in a filter that means several things by now is told as an error of the pass, and no row meets it.
    """
    snapshot, wanted = seen.selected, look.filter
    if wanted is not None and wanted.expression is not None:
        try:
            known = take_unknown_for_nothing(Filter(expression=wanted.expression), seen.whole)
            snapshot = select_rows(snapshot, filter(make_test(seen.whole, known), snapshot.sockets))
        except Ambiguous as err:
            seen, snapshot = seen._replace(error=escape(str(err))), select_rows(snapshot, ())
    options = output._replace(format=OutputFormat.WIDE if look.wide else OutputFormat.TABLE, sort_by=look.sort_by)
    table = layouts.lay_out(layouts.arrange(Answer(snapshot, view, options, seen.whole)))
    if wanted is not None and wanted.expression is None:
        table = _find_text(table, wanted.text)
    return Arranged(seen, look, table)


def _find_text(table: Table, text: str) -> Table:
    """The rows of which any cell has the text."""
    cells = [escaped_cells(column, table.rows, table.context) for column in table.columns]
    sought = text.casefold()
    lines = zip(table.rows, *cells, strict=True)
    return table._replace(rows=[row for row, *texts in lines if sought in "\n".join(texts).casefold()])


def fit_window(arranged: Arranged, first: int, width: int, output: OutputOptions) -> Window:
    """The rows around the one at `first`: far more than a screen shows, so that it takes no time to scroll, and few.

    How wide columns are, and for which there is room, may thus change every hundreds of rows.
    """
    table, start = arranged.table, _find_start(first)
    fitted = fit_cells(
        table.rows[start : start + 3 * _BLOCK],
        table.columns,
        table.context,
        headers=output.headers,
        width=None if arranged.look.wide else width,
        chosen=output.columns is not None,
    )
    return Window(start, fitted)


def is_around(window: Window, first: int) -> bool:
    """Whether it is what fit_window gives for this row."""
    return window.start == _find_start(first)


def _find_start(first: int) -> int:
    return max(first // _BLOCK - 1, 0) * _BLOCK
