"""A config as plain values, and where each of them stands. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from nsagent.config.scalars import Scalar, read_scalar
from nsagent.config.tree import Place, parse_tree, place_of

Loc = tuple[str | int, ...]
"""Keys and indexes from the root down."""

Value = Scalar | list["Value"] | dict[str, "Value"]

_MAX_KEY: Final = 64
"""Characters of a key that are shown."""

_BARE_KEY: Final = re.compile(r"[\w-]+", re.ASCII)


class Finding(NamedTuple):
    """Something wrong, where it stands, and how that is called."""

    place: Place
    loc: Loc
    message: str


class Document:
    """The values of a file, and what is wrong with them whatever they mean."""

    def __init__(self, content: bytes, environ: Mapping[str, str]) -> None:
        """Raises Refused for what is no YAML that a config may be."""
        self._environ = environ
        self._places: dict[Loc, tuple[Place, Place]] = {}
        self.findings: list[Finding] = []
        self.values = self._read_mapping(parse_tree(content), ())

    def locate(self, loc: Loc, *, key: bool = False) -> tuple[Place, Loc]:
        """Where the value of this name stands, or with `key` its key; of what is not there the nearest one above it."""
        while loc and loc not in self._places:
            loc = loc[:-1]
        return self._places[loc][0 if key else 1], loc

    def _read(self, node: Node, loc: Loc) -> Value:
        if isinstance(node, MappingNode):
            return self._read_mapping(node, loc)
        self._places.setdefault(loc, (place_of(node), place_of(node)))
        if isinstance(node, SequenceNode):
            return [self._read(each, (*loc, index)) for index, each in enumerate(node.value)]
        try:
            return read_scalar(cast(ScalarNode, node), self._environ)
        except ValueError as err:
            self.findings.append(Finding(place_of(node), loc, str(err)))
            return None

    def _read_mapping(self, node: MappingNode, loc: Loc) -> dict[str, Value]:
        self._places.setdefault(loc, (place_of(node), place_of(node)))
        values: dict[str, Value] = {}
        for key, value in node.value:
            place = place_of(key)
            if not isinstance(key, ScalarNode):
                self.findings.append(Finding(place, loc, "expected a key that is a word"))
                continue
            below = (*loc, key.value)
            if key.value in values:
                first = self._places[below][0].line
                self.findings.append(Finding(place, below, f"stands there twice, first in line {first}"))
                continue
            self._places[below] = place, place_of(value)
            values[key.value] = self._read(value, below)
        return values


def tell_path(loc: Loc) -> str:
    """How a value is called, on one line: as in `reports[0].outputs[1].path`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{_tell_key(part)}"
    return text.removeprefix(".")


def _tell_key(key: str) -> str:
    """In quotes where it is no word, and not all of a long one."""
    shown = key if len(key) <= _MAX_KEY else f"{key[:_MAX_KEY]}..."
    return shown if _BARE_KEY.fullmatch(shown) else json.dumps(shown)
