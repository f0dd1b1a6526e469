r"""`-o markdown`: a table of GitHub Flavored Markdown, and a line about its coverage below.

Text of others is shown as it is and does nothing: control characters are escaped as in a table, and what Markdown
would take for a sign of its own has a backslash before it (CommonMark, "Backslash escapes"): a `|` would end the cell,
backquotes, `*`, `_`, `~` and `$` set type, `[` and `<` make links, images and HTML, `&` makes entities. A `_` between
two letters or digits is none. `https://` and `www.` would become links by themselves (GFM, "Autolinks").
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from nsagent.report.chunks import chunks
from nsagent.report.context import Context
from nsagent.report.escape import escape
from nsagent.report.layout import Column, Group, escaped_cells
from nsagent.report.summary import Summary

T = TypeVar("T")

_SIGNS: Final = "\\`*[]<>|~&$#@"
"""The backslash first: it is what the others get."""
_UNDERSCORE: Final = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_WWW: Final = re.compile(r"(?<=www)\.", re.IGNORECASE)


def render_markdown(
    rows: Sequence[T], columns: Sequence[Column[T]], context: Context, summary: Summary, groups: Sequence[Group] = ()
) -> Iterator[str]:
    """The table in chunks of some hundred lines; each group has a table of its own, below its heading.

    Numbers stand at the right.
    """
    head = _line(_escaped([column.name for column in columns])) + _line(
        ["---:" if column.number else "---" for column in columns]
    )
    start = 0
    for group in groups or (Group("", len(rows)),):
        yield (f"### {_mask(group.heading)}\n\n" if group.heading else "") + head
        for batch in chunks(rows[start : start + group.rows]):
            cells = [_escaped(escaped_cells(column, batch, context, brief=True)) for column in columns]
            yield "".join([f"| {' | '.join(row)} |\n" for row in zip(*cells, strict=True)])
        start += group.rows
        yield "\n"
    yield _mask(_tell(summary)) + "\n"


def _tell(summary: Summary) -> str:
    """One line: the host, the moment, what was seen, and each lack after a semicolon."""
    told = "; ".join([summary.seen.removesuffix("."), *summary.lacks])
    return f"Taken on {escape(summary.host)} at {summary.taken_at}. {told}."


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _escaped(cells: list[str]) -> list[str]:
    # All cells of a column at once, as none has a line end: a tenth of what one after the other takes.
    return _mask("\n".join(cells)).split("\n")


def _mask(text: str) -> str:
    for sign in _SIGNS:
        text = text.replace(sign, f"\\{sign}")
    text = text.replace("://", "\\://")
    # To search for these patterns takes longer than all else.
    if "_" in text:
        text = _UNDERSCORE.sub(r"\\_", text)
    return _WWW.sub(r"\\.", text) if "www." in text.lower() else text
