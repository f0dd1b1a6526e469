"""Values of a config other than text: switches, counts, and what may be one value or a list of them. Pure."""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from nsagent.config.units import VARIABLE

T = TypeVar("T")

_OF_VARIABLE = {"type": "string", "pattern": VARIABLE}


def parse_switch(value: object) -> bool:
    """True or false, also as a text, as which a variable comes; ValueError for all else."""
    if value in ("true", "false"):
        return value == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("expected true or false")


def parse_count(value: object) -> int:
    """A whole number, also as a text of digits, as which a variable comes; ValueError for all else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    raise ValueError("expected a whole number")


def list_texts(value: object) -> object:
    """The texts of one value or of a list of them; a whole number is the text of it. Others stay as they are."""
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in values]


def _check_keep(number: int) -> int:
    if not 1 <= number <= 1000:
        raise ValueError("expected a whole number from 1 to 1000")
    return number


def _check_limit(number: int) -> int:
    if number < 1:
        raise ValueError("expected a whole number from 1")
    return number


def _whole_number(**bounds: int) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "integer", **bounds}, _OF_VARIABLE]})


Switch = Annotated[bool, BeforeValidator(parse_switch), WithJsonSchema({"anyOf": [{"type": "boolean"}, _OF_VARIABLE]})]
Keep = Annotated[int, BeforeValidator(parse_count), AfterValidator(_check_keep), _whole_number(minimum=1, maximum=1000)]
Limit = Annotated[int, BeforeValidator(parse_count), AfterValidator(_check_limit), _whole_number(minimum=1)]
Version = Annotated[Literal[1], BeforeValidator(parse_count)]

_ONE = {"type": ["string", "integer"]}
OneOrMore = Annotated[
    tuple[T, ...], BeforeValidator(list_texts), WithJsonSchema({"anyOf": [_ONE, {"type": "array", "items": _ONE}]})
]
"""A value, or a list of alternatives."""
