"""What stands on the screen: lines of text with their place and style. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from nsagent.cli.live.look import Arranged, Window
from nsagent.cli.live.state import Shown, State
from nsagent.cli.write import left_out_line
from nsagent.model.snapshot import Snapshot
from nsagent.report.display import display_width, shorten, take, wrap
from nsagent.report.escape import escape
from nsagent.report.fit import GAP, line_width
from nsagent.report.options import OutputOptions
from nsagent.report.times import brief_time

_KEYS: Final = "q quit, h help, / filter, s sort, p pause, w wide"
_HELP: Final = (
    "Up Down PgUp PgDn Home End   scroll",
    "Left Right                   go through columns that the screen has no room for",
    "/                            filter: a text that rows show, or an expression like sport = :443;",
    "                             Enter takes it, Esc leaves it, an empty one shows all rows again",
    "s or >, <                    sort by the next column, by the one before",
    "r                            sort the other way round",
    "w                            all columns, and nothing cut, as with -o wide",
    "p                            pause, go on",
    "q or Ctrl-C                  quit",
    "",
    "Rows that are new since the pass before are bold. Rows that are gone are counted, and not shown.",
    "Any key goes back to the rows.",
    "",
)


class Size(NamedTuple):
    """Of a screen, in character cells."""

    lines: int
    columns: int


class Style(NamedTuple):
    """How a text stands out."""

    sgr: str = ""
    """Its colour, as in report.layout.Column."""
    bold: bool = False
    reverse: bool = False


class Span(NamedTuple):
    """A printable text on a line, `column` character cells from the left."""

    column: int
    text: str
    style: Style = Style()


Line = tuple[Span, ...]


class Frame(NamedTuple):
    """A whole screen, at most as many lines as it has."""

    lines: tuple[Line, ...]
    cursor: tuple[int, int] | None
    """(line, column) of the cursor; None where there is none."""
    shown: Shown


class _Bottom(NamedTuple):
    """The last lines."""

    lines: list[str]
    cursor: int | None
    """Its column in the last one."""


def make_frame(
    arranged: Arranged | None, window: Window | None, state: State, size: Size, output: OutputOptions, *, waiting: str
) -> Frame:
    """The screen that shows these rows, None before the first pass; `waiting` tells how far a slow pass is."""
    top = [] if arranged is None else _tell_top(arranged, size)
    bottom = _prompt(state, size) or _Bottom([""], None)
    page = max(size.lines - len(top) - output.headers - len(bottom.lines), 0)
    if arranged is None or window is None:
        shown, body = Shown(page=page), list[Line]()
    else:
        shown = _limit(arranged, window, page, size)
        body = _list_rows(arranged, window, state, shown, size, output)
    if state.helping:
        lacks = () if arranged is None else arranged.seen.lacks
        body = [_line(text, size) for text in (*_HELP, *(line for each in lacks for line in wrap(each, size.columns)))]
    if state.prompt is None:
        bottom = _Bottom([_tell_state(arranged, window, state, shown, waiting)], None)
    room = max(size.lines - len(bottom.lines), 0)
    lines = [*(_line(text, size, bold=place == 0) for place, text in enumerate(top)), *body][:room]
    lines += [()] * (room - len(lines))
    lines += [_line(text, size) for text in bottom.lines]
    lines = lines[-size.lines :]
    cursor = None if bottom.cursor is None else (len(lines) - 1, min(bottom.cursor, size.columns - 1))
    return Frame(tuple(lines), cursor, shown)


def _line(text: str, size: Size, *, bold: bool = False) -> Line:
    return (Span(0, _cut(text, size.columns), Style(bold=bold)),) if text else ()


def _cut(text: str, room: int) -> str:
    return text if display_width(text) <= room else take(text, room)


def _tell_top(arranged: Arranged, size: Size) -> list[str]:
    """What the pass was, and what it could not see: of that as much as leaves two thirds of the screen to the rows."""
    seen = arranged.seen
    texts = [_tell_pass(seen.selected, len(seen.come), seen.gone), *([seen.error] if seen.error else []), *seen.lacks]
    lines = [line for text in texts for line in wrap(text, max(size.columns, 2))]
    most = max(size.lines // 3, 2)
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], f"... {len(lines) - most + 1} lines more: h"]


def _tell_pass(snapshot: Snapshot, come: int, gone: int) -> str:
    """`node-1, 01-02 03:04:05 UTC: 12 sockets, 3 netns, 1 new, 0 gone, 2 gaps, pass 0.21 s`."""
    sockets, gaps = len(snapshot.sockets), len(snapshot.coverage.gaps)
    parts = (
        f"{sockets} socket{'' if sockets == 1 else 's'}",
        f"{len(snapshot.netns)} netns",
        f"{come} new",
        f"{gone} gone",
        f"{gaps} gap{'' if gaps == 1 else 's'}",
        f"pass {snapshot.duration_seconds:.2f} s",
    )
    return escape(f"{snapshot.host}, {brief_time(snapshot.taken_at)} UTC: {', '.join(parts)}")


def _limit(arranged: Arranged, window: Window, page: int, size: Size) -> Shown:
    """How far the rows go beyond the screen."""
    widths = window.fitted.widths
    names = tuple(column.name for column in arranged.table.columns)
    sideways = next(place for place in range(len(widths)) if _is_last(widths, place, size.columns))
    return Shown(len(arranged.table.rows), page, names, sideways)


def _is_last(widths: Sequence[int], first: int, room: int) -> bool:
    """Whether all columns from `first` on have room, or there is no later one."""
    return first == len(widths) - 1 or line_width(widths[first:]) <= room


def find_first(state: State, rows: int, page: int) -> int:
    """The place of the topmost row: rows may have gone since somebody scrolled."""
    return max(min(state.first_row, rows - page), 0)


def _list_rows(
    arranged: Arranged, window: Window, state: State, shown: Shown, size: Size, output: OutputOptions
) -> list[Line]:
    """The header line and a page of rows."""
    left = min(state.first_column, shown.sideways)
    columns, widths = window.fitted.columns[left:], window.fitted.widths[left:]
    lines: list[Line] = []
    if output.headers:
        headers = (shorten(column.header, width).ljust(width) for column, width in zip(columns, widths, strict=True))
        lines.append((Span(0, GAP.join(headers)[: size.columns].ljust(size.columns), Style(reverse=True)),))
    first = find_first(state, shown.rows, shown.page)
    for place in range(first, min(first + shown.page, shown.rows)):
        row = arranged.table.rows[place]
        bold = id(row) in arranged.seen.come
        texts = (cells[place - window.start] for cells in window.fitted.cells[left:])
        styles = (
            Style(column.sgr(row) if output.colour and column.sgr is not None else "", bold=bold) for column in columns
        )
        lines.append(tuple(_place(texts, widths, styles, size.columns)))
    return lines


def _place(texts: Iterable[str], widths: Iterable[int], styles: Iterable[Style], room: int) -> Iterator[Span]:
    """The cells of a row side by side, as far as there is room."""
    column = 0
    for text, width, style in zip(texts, widths, styles, strict=True):
        if column >= room:
            return
        yield Span(column, _cut(text, room - column), style)
        column += width + len(GAP)


def _tell_state(arranged: Arranged | None, window: Window | None, state: State, shown: Shown, waiting: str) -> str:
    """The last line: what is asked for, what is shown of it, and what can be done."""
    parts = ["paused"] if state.paused else []
    parts += [waiting] if waiting else []
    if arranged is not None and window is not None:
        look, fitted = arranged.look, window.fitted
        first = find_first(state, shown.rows, shown.page)
        parts += [f"/{escape(look.filter.text)}"] if look.filter else []
        parts += [f"by {','.join(look.sort_by)}"] if look.sort_by else []
        parts.append(f"rows {min(first + 1, shown.rows)}-{min(first + shown.page, shown.rows)} of {shown.rows}")
        if fitted.left_out or fitted.cut:
            parts.append(left_out_line(fitted.left_out, fitted.cut, "w"))
    return "  ".join((*parts, _KEYS))


def _prompt(state: State, size: Size) -> _Bottom | None:
    """The filter that is being typed, below it what is wrong with it; None where none is."""
    if state.prompt is None:
        return None
    text, cursor, problem = state.prompt
    before = f"/{text[:cursor]}"
    hidden = 0
    while display_width(before[hidden:]) >= size.columns > 1:
        hidden += 1
    return _Bottom([*wrap(problem, max(size.columns, 2)), f"/{text}"[hidden:]], display_width(before[hidden:]))
