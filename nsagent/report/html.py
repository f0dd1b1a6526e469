"""`-o html`: one page that needs nothing else, and may be mailed, kept and opened anywhere.

It has a policy of its own by which a browser loads nothing and runs the one script whose hash it names (Content
Security Policy Level 3). Data stands between tags only, escaped for people and for HTML, never in the script or the
style. Without scripts it is the table.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape as escape_html
from typing import Final, TypeVar

from nsagent.report.chunks import chunks
from nsagent.report.context import Context
from nsagent.report.display import display_width
from nsagent.report.escape import escape
from nsagent.report.html_parts import SCRIPT, STYLE
from nsagent.report.layout import Column, Group, escaped_cells
from nsagent.report.summary import Summary

T = TypeVar("T")

_CLASSES: Final = {"32": "listening", "2": "dim"}
"""What a colour of a terminal is called here."""

_ACTS: Final = re.compile("[&<>\"']")

_ROWS_PER_BODY: Final = 50
_BODIES_PER_CHUNK: Final = 10

_LEAST_WIDTH: Final = 6
_MOST_WIDTH: Final = 44
"""Of a column, in characters: longer cells take several lines."""
_AROUND: Final = 2
"""What a cell has at its sides, in characters."""


def render_html(
    rows: Sequence[T],
    columns: Sequence[Column[T]],
    context: Context,
    summary: Summary,
    groups: Sequence[Group] = (),
) -> Iterator[str]:
    """The page in chunks of some hundred rows, each one part of the table; a group has a heading before its rows."""
    yield _head(summary)
    yield _coverage(summary)
    yield _tools()
    # All cells at first, as the widths of columns stand above them.
    cells = [escaped_cells(column, rows, context, brief=True) for column in columns]
    yield f'<table style="--columns: {_widths(columns, cells)}">\n<thead><tr>'
    yield "".join([f'<th scope="col"{_class(column)}>{_html(column.header)}</th>' for column in columns])
    yield "</tr></thead>\n"
    marked = [_marked(column, rows, texts) for column, texts in zip(columns, cells, strict=True)]
    lines = [f"<tr>{''.join(row)}</tr>\n" for row in zip(*marked, strict=True)]
    for batch in chunks(_bodies(lines, groups or (Group("", len(rows)),)), _BODIES_PER_CHUNK):
        yield "".join(batch)
    yield f"</table>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"


def _bodies(lines: Sequence[str], groups: Iterable[Group]) -> Iterator[str]:
    """The rows in parts of the table, each as small as a screen or two: only what is in sight is laid out."""
    start = 0
    for group in groups:
        end = start + group.rows
        heading = f'<tr class="group"><th scope="rowgroup">{_html(group.heading)}</th></tr>\n' if group.heading else ""
        for first in range(start, end, _ROWS_PER_BODY):
            batch = lines[first : min(first + _ROWS_PER_BODY, end)]
            yield f'<tbody style="--rows: {len(batch)}">\n{heading}{"".join(batch)}</tbody>\n'
            heading = ""
        start = end


def make_policy() -> str:
    """The Content-Security-Policy of the page."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )


def _head(summary: Summary) -> str:
    title, host, taken_at = _html(summary.title), _html(escape(summary.host)), summary.taken_at
    told = " · ".join([f"{number:,} {noun}" for number, noun in summary.counts])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_html(make_policy())}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title} of {host}, {taken_at}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{title} <small>of {host}</small></h1>\n"
        f'<p><time datetime="{taken_at}">{taken_at}</time> · {told}</p>\n</header>\n'
    )


def _coverage(summary: Summary) -> str:
    seen = _html(summary.seen)
    kind = "whole" if summary.complete else "lacking"
    if not summary.lacks:
        return f'<p class="coverage {kind}">{seen}</p>\n'
    items = "".join([f"<li>{_html(line)}</li>\n" for line in summary.lacks])
    return f'<details open class="coverage {kind}"><summary>{seen}</summary>\n<ul>\n{items}</ul></details>\n'


def _tools() -> str:
    # Hidden until the script runs, without which it would do nothing.
    return (
        '<div class="tools" hidden role="search"><label>Filter'
        '<input type="search" id="filter" autocomplete="off" spellcheck="false"></label>'
        '<output id="shown" for="filter"></output></div>\n'
    )


def _widths(columns: Sequence[Column[T]], cells: list[list[str]]) -> str:
    """The columns as tracks of a grid: as wide as their widest cell, and a share of what is left."""
    tracks = []
    for column, texts in zip(columns, cells, strict=True):
        widest = max(map(len if "".join(texts).isascii() else display_width, texts), default=0)
        width = min(max(widest, len(column.header) + 2, _LEAST_WIDTH), _MOST_WIDTH) + _AROUND
        tracks.append(f"minmax({width}ch, {width}fr)")
    return " ".join(tracks)


def _marked(column: Column[T], rows: Sequence[T], cells: list[str]) -> list[str]:
    """The cells as elements."""
    if _ACTS.search("".join(cells)):
        cells = [_html(cell) for cell in cells]
    sgr = column.sgr
    if sgr is None:
        return [f"<td{_class(column)}>{cell}</td>" for cell in cells]
    opened = {"": "<td>", **{code: f'<td class="{name}">' for code, name in _CLASSES.items()}}
    return [f"{opened[sgr(row)]}{cell}</td>" for row, cell in zip(rows, cells, strict=True)]


def _class(column: Column[T]) -> str:
    return ' class="number"' if column.number else ""


def _html(text: str) -> str:
    return escape_html(text, quote=True)
