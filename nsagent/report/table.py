"""`-o table` and `-o wide` of sockets."""

from collections.abc import Iterator, Sequence

from nsagent.model.snapshot import Snapshot
from nsagent.report.columns import DEFAULT_COLUMNS, SOCKET_COLUMNS
from nsagent.report.context import context_of
from nsagent.report.layout import pick_columns
from nsagent.report.text_table import render_text_table


def render_table(
    snapshot: Snapshot,
    *,
    columns: Sequence[str] | None = None,
    headers: bool = True,
    width: int | None = None,
    colour: bool = False,
) -> Iterator[str]:
    """One line per socket, in chunks of some hundred lines.

    `columns` are names of columns.SOCKET_COLUMNS, None means DEFAULT_COLUMNS; an unknown one
    raises UsageError at the call.
    `width` is that of the terminal in character cells, None to shorten nothing.
    """
    picked = pick_columns(SOCKET_COLUMNS, DEFAULT_COLUMNS if columns is None else columns)
    context = context_of(snapshot)
    return render_text_table(snapshot.sockets, picked, context, headers=headers, width=width, colour=colour)
