"""Columns of records: what a column is, their choice by name, rows in order and in groups, cells safe to print.

A column gives cells of any text; they are escaped here, in one place for all columns and formats.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from nsagent.errors import UsageError
from nsagent.model.snapshot import Snapshot
from nsagent.report.context import Context
from nsagent.report.escape import escape

T = TypeVar("T")

ABSENT: Final = "-"
"""What people read where there is no value."""


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column of a table of T."""

    name: str
    """What users type."""
    header: str
    """What a table shows above it."""
    cell: Callable[[T, Context], str]
    """A cell's text, "" where there is no value."""
    sort_key: Callable[[T, Context], Any]
    """Keys that compare among themselves, None where there is no value."""
    free_text: bool = False
    """Whether its cells may be shortened to fit a terminal."""
    sgr: Callable[[T], str] | None = None
    """The colour of a cell by its record (the parameters of an SGR sequence), "" for none; it is never made of data."""
    brief: Callable[[T, Context], str] | None = None
    """What a table for people has instead of a cell that may be of any length: the widest is padded in every row."""
    number: Callable[[T, Context], int | None] | None = None
    """The values of a column of numbers, None elsewhere."""
    spare: int = 0
    """The higher, the sooner a terminal without room goes without this column; 0: it stays."""
    least: Callable[[T, Context], str] | None = None
    """What a terminal without room has instead of a cell: less of it, but nothing that is cut in two."""


class Group(NamedTuple):
    """Rows of a table that stand together: their heading, which is printable, and how many they are."""

    heading: str
    rows: int


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """How a view of a snapshot becomes a table.

    `usual` and `wide` are the columns of `-o table` and `-o wide`. `rows` finds the rows in a snapshot, `with_rows`
    is the snapshot with others in their place.
    """

    columns: Sequence[Column[T]]
    usual: Callable[[Snapshot], tuple[str, ...]]
    wide: Callable[[Snapshot], tuple[str, ...]]
    rows: Callable[[Snapshot], tuple[T, ...]]
    with_rows: Callable[[Snapshot, tuple[T, ...]], Snapshot]
    context: Callable[[Snapshot], Context]


def text_column(
    name: str,
    cell: Callable[[T, Context], str],
    *,
    sort_key: Callable[[T, Context], Any] | None = None,
    free_text: bool = False,
    sgr: Callable[[T], str] | None = None,
    brief: Callable[[T, Context], str] | None = None,
    spare: int = 0,
    least: Callable[[T, Context], str] | None = None,
) -> Column[T]:
    """A column of text, sorted by it unless told otherwise."""

    def text_key(row: T, context: Context) -> str | None:
        return cell(row, context) or None

    return Column(name, _header(name), cell, sort_key or text_key, free_text, sgr, brief, spare=spare, least=least)


def number_column(name: str, value: Callable[[T, Context], int | None], *, spare: int = 0) -> Column[T]:
    """A column of numbers, sorted as such; None where there is no value."""

    def cell(row: T, context: Context) -> str:
        number = value(row, context)
        return "" if number is None else str(number)

    return Column(name, _header(name), cell, value, number=value, spare=spare)


def pick_columns(columns: Sequence[Column[T]], names: Sequence[str]) -> list[Column[T]]:
    """The columns of these names, in the order of the names; UsageError for none and for a name that is none."""
    by_name = {column.name: column for column in columns}
    known = f"(columns: {', '.join(by_name)})"
    if not names:
        raise UsageError(f"no column is named {known}")
    for name in names:
        if name not in by_name:
            raise UsageError(f"no column '{escape(name)}'{_near(name, by_name)} {known}")
    return [by_name[name] for name in names]


def sort_rows(rows: Sequence[T], columns: Sequence[Column[T]], names: Sequence[str], context: Context) -> tuple[T, ...]:
    """The rows by these columns, the first one foremost; `-name` descends, equal rows keep their order.

    Rows without a value are last either way. Raises UsageError for a name that is no column.
    """
    picked = pick_columns(columns, [name.removeprefix("-") for name in names])
    result = tuple(rows)
    for name, column in reversed(list(zip(names, picked, strict=True))):
        result = _sorted(result, column, context, descending=name.startswith("-"))
    return result


def sort_snapshot(snapshot: Snapshot, layout: Layout[Any], names: Sequence[str]) -> Snapshot:
    """The snapshot with the rows of this view as sort_rows orders them. Raises UsageError."""
    rows = sort_rows(layout.rows(snapshot), layout.columns, names, layout.context(snapshot))
    return layout.with_rows(snapshot, rows)


def group_rows(rows: Sequence[T], columns: Sequence[Column[T]], context: Context) -> tuple[tuple[T, ...], list[Group]]:
    """The rows with those whose cells in these columns are alike together, and the groups, by their first rows."""
    cells = [[column.cell(row, context) for row in rows] for column in columns]
    alike: defaultdict[tuple[str, ...], list[T]] = defaultdict(list)
    for row, key in zip(rows, zip(*cells, strict=True), strict=True):
        alike[key].append(row)
    groups = [Group(_heading(each[0], columns, context), len(each)) for each in alike.values()]
    return tuple(row for each in alike.values() for row in each), groups


def _heading(row: T, columns: Sequence[Column[T]], context: Context) -> str:
    """`container web, state listen`."""
    cells = ((column.brief or column.cell)(row, context) or ABSENT for column in columns)
    return escape(", ".join(f"{column.name} {cell}" for column, cell in zip(columns, cells, strict=True)))


def escaped_cells(column: Column[T], rows: Sequence[T], context: Context, *, brief: bool = False) -> list[str]:
    """The cells of one column, all printable; `brief` ones where there are any."""
    return escape_cells((column.brief if brief else None) or column.cell, rows, context)


def escape_cells(cell: Callable[[T, Context], str], rows: Sequence[T], context: Context) -> list[str]:
    """What `cell` gives of each row, all printable."""
    # Once per socket and column: no more than the cell itself, since one question for the whole
    # column (is it printable?) is much cheaper than one for each cell.
    cells = [cell(row, context) for row in rows]
    return cells if "".join(cells).isprintable() else [escape(each) for each in cells]


def _sorted(rows: tuple[T, ...], column: Column[T], context: Context, *, descending: bool) -> tuple[T, ...]:
    keys = [column.sort_key(row, context) for row in rows]
    present = sorted((i for i, key in enumerate(keys) if key is not None), key=keys.__getitem__, reverse=descending)
    absent = [row for row, key in zip(rows, keys, strict=True) if key is None]
    return (*(rows[i] for i in present), *absent)


def _near(name: str, known: Iterable[str]) -> str:
    # Imported here: no table pays for what only a mistyped name needs.
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), known, n=3)
    return f"; near names: {', '.join(near)}" if near else ""


def _header(name: str) -> str:
    return name.upper().replace("_", "-")
