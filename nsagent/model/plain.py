"""Frozen records to plain JSON values and back, by their type hints.

Dataclasses and the NamedTuples in _OBJECTS become objects, other NamedTuples and tuples arrays, frozensets sorted
arrays, enums their value, bytes base64; to_plain() raises TypeError for anything else. Reading back checks every value
against its hint; a field of an object that has a default may be missing.
"""

import base64
import binascii
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, Literal, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from nsagent.errors import FormatError
from nsagent.model.container import Container
from nsagent.model.facts import Facts, NetnsReading, ProcessReading, Visibility

T = TypeVar("T")

_OBJECTS: Final = frozenset((Container, Facts, NetnsReading, ProcessReading, Visibility))
"""The NamedTuples that have grown, and will, so that each of their fields goes by its name."""


def to_plain(value: Any) -> Any:
    """The JSON value of a record of the model."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, frozenset):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, tuple) and type(value) not in _OBJECTS:
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    names = value._fields if type(value) in _OBJECTS else [field.name for field in fields(value)]
    return {name: to_plain(getattr(value, name)) for name in names}


def from_plain(hint: type[T], plain: Any, path: str) -> T:
    """The record that `plain` describes; raises FormatError, which names the place in it as `path`."""
    value: T = _read(hint, plain, path)
    return value


def _read(hint: Any, plain: Any, path: str) -> Any:
    if isinstance(hint, NewType):
        return _read(hint.__supertype__, plain, path)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), plain, path)
    if origin is Literal:
        return _expect(plain in get_args(hint), plain, f"one of {get_args(hint)}", path)
    if origin is tuple:
        return _read_tuple(get_args(hint), plain, path)
    if origin is frozenset:
        _expect(isinstance(plain, list), plain, "an array", path)
        return frozenset(_read(get_args(hint)[0], item, f"{path}[{i}]") for i, item in enumerate(plain))
    if origin is not None and issubclass(origin, Mapping):
        _expect(isinstance(plain, dict), plain, "an object", path)
        return {key: _read(get_args(hint)[1], item, f"{path}.{key}") for key, item in plain.items()}
    if is_dataclass(hint) or issubclass(hint, tuple):
        return _read_record(hint, plain, path)
    return _read_scalar(hint, plain, path)


def _read_union(members: tuple[Any, ...], plain: Any, path: str) -> Any:
    """Unions of the model are `X | None`."""
    if plain is None and type(None) in members:
        return None
    return _read(next(member for member in members if member is not type(None)), plain, path)


def _read_tuple(members: tuple[Any, ...], plain: Any, path: str) -> tuple[Any, ...]:
    _expect(isinstance(plain, list), plain, "an array", path)
    if len(members) == 2 and members[1] is Ellipsis:
        if get_origin(members[0]) is tuple and get_args(members[0])[1:] != (Ellipsis,):
            return _read_pairs(get_args(members[0]), plain, path)
        return tuple(_read(members[0], item, f"{path}[{i}]") for i, item in enumerate(plain))
    _expect(len(plain) == len(members), plain, f"an array of {len(members)}", path)
    return tuple(
        _read(member, item, f"{path}[{i}]") for i, (member, item) in enumerate(zip(members, plain, strict=True))
    )


def _read_pairs(members: tuple[Any, ...], plain: list[Any], path: str) -> tuple[Any, ...]:
    """Many short arrays of numbers, the fds of a process: checked without a path for each number."""
    kinds = [_supertype(member) for member in members]
    rows = []
    for index, item in enumerate(plain):
        if not isinstance(item, list) or [type(part) for part in item] != kinds:
            raise FormatError(f"{path}[{index}]: an array of {', '.join(kind.__name__ for kind in kinds)}", repr(item))
        rows.append(tuple(item))
    return tuple(rows)


def _supertype(hint: Any) -> type:
    while isinstance(hint, NewType):
        hint = hint.__supertype__
    kind: type = hint
    return kind


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


@cache
def _defaults(record: Any) -> frozenset[str]:
    """The fields that may be missing: an older version did not know them. None of what is an array."""
    if not is_dataclass(record):
        return frozenset(record._field_defaults) if record in _OBJECTS else frozenset()
    return frozenset(
        each.name for each in fields(record) if each.default is not MISSING or each.default_factory is not MISSING
    )


def _read_record(record: Any, plain: Any, path: str) -> Any:
    hints = _hints(record)
    if not is_dataclass(record) and record not in _OBJECTS:
        _expect(isinstance(plain, list) and len(plain) == len(hints), plain, f"an array of {len(hints)}", path)
        plain = dict(zip(hints, plain, strict=True))
    _expect(isinstance(plain, dict), plain, "an object", path)
    missing = [name for name in hints if name not in plain and name not in _defaults(record)]
    if missing:
        raise FormatError(f"{path}: a value for {', '.join(missing)}", repr(plain)[:100])
    return record(**{name: _read(hint, plain[name], f"{path}.{name}") for name, hint in hints.items() if name in plain})


def _read_scalar(kind: type, plain: Any, path: str) -> Any:
    if issubclass(kind, Enum):
        try:
            return kind(plain)
        except ValueError as err:
            names = ", ".join(str(member.value) for member in kind)
            raise FormatError(f"{path}: one of {names}", repr(plain)) from err
    if kind is bytes:
        _expect(isinstance(plain, str), plain, "base64 text", path)
        try:
            return base64.b64decode(plain, validate=True)
        except (binascii.Error, ValueError) as err:
            raise FormatError(f"{path}: base64 text", plain[:40]) from err
    if kind is float:
        _expect(isinstance(plain, int | float) and not isinstance(plain, bool), plain, "a number", path)
        try:
            _expect(math.isfinite(plain), plain, "a finite number", path)
            return float(plain)
        except OverflowError as err:
            raise FormatError(f"{path}: a number", "an enormous one") from err
    return _expect(type(plain) is kind, plain, f"a value of type {kind.__name__}", path)


def _expect(condition: bool, plain: Any, expected: str, path: str) -> Any:
    if not condition:
        raise FormatError(f"{path}: {expected}", repr(plain)[:100])
    return plain
