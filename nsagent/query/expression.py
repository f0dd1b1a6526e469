"""A filter expression as a tree: what query.grammar makes of a text, and query.evaluate tests rows by. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from nsagent.query.filter import Filter


class Number(StrEnum):
    """What of a row is compared as a number; a row that has none meets no comparison."""

    LOCAL_PORT = "local_port"
    REMOTE_PORT = "remote_port"
    UID = "uid"


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `first` to `last`, both included; none where `last` is the smaller one."""

    number: Number
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Autobound:
    """The local port is one that the row's netns gives to clients."""


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary of a part, which is no Not itself."""

    part: "Expression"


@dataclass(frozen=True, slots=True)
class Every:
    """All of two or more parts."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """One of some parts or more; without any it is never met."""

    parts: tuple["Expression", ...]


Expression: TypeAlias = Every | Some | Not | Between | Autobound | Filter
"""A Filter in it is a condition that an option of the same name makes as well; an empty one is always met."""


def list_filters(expression: Expression) -> Iterator[Filter]:
    """Every Filter in it."""
    if isinstance(expression, Filter):
        yield expression
    elif isinstance(expression, Not):
        yield from list_filters(expression.part)
    elif isinstance(expression, Every | Some):
        for part in expression.parts:
            yield from list_filters(part)


def map_filters(expression: Expression, change: Callable[[Filter], Expression]) -> Expression:
    """The same with what `change` makes of every Filter in it."""
    if isinstance(expression, Filter):
        return change(expression)
    if isinstance(expression, Not):
        return Not(map_filters(expression.part, change))
    if isinstance(expression, Every | Some):
        return type(expression)(tuple(map_filters(part, change) for part in expression.parts))
    return expression
