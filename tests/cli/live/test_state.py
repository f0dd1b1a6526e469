"""What keys make of what is asked for."""

from functools import reduce

import pytest

from nsagent.cli.live.look import Look, TypedFilter
from nsagent.cli.live.state import Prompt, Shown, State, press
from nsagent.errors import NotFound, WrongExpression

SHOWN = Shown(rows=100, page=20, columns=("netns", "local", "pid"), sideways=2)
FOUND = TypedFilter("nginx")


def read(text: str) -> TypedFilter:
    """A filter of any text but two."""
    if text == "sport = :8x":
        raise WrongExpression("expected a port, got '8\x1b'", text, 9)
    if text == "container = web":
        raise NotFound("container", "web")
    return TypedFilter(text)


def press_all(state: State, *keys: str, shown: Shown = SHOWN) -> State:
    return reduce(lambda before, key: press(before, key, shown, read), keys, state)


@pytest.mark.parametrize(
    ("keys", "first"),
    [
        ("down", 1),
        ("down down up", 1),
        ("up", 0),
        ("page_down page_down", 40),
        ("page_down page_up page_up", 0),
        ("end", 80),
        ("end down", 80),
        ("end home", 0),
    ],
)
def test_rows_scroll_as_far_as_they_go(keys: str, first: int) -> None:
    assert press_all(State(), *keys.split()) == State(first_row=first)


def test_where_all_rows_have_room_nothing_scrolls() -> None:
    assert press_all(State(), "down", "end", "right", shown=Shown(rows=5, page=20)) == State()


def test_columns_are_gone_through_as_far_as_there_are_any_beyond_the_screen() -> None:
    assert press_all(State(), "right", "right", "right") == State(first_column=2)
    assert press_all(State(), "right", "left", "left") == State()


@pytest.mark.parametrize(
    ("keys", "sort_by"),
    [
        ("s", ("netns",)),
        ("s>", ("local",)),
        ("<", ("pid",)),
        ("s<", ()),
        ("ssss", ()),
        ("r", ("-netns",)),
        ("rr", ("netns",)),
        ("ssr", ("-local",)),
        ("ssrs", ("pid",)),
    ],
)
def test_rows_are_sorted_by_the_next_column_or_the_one_before_and_the_other_way_round(
    keys: str, sort_by: tuple[str, ...]
) -> None:
    assert press_all(State(first_row=7), *keys) == State(Look(sort_by))


def test_an_order_by_columns_that_are_not_shown_gives_way_to_the_first_one_and_can_be_reversed() -> None:
    state = State(Look(("-cookie", "pid")))
    assert press_all(state, "s") == State(Look(("netns",)))
    assert press_all(state, "r") == State(Look(("cookie", "pid")))


def test_without_any_column_there_is_nothing_to_sort_by() -> None:
    assert press_all(State(), *"sr<", shown=Shown()) == State()


def test_the_other_keys() -> None:
    assert press_all(State(first_row=7, first_column=2), "w") == State(Look(wide=True), first_row=7)
    assert press_all(State(), "w", "w") == State()
    assert press_all(State(), "p") == State(paused=True)
    assert press_all(State(), "p", "p") == State()
    assert press_all(State(), "q") == State(ended=True)
    assert press_all(State(), "h") == press_all(State(), "?") == State(helping=True)
    assert press_all(State(), "x", "KEY_F(1)", "escape", "\x15") == State()


def test_any_key_ends_the_help_and_does_nothing_else() -> None:
    assert [press_all(State(helping=True), key) for key in ("q", "h", "down")] == [State()] * 3


def test_a_filter_is_typed_and_taken() -> None:
    assert press_all(State(first_row=7), "/", *"nginx") == State(first_row=7, prompt=Prompt("nginx", 5))
    assert press_all(State(first_row=7), "/", *" nginx ", "enter") == State(Look(filter=FOUND))


def test_a_filter_that_is_in_force_is_there_to_be_changed_and_an_empty_one_is_none() -> None:
    filtered = State(Look(filter=FOUND))
    assert press_all(filtered, "/") == State(Look(filter=FOUND), prompt=Prompt("nginx", 5))
    assert press_all(filtered, "/", *"x", "escape") == filtered
    assert press_all(filtered, "/", "\x15", "enter") == State()


@pytest.mark.parametrize(
    ("keys", "prompt"),
    [
        ("left left x", Prompt("axbc", 2)),
        ("home x end y", Prompt("xabcy", 5)),
        ("home left delete", Prompt("bc", 0)),
        ("right delete", Prompt("abc", 3)),
        ("backspace", Prompt("ab", 2)),
        ("home backspace", Prompt("abc", 0)),
        ("left \x15", Prompt("c", 0)),
        ("ü 漢", Prompt("abcü漢", 5)),
        ("\x1b \x01 page_down KEY_F(1) \u202e", Prompt("abc", 3)),
    ],
)
def test_a_text_is_edited(keys: str, prompt: Prompt) -> None:
    assert press_all(State(), "/", *"abc", *keys.split(" ")) == State(prompt=prompt)


def test_what_is_wrong_is_told_with_the_cursor_there_until_a_key_is_pressed() -> None:
    wrong = press_all(State(), "/", *"sport = :8x", "enter")
    assert wrong == State(prompt=Prompt("sport = :8x", 9, "expected a port, got '8\\x1b'"))
    assert press_all(wrong, "delete") == State(prompt=Prompt("sport = :x", 9))
    unknown = press_all(State(), "/", *"container = web", "enter")
    assert unknown == State(prompt=Prompt("container = web", 15, "no container 'web'"))
