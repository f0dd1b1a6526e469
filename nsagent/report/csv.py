"""`-o csv`: RFC 4180 with every cell quoted, lower-case headers, an empty cell where there is no value.

A cell that a spreadsheet would take as a formula gets a tab before it, and is quoted so that the
tab stays inside (OWASP, "CSV Injection"). Control characters are escaped as in a table.
"""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import TypeVar

from nsagent.report.chunks import chunks
from nsagent.report.context import Context
from nsagent.report.layout import Column, escaped_cells

T = TypeVar("T")

# TAB and CR begin formulas too, but no cell has them: they are escaped. The last four are the full-width forms.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_records(rows: Sequence[T], columns: Sequence[Column[T]], context: Context, *, headers: bool) -> Iterator[str]:
    """The records of any rows, each ended by CR LF, in chunks of some hundred."""
    if headers:
        yield _csv_text([[column.name for column in columns]])
    for batch in chunks(rows):
        cells = [_guarded(escaped_cells(column, batch, context)) for column in columns]
        yield _csv_text(list(zip(*cells, strict=True)))


def _guarded(cells: list[str]) -> list[str]:
    return [f"\t{cell}" if cell.startswith(_FORMULA) else cell for cell in cells]


def _csv_text(records: Sequence[Sequence[str]]) -> str:
    buffer = StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(records)
    return buffer.getvalue()
