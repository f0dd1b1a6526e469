"""The one way to lay out a table for people, whatever its rows are."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeAlias, TypeVar

from nsagent.report.chunks import chunks
from nsagent.report.context import Context
from nsagent.report.display import display_width, pad, shorten
from nsagent.report.fit import GAP, fit, line_width
from nsagent.report.layout import ABSENT, Column, Group, escape_cells, escaped_cells

T = TypeVar("T")

_BOLD = "1"

Cells: TypeAlias = list[list[str]]
"""Those of each column, from the first row to the last."""

TellLeftOut: TypeAlias = Callable[[Sequence[str], Sequence[str]], None]
"""Told the names of the columns that have gone, and of those that are cut though they are no free text."""


class Fitted(NamedTuple):
    """A table as it stands on a terminal."""

    columns: Sequence[Column[Any]]
    """Those for which there is room."""
    widths: Sequence[int]
    """Of those, in character cells."""
    cells: Cells
    """Printable, none of them empty, none wider than its column."""
    left_out: Sequence[str] = ()
    """The names of the columns for which there is no room."""
    cut: Sequence[str] = ()
    """The names of those that are cut though they are no free text."""


def render_text_table(
    rows: Sequence[T],
    columns: Sequence[Column[T]],
    context: Context,
    *,
    headers: bool,
    width: int | None,
    colour: bool,
    groups: Sequence[Group] = (),
    chosen: bool = False,
    tell_left_out: TellLeftOut | None = None,
) -> Iterator[str]:
    """The table in chunks of some hundred lines: two spaces between columns, none at a line's end.

    A group has an empty line and its heading before its rows; groups add up to all rows. `width` and `chosen` are as
    in fit_cells; `tell_left_out` is told for which columns there is no room. `colour` allows SGR sequences.
    """
    fitted = fit_cells(rows, columns, context, headers=headers, width=width, chosen=chosen)
    columns, widths, cells, left_out, cut = fitted
    if tell_left_out and (left_out or cut):
        tell_left_out(left_out, cut)
    # The last column is not padded, so that no line ends in spaces; its own are cut.
    cells[:-1] = [_padded(texts, widest) for texts, widest in zip(cells[:-1], widths[:-1], strict=True)]
    cells[-1] = [each.rstrip() or ABSENT for each in cells[-1]]
    if headers:
        yield _header_line(columns, widths, colour=colour)
    if colour:
        cells = [_coloured(texts, column, rows) for texts, column in zip(cells, columns, strict=True)]
    lines: Iterator[str] = map(GAP.join, zip(*cells, strict=True))
    if groups:
        lines = _with_headings(lines, groups, width=width, colour=colour)
    for batch in chunks(lines):
        yield "\n".join(batch) + "\n"


def fit_cells(
    rows: Sequence[T],
    columns: Sequence[Column[T]],
    context: Context,
    *,
    headers: bool,
    width: int | None,
    chosen: bool = False,
) -> Fitted:
    """The cells of the rows in the order of `columns`.

    `width` is that of the terminal in character cells, into which the lines are fitted as report.fit says (`chosen`:
    the columns were asked for). With None nothing is ever left out or shortened.
    """
    cells = [escaped_cells(column, rows, context, brief=True) for column in columns]
    widths = _measure(columns, cells, headers=headers)
    left_out: Sequence[str] = ()
    cut: Sequence[str] = ()
    if width is not None and line_width(widths) > width:
        absent = [not chosen and not any(texts) for texts in cells]
        if line_width([each for each, gone in zip(widths, absent, strict=True) if not gone]) > width:
            cells = [
                texts if column.least is None else escape_cells(column.least, rows, context)
                for column, texts in zip(columns, cells, strict=True)
            ]
            widths = _measure(columns, cells, headers=headers)
        kept, narrowed, left_out, cut = fit(columns, widths, absent, width, chosen=chosen)
        cells = [
            cells[place] if limit == widths[place] else [shorten(each, limit) for each in cells[place]]
            for place, limit in zip(kept, narrowed, strict=True)
        ]
        columns, widths = [columns[place] for place in kept], list(narrowed)
    return Fitted(columns, widths, [[each or ABSENT for each in texts] for texts in cells], left_out, cut)


def _with_headings(lines: Iterator[str], groups: Sequence[Group], *, width: int | None, colour: bool) -> Iterator[str]:
    for group in groups:
        heading = (group.heading if width is None else shorten(group.heading, width)).rstrip()
        yield ""
        yield _in_colour(heading, _BOLD) if colour else heading
        yield from islice(lines, group.rows)


def _measure(columns: Sequence[Column[T]], cells: Cells, *, headers: bool) -> list[int]:
    """How wide each column is."""
    return [
        max(_widest(texts), len(column.header) if headers else 0) for column, texts in zip(columns, cells, strict=True)
    ]


def _widest(cells: list[str]) -> int:
    """At least that of what stands where there is no value."""
    return max(map(len if "".join(cells).isascii() else display_width, cells), default=0) or len(ABSENT)


def _padded(cells: list[str], width: int) -> list[str]:
    if "".join(cells).isascii():
        return [each.ljust(width) for each in cells]
    return [pad(each, width) for each in cells]


def _header_line(columns: Sequence[Column[T]], widths: Sequence[int], *, colour: bool) -> str:
    padded = [shorten(column.header, width).ljust(width) for column, width in zip(columns, widths, strict=True)]
    line = GAP.join(padded).rstrip()
    return (_in_colour(line, _BOLD) if colour else line) + "\n"


def _coloured(cells: list[str], column: Column[T], rows: Sequence[T]) -> list[str]:
    sgr = column.sgr
    if sgr is None:
        return cells
    return [_in_colour(cell, sgr(row)) for cell, row in zip(cells, rows, strict=True)]


def _in_colour(text: str, parameters: str) -> str:
    return f"\x1b[{parameters}m{text}\x1b[0m" if parameters else text
