"""The one way to lay out a table for people, whatever its rows are."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeVar

from nsagent.report.chunks import chunks
from nsagent.report.context import Context
from nsagent.report.display import display_width, pad, shorten
from nsagent.report.layout import ABSENT, Column, Group, escaped_cells

T = TypeVar("T")

_GAP = "  "
# Free text is not cut below this: a netns inode and a word of a name are still whole.
_LEAST_WIDTH = 10
_BOLD = "1"


def render_text_table(
    rows: Sequence[T],
    columns: Sequence[Column[T]],
    context: Context,
    *,
    headers: bool,
    width: int | None,
    colour: bool,
    groups: Sequence[Group] = (),
) -> Iterator[str]:
    """The table in chunks of some hundred lines: two spaces between columns, none at a line's end.

    A group has an empty line and its heading before its rows; groups add up to all rows. `width` is that of the
    terminal in character cells: free text is shortened until the lines fit, if they can. With None nothing is ever
    shortened. `colour` allows SGR sequences.
    """
    cells = [[each or ABSENT for each in escaped_cells(column, rows, context, brief=True)] for column in columns]
    widths = [_widest(each) for each in cells]
    if headers:
        widths = [max(len(column.header), widest) for column, widest in zip(columns, widths, strict=True)]
    if width is not None:
        limits = _limits(widths, columns, width)
        cells = [
            texts if limit == widest else [shorten(each, limit) for each in texts]
            for texts, widest, limit in zip(cells, widths, limits, strict=True)
        ]
        widths = limits
    # The last column is not padded, so that no line ends in spaces; its own are cut.
    cells[:-1] = [_padded(texts, widest) for texts, widest in zip(cells[:-1], widths[:-1], strict=True)]
    cells[-1] = [each.rstrip() or ABSENT for each in cells[-1]]
    if headers:
        yield _header_line(columns, widths, colour=colour)
    if colour:
        cells = [_coloured(texts, column, rows) for texts, column in zip(cells, columns, strict=True)]
    lines: Iterator[str] = map(_GAP.join, zip(*cells, strict=True))
    if groups:
        lines = _with_headings(lines, groups, width=width, colour=colour)
    for batch in chunks(lines):
        yield "\n".join(batch) + "\n"


def _with_headings(lines: Iterator[str], groups: Sequence[Group], *, width: int | None, colour: bool) -> Iterator[str]:
    for group in groups:
        heading = (group.heading if width is None else shorten(group.heading, width)).rstrip()
        yield ""
        yield _in_colour(heading, _BOLD) if colour else heading
        yield from islice(lines, group.rows)


def _widest(cells: list[str]) -> int:
    return max(map(len if "".join(cells).isascii() else display_width, cells), default=0)


def _padded(cells: list[str], width: int) -> list[str]:
    if "".join(cells).isascii():
        return [each.ljust(width) for each in cells]
    return [pad(each, width) for each in cells]


def _limits(widths: list[int], columns: Sequence[Column[T]], width: int) -> list[int]:
    """The widths with the widest free text narrowed, step by step, until a line fits or none can give more."""
    limits = list(widths)
    least = [max(_LEAST_WIDTH, len(column.header)) for column in columns]
    excess = sum(limits) + len(_GAP) * (len(limits) - 1) - width
    for _ in range(excess):
        narrowable = [i for i, column in enumerate(columns) if column.free_text and limits[i] > least[i]]
        if not narrowable:
            break
        limits[max(narrowable, key=limits.__getitem__)] -= 1
    return limits


def _header_line(columns: Sequence[Column[T]], widths: list[int], *, colour: bool) -> str:
    padded = [column.header.ljust(width) for column, width in zip(columns, widths, strict=True)]
    line = _GAP.join(padded).rstrip()
    return (_in_colour(line, _BOLD) if colour else line) + "\n"


def _coloured(cells: list[str], column: Column[T], rows: Sequence[T]) -> list[str]:
    sgr = column.sgr
    if sgr is None:
        return cells
    return [_in_colour(cell, sgr(row)) for cell, row in zip(cells, rows, strict=True)]


def _in_colour(text: str, parameters: str) -> str:
    return f"\x1b[{parameters}m{text}\x1b[0m" if parameters else text
