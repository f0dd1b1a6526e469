"""Which columns of a table fit on a terminal, and how wide they stand there.

No line is to wrap, for a wrapped table cannot be read. What costs least goes first: columns without a value, then the
middle of names, then the columns that are least needed, and only last the middle of what would else stay: of the
widest, which are addresses.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from nsagent.report.layout import Column

GAP: Final = "  "
"""Between two columns."""

_LEAST_NAME: Final = 10
"""Free text is not cut below this: a netns inode and a word of a name are still whole."""
_LEAST: Final = 5
"""Nothing is cut below this."""


class Shape(NamedTuple):
    """The columns that a table of `columns` has on a terminal, and what it has not."""

    kept: tuple[int, ...]
    """Their places among the columns."""
    widths: tuple[int, ...]
    """Of those, in character cells: a cell that is wider is cut."""
    left_out: tuple[str, ...]
    """The names of those with a value somewhere that are not shown."""
    cut: tuple[str, ...]
    """The names of those that are cut and no free text."""


def fit(
    columns: Sequence[Column[Any]], widths: Sequence[int], absent: Sequence[bool], width: int, *, chosen: bool = False
) -> Shape:
    """The shape of a table whose columns are so wide, on a terminal of `width` cells.

    `absent`: no row has a value in this column. Columns that were `chosen` all stay, and of them free text alone is
    cut: who asks for an id wants it whole, whether it fits or not.
    """
    places = list(range(len(columns)))
    if line_width([widths[place] for place in places]) > width and not chosen:
        places = [place for place in places if not absent[place]] or places[:1]
    names = [
        min(natural, max(_LEAST_NAME, len(column.header))) if column.free_text else natural
        for column, natural in zip(columns, widths, strict=True)
    ]
    left_out: list[str] = []
    if not chosen:
        places, left_out = _choose(columns, places, names, width)
    crowded = not chosen and line_width([names[place] for place in places]) > width
    least = [min(natural, _LEAST) for natural in names] if crowded else names
    narrowed = _narrow([widths[place] for place in places], [least[place] for place in places], width)
    cut = [
        columns[place].name
        for place, limit in zip(places, narrowed, strict=True)
        if limit < widths[place] and not columns[place].free_text
    ]
    return Shape(tuple(places), narrowed, tuple(left_out), tuple(cut))


def _choose(
    columns: Sequence[Column[Any]], places: Sequence[int], widths: Sequence[int], width: int
) -> tuple[list[int], list[str]]:
    """The places of the columns that must stay and of those for which there is room, and the names of the others."""
    kept = [place for place in places if not columns[place].spare]
    left_out: list[str] = []
    for place in sorted(set(places).difference(kept), key=lambda each: columns[each].spare):
        if line_width([widths[each] for each in (*kept, place)]) <= width:
            kept.append(place)
        else:
            left_out.append(columns[place].name)
    return sorted(kept), left_out


def line_width(widths: Sequence[int]) -> int:
    """How wide a line of columns is that are so wide."""
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _narrow(widths: list[int], least: Sequence[int], width: int) -> tuple[int, ...]:
    """The widths with the widest one narrowed, step by step, until a line fits or none can give more."""
    for _ in range(line_width(widths) - width):
        narrowable = [place for place, natural in enumerate(widths) if natural > least[place]]
        if not narrowable:
            break
        widths[max(narrowable, key=widths.__getitem__)] -= 1
    return tuple(widths)
