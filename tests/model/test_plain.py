"""Records of the model as plain JSON values, and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple, NewType

import pytest

from nsagent.errors import FormatError
from nsagent.model.plain import from_plain, to_plain

Number = NewType("Number", int)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    number: Number
    name: str | None


@dataclass(frozen=True, slots=True)
class Everything:
    """One field of each kind that the model has."""

    flag: bool
    number: Number
    ratio: float
    text: str
    raw: bytes
    colour: Colour
    choice: Literal["little", "big"]
    pair: Pair | None
    pairs: tuple[tuple[Number, int], ...]
    names: tuple[str, ...]
    labelled: tuple[tuple[int, str], ...]
    inodes: frozenset[Number]
    labels: Mapping[str, str]
    late: int = 5


SAMPLE = Everything(
    flag=True,
    number=Number(1 << 64),
    ratio=0.5,
    text="a\udcff\x00",
    raw=b"\0\xff",
    colour=Colour.BLUE,
    choice="big",
    pair=Pair(Number(1), None),
    pairs=((Number(3), 7), (Number(4), 8)),
    names=("b", "a"),
    labelled=((1, "lo"), (2, "eth0")),
    inodes=frozenset((Number(9), Number(8))),
    labels={"b": "1", "a": "2"},
)
PLAIN: dict[str, Any] = {
    "flag": True,
    "number": 1 << 64,
    "ratio": 0.5,
    "text": "a\udcff\x00",
    "raw": "AP8=",
    "colour": "blue",
    "choice": "big",
    "pair": [1, None],
    "pairs": [[3, 7], [4, 8]],
    "names": ["b", "a"],
    "labelled": [[1, "lo"], [2, "eth0"]],
    "inodes": [8, 9],
    "labels": {"b": "1", "a": "2"},
    "late": 5,
}


def test_a_record_becomes_plain_json() -> None:
    assert to_plain(SAMPLE) == PLAIN
    assert json.loads(json.dumps(to_plain(SAMPLE))) == PLAIN


def test_what_is_no_record_is_an_error_and_not_empty() -> None:
    with pytest.raises(TypeError):
        to_plain(object())


def test_plain_json_becomes_the_record() -> None:
    assert from_plain(Everything, PLAIN, "all") == SAMPLE


def test_what_is_read_has_the_types_of_the_record() -> None:
    record = from_plain(Everything, PLAIN, "all")
    assert (type(record.colour), type(record.pair), type(record.inodes)) == (Colour, Pair, frozenset)
    assert (type(record.pairs), type(record.pairs[0]), type(record.raw)) == (tuple, tuple, bytes)


def test_a_whole_number_is_taken_for_a_ratio() -> None:
    record = from_plain(Everything, {**PLAIN, "ratio": 1}, "all")
    assert (record.ratio, type(record.ratio)) == (1.0, float)


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("flag", 1, "all.flag: "),
        ("flag", None, "all.flag: "),
        ("number", True, "all.number: "),
        ("number", 1.0, "all.number: "),
        ("number", "1", "all.number: "),
        ("ratio", True, "all.ratio: "),
        ("ratio", None, "all.ratio: "),
        pytest.param("ratio", 10**400, "all.ratio: ", id="ratio-enormous"),
        ("text", 1, "all.text: "),
        ("raw", "no base64", "all.raw: "),
        ("raw", "AP8", "all.raw: "),
        ("raw", [0, 255], "all.raw: "),
        ("colour", "green", "all.colour: one of red, blue"),
        ("colour", {}, "all.colour: "),
        ("choice", "middle", "all.choice: "),
        ("choice", None, "all.choice: "),
        ("pair", [1], "all.pair: an array of 2"),
        ("pair", {"number": 1, "name": None}, "all.pair: an array of 2"),
        ("pair", [1, 2], "all.pair.name: "),
        ("pairs", None, "all.pairs: an array"),
        ("pairs", [[3, 7], [4]], "all.pairs[1]: "),
        ("pairs", [[3, 7.0]], "all.pairs[0]: "),
        ("pairs", [[3, False]], "all.pairs[0]: "),
        ("pairs", ["37"], "all.pairs[0]: "),
        ("names", "ab", "all.names: an array"),
        ("names", ["a", 1], "all.names[1]: "),
        ("labelled", [[1, 2]], "all.labelled[0]"),
        ("inodes", {"8": 9}, "all.inodes: an array"),
        ("inodes", [8, "9"], "all.inodes[1]: "),
        ("inodes", [[]], "all.inodes[0]: "),
        ("labels", [], "all.labels: an object"),
        ("labels", {"a": 1}, "all.labels.a: "),
    ],
)
def test_a_value_of_the_wrong_kind_is_a_format_error_that_names_its_place(name: str, value: object, place: str) -> None:
    with pytest.raises(FormatError) as caught:
        from_plain(Everything, {**PLAIN, name: value}, "all")
    assert str(caught.value).startswith(f"expected {place}")


@pytest.mark.parametrize("plain", [None, [], "x", 1])
def test_what_is_no_object_is_no_record(plain: object) -> None:
    with pytest.raises(FormatError, match="all: an object"):
        from_plain(Everything, plain, "all")


def test_missing_fields_are_all_named() -> None:
    plain = {name: value for name, value in PLAIN.items() if name not in ("text", "raw")}
    with pytest.raises(FormatError, match="all: a value for text, raw"):
        from_plain(Everything, plain, "all")


def test_a_field_that_is_not_known_is_passed_over() -> None:
    assert from_plain(Everything, {**PLAIN, "unknown": 1}, "all") == SAMPLE


def test_an_error_shows_no_more_of_the_input_than_a_line() -> None:
    with pytest.raises(FormatError) as caught:
        from_plain(Everything, {**PLAIN, "number": "x" * 100_000}, "all")
    assert len(str(caught.value)) < 500
