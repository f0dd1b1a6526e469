"""View `top`: how many sockets there are of each kind, counted by the cells of any of their columns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.report.chunks import chunks
from nsagent.report.columns import SOCKET_COLUMNS
from nsagent.report.context import Context, context_of
from nsagent.report.json_text import dump
from nsagent.report.layout import Column, number_column, pick_columns, sort_rows
from nsagent.report.records import SCHEMA, coverage_record

COUNT: Final = "count"
"""The column that the others are counted in."""

CountColumn = Column["Count"]


class Count(NamedTuple):
    """How many sockets have the same cells in some columns, and the first one of these."""

    sample: OwnedSocket
    sockets: int


class Counts(NamedTuple):
    """The counts of a snapshot, the largest first unless they were sorted otherwise."""

    by: tuple[str, ...]
    """The names of the columns."""
    rows: tuple[Count, ...]
    groups: int
    """How many counts there are, of which `rows` may be the first."""
    context: Context


def count_sockets(
    snapshot: Snapshot, by: Sequence[str], sort_by: Sequence[str] = (), limit: int | None = None
) -> Counts:
    """The sockets counted by these columns of sockets; raises UsageError for a name that is no column.

    `sort_by` takes `count` too. Without it the largest come first, and those alike in the order of the columns.
    """
    by = tuple(dict.fromkeys(by))
    picked = pick_columns(SOCKET_COLUMNS, by)
    context = context_of(snapshot)
    sockets = snapshot.sockets
    # Once per socket: a cell of each column and a tuple of them.
    keys = list(zip(*([column.cell(socket, context) for socket in sockets] for column in picked), strict=True))
    samples = dict(zip(reversed(keys), reversed(sockets), strict=True))
    rows = [Count(samples[key], count) for key, count in Counter(keys).items()]
    ordered = sort_rows(rows, count_columns(by), sort_by or (f"-{COUNT}", *by), context)
    return Counts(by, ordered[:limit], len(ordered), context)


def count_columns(by: Sequence[str]) -> tuple[CountColumn, ...]:
    """The columns of counts: those counted by, as they are of sockets, and the count. Raises UsageError."""
    counted = [_of_sample(column) for column in pick_columns(SOCKET_COLUMNS, list(dict.fromkeys(by)))]
    return (*counted, number_column(COUNT, lambda row, _: row.sockets))


def render_counts_json(snapshot: Snapshot, counts: Counts) -> Iterator[str]:
    """The document, one count per line, all of it ASCII and with a line end at its end."""
    yield f"{dump(_head(snapshot, counts)).removesuffix('}')},\n"
    yield '"counts": ['
    before = "\n"
    for batch in chunks(_records(counts)):
        yield before + ",\n".join(map(dump, batch))
        before = ",\n"
    yield "],\n" if before == "\n" else "\n],\n"
    yield f'"coverage": {dump(coverage_record(snapshot.coverage))}}}\n'


def render_counts_jsonl(snapshot: Snapshot, counts: Counts) -> Iterator[str]:
    """A line of type `counts` about all of them, one of type `count` for each, and the coverage."""
    yield dump({"type": "counts", **_head(snapshot, counts)}) + "\n"
    for batch in chunks(_records(counts)):
        yield "".join([dump({"type": COUNT, **record}) + "\n" for record in batch])
    yield dump({"type": "coverage", **coverage_record(snapshot.coverage)}) + "\n"


def render_counts_yaml(snapshot: Snapshot, counts: Counts) -> Iterator[str]:
    """The document of JSON as YAML."""
    from nsagent.report.yaml import render_document

    tail = dump({"coverage": coverage_record(snapshot.coverage)})
    return render_document(dump(_head(snapshot, counts)), "counts", map(dump, _records(counts)), tail)


def _of_sample(column: Column[OwnedSocket]) -> CountColumn:
    sgr, brief, least, number = column.sgr, column.brief, column.least, column.number
    return Column(
        column.name,
        column.header,
        cell=lambda row, context: column.cell(row.sample, context),
        sort_key=lambda row, context: column.sort_key(row.sample, context),
        free_text=column.free_text,
        sgr=None if sgr is None else lambda row: sgr(row.sample),
        brief=None if brief is None else lambda row, context: brief(row.sample, context),
        number=None if number is None else lambda row, context: number(row.sample, context),
        least=None if least is None else lambda row, context: least(row.sample, context),
    )


def _head(snapshot: Snapshot, counts: Counts) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "host": snapshot.host,
        "taken_at": snapshot.taken_at,
        "count_by": counts.by,
        "groups": counts.groups,
    }


def _records(counts: Counts) -> Iterator[dict[str, Any]]:
    """One record for each count: numbers as numbers, null where there is no value."""
    columns = count_columns(counts.by)
    for row in counts.rows:
        yield {column.name: _value(column, row, counts.context) for column in columns}


def _value(column: CountColumn, row: Count, context: Context) -> str | int | None:
    return column.number(row, context) if column.number else column.cell(row, context) or None
