"""Rows that are of no snapshot, as changes and events are, in a format that has columns."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from nsagent.model.choices import OutputFormat
from nsagent.report.chunks import chunks
from nsagent.report.context import empty_context
from nsagent.report.csv import csv_records
from nsagent.report.layout import Column, pick_columns
from nsagent.report.options import OutputOptions
from nsagent.report.summary import Summary
from nsagent.report.text_table import render_text_table

T = TypeVar("T")


class UsualColumns(NamedTuple):
    """The names of those that are shown where none are asked for: by `-o table`, and by `-o wide` and `-o csv`."""

    table: Sequence[str]
    wide: Sequence[str]


def lay_out_rows(
    rows: Iterable[T],
    columns: Sequence[Column[T]],
    usual: UsualColumns,
    options: OutputOptions,
    summarize: Callable[[Sequence[T]], Summary],
) -> Iterator[str]:
    """One line, or record, for each row; only CSV does without all of them at once. Raises UsageError."""
    wide = options.format in (OutputFormat.WIDE, OutputFormat.CSV)
    picked = pick_columns(columns, options.columns or (usual.wide if wide else usual.table))
    if options.format is OutputFormat.CSV:
        return _render_csv(rows, picked, headers=options.headers)
    rows = tuple(rows)
    if options.format in (OutputFormat.MARKDOWN, OutputFormat.HTML):
        from nsagent.report.html import render_html
        from nsagent.report.markdown import render_markdown

        render = render_html if options.format is OutputFormat.HTML else render_markdown
        return render(rows, picked, empty_context(), summarize(rows))
    return render_text_table(
        rows,
        picked,
        empty_context(),
        headers=options.headers,
        width=None if options.format is OutputFormat.WIDE else options.width,
        colour=options.colour,
        chosen=options.columns is not None,
        tell_left_out=options.tell_left_out,
    )


def _render_csv(rows: Iterable[T], picked: Sequence[Column[T]], *, headers: bool) -> Iterator[str]:
    for batch in chunks(rows):
        yield from csv_records(batch, picked, empty_context(), headers=headers)
        headers = False
    if headers:
        yield from csv_records((), picked, empty_context(), headers=True)
