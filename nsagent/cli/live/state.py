"""What the live table is asked for by keys, and what each key makes of that. Pure.

A key is the character that it gives, or one of the names in NAMED_KEYS.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from nsagent.cli.live.look import Look, TypedFilter
from nsagent.errors import NsagentError, WrongExpression
from nsagent.report.escape import escape

NAMED_KEYS: Final = (
    "up", "down", "left", "right", "page_up", "page_down", "home", "end", "enter", "escape", "backspace", "delete",
)  # fmt: skip

_ERASE: Final = "\x15"
"""Ctrl-U."""

ReadFilter = Callable[[str], TypedFilter]
"""Raises NsagentError for a text that is no filter."""


class Prompt(NamedTuple):
    """A filter that is being typed."""

    text: str = ""
    cursor: int = 0
    """Characters before it."""
    problem: str = ""
    """Printable: what is wrong with the text."""


class State(NamedTuple):
    """What somebody has asked for up to now."""

    look: Look = Look()
    first_row: int = 0
    """The place of the topmost row."""
    first_column: int = 0
    """The place of the leftmost column."""
    paused: bool = False
    helping: bool = False
    """Whether the keys are told in the place of the rows."""
    prompt: Prompt | None = None
    ended: bool = False


class Shown(NamedTuple):
    """What there is to see, and what a screen has room for."""

    rows: int = 0
    page: int = 0
    """How many rows the screen has room for."""
    columns: tuple[str, ...] = ()
    """The names of the columns that can be sorted by."""
    sideways: int = 0
    """How many columns may be left behind on the left."""


def press(state: State, key: str, shown: Shown, read_filter: ReadFilter) -> State:
    """The state after a key; one that means nothing changes nothing."""
    if state.prompt is not None:
        return _type(state, state.prompt, key, read_filter)
    if state.helping:
        return state._replace(helping=False)
    action = _ACTIONS.get(key)
    return state if action is None else action(state, shown)


def _scroll(state: State, first: int, shown: Shown) -> State:
    return state._replace(first_row=max(min(first, shown.rows - shown.page), 0))


def _shift(state: State, columns: int, shown: Shown) -> State:
    return state._replace(first_column=max(min(state.first_column + columns, shown.sideways), 0))


def _change(state: State, look: Look) -> State:
    """Another look is seen from its beginning."""
    return state._replace(look=look, first_row=0)


def _sort(state: State, step: int, shown: Shown) -> State:
    """Sort by the next column, or the one before; beyond the last one stands the usual order."""
    orders = ("", *shown.columns)
    current = state.look.sort_by[0].removeprefix("-") if state.look.sort_by else ""
    place = orders.index(current) if current in orders else 0
    name = orders[(place + step) % len(orders)]
    return _change(state, state.look._replace(sort_by=(name,) if name else ()))


def _reverse(state: State, shown: Shown) -> State:
    """The same column the other way round; of the usual order the first column, descending."""
    first, *rest = state.look.sort_by or shown.columns[:1] or ("",)
    if not first:
        return state
    turned = first.removeprefix("-") if first.startswith("-") else f"-{first}"
    return _change(state, state.look._replace(sort_by=(turned, *rest)))


def _ask(state: State) -> State:
    text = state.look.filter.text if state.look.filter else ""
    return state._replace(prompt=Prompt(text, len(text)))


_ACTIONS: Final[Mapping[str, Callable[[State, Shown], State]]] = {
    "up": lambda state, shown: _scroll(state, state.first_row - 1, shown),
    "down": lambda state, shown: _scroll(state, state.first_row + 1, shown),
    "page_up": lambda state, shown: _scroll(state, state.first_row - shown.page, shown),
    "page_down": lambda state, shown: _scroll(state, state.first_row + shown.page, shown),
    "home": lambda state, shown: _scroll(state, 0, shown),
    "end": lambda state, shown: _scroll(state, shown.rows, shown),
    "left": lambda state, shown: _shift(state, -1, shown),
    "right": lambda state, shown: _shift(state, 1, shown),
    "s": lambda state, shown: _sort(state, 1, shown),
    ">": lambda state, shown: _sort(state, 1, shown),
    "<": lambda state, shown: _sort(state, -1, shown),
    "r": _reverse,
    "w": lambda state, _: state._replace(look=state.look._replace(wide=not state.look.wide), first_column=0),
    "p": lambda state, _: state._replace(paused=not state.paused),
    "/": lambda state, _: _ask(state),
    "h": lambda state, _: state._replace(helping=True),
    "?": lambda state, _: state._replace(helping=True),
    "q": lambda state, _: state._replace(ended=True),
}


def _type(state: State, prompt: Prompt, key: str, read_filter: ReadFilter) -> State:
    """A key while a filter is being typed."""
    if key == "escape":
        return state._replace(prompt=None)
    if key == "enter":
        return _read(state, prompt, read_filter)
    return state._replace(prompt=_edit(prompt, key))


def _read(state: State, prompt: Prompt, read_filter: ReadFilter) -> State:
    """The filter in force; one that is wrong stays to be mended, with the cursor where it is wrong."""
    text = prompt.text.strip()
    try:
        wanted = read_filter(text) if text else None
    except WrongExpression as err:
        return state._replace(prompt=Prompt(text, min(err.position, len(text)), escape(err.expected)))
    except NsagentError as err:
        return state._replace(prompt=Prompt(text, len(text), escape(str(err))))
    return _change(state._replace(prompt=None), state.look._replace(filter=wanted))


def _edit(prompt: Prompt, key: str) -> Prompt:
    text, cursor, _ = prompt
    before, after = text[:cursor], text[cursor:]
    match key:
        case "left":
            return Prompt(text, max(cursor - 1, 0))
        case "right":
            return Prompt(text, min(cursor + 1, len(text)))
        case "home":
            return Prompt(text, 0)
        case "end":
            return Prompt(text, len(text))
        case "backspace":
            return Prompt(before[:-1] + after, max(cursor - 1, 0))
        case "delete":
            return Prompt(before + after[1:], cursor)
        case _ if key == _ERASE:
            return Prompt(after, 0)
        case _ if len(key) == 1 and key.isprintable():
            return Prompt(before + key + after, cursor + 1)
    return prompt
