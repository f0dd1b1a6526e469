"""Durations, sizes and shares as they are written in a config: `30s`, `64MiB`, `5%`. Pure."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1000, "MB": 10**6, "GB": 10**9}
_SHARES: Final = {"%": 0.01}
_NUMBER_AND_UNIT: Final = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z%]{1,3})", re.ASCII)

VARIABLE: Final = r"\$\{"
"""What a JSON Schema lets pass in the place of any value, as a regular expression: a variable that is put in later."""

MAX_SECONDS: Final = 3650 * 86400.0
"""Clocks and waits take so much, and no report needs more."""


def parse_seconds(text: object) -> float:
    """Seconds of a duration like `250ms`, `30s`, `5m`, `1h`, `7d`; ValueError for all else, also for a bare number."""
    seconds = _parse(text, _SECONDS, "a duration like 250ms, 30s, 5m, 1h or 7d")
    if seconds > MAX_SECONDS:
        raise ValueError("expected no more than 3650d")
    return seconds


def parse_bytes(text: object) -> int:
    """Bytes of a size like `64MiB`; ValueError for all else."""
    return int(_parse(text, _BYTES, "a size like 512KiB, 64MiB or 1GiB"))


def parse_share(text: object) -> float:
    """The part of a whole of a share like `5%`, 0.05; `200%` is two of them. ValueError for all else, and for 0%."""
    share = _parse(text, _SHARES, "a share like 5%")
    if not share:
        raise ValueError("expected more than 0%")
    return share


def tell_seconds(seconds: float) -> str:
    """A duration as parse_seconds takes it, in the largest unit of which it is a multiple."""
    return _tell(seconds, _SECONDS, "ms") if seconds else "0s"


def tell_bytes(size: float) -> str:
    """A size as parse_bytes takes it, in the largest binary unit of which it is a multiple."""
    return _tell(size, {unit: number for unit, number in _BYTES.items() if unit[0] in "BKMG" and unit[1:] != "B"}, "B")


def tell_share(share: float) -> str:
    """A share as parse_share takes it."""
    return _tell(share, _SHARES, "%")


def _parse(text: object, units: dict[str, float] | dict[str, int], expected: str) -> float:
    match = _NUMBER_AND_UNIT.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"expected {expected}")
    return float(match[1]) * units[match[2]]


def _tell(value: float, units: dict[str, float] | dict[str, int], smallest: str) -> str:
    whole = [unit for unit, size in units.items() if unit != smallest and value % size == 0]
    unit = max(whole, key=units.__getitem__, default=smallest)
    return f"{value / units[unit]:.6f}".rstrip("0").rstrip(".") + unit


def _schema(units: dict[str, float] | dict[str, int], what: str) -> WithJsonSchema:
    pattern = rf"^\d{{1,15}}(\.\d{{1,6}})? ?({'|'.join(units)})$|{VARIABLE}"
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": what})


def _check_some(value: float) -> float:
    if not value:
        raise ValueError("expected more than 0")
    return value


def _check_second(seconds: float) -> float:
    if seconds < 1:
        raise ValueError("expected at least 1s")
    return seconds


Seconds = Annotated[
    float,
    BeforeValidator(parse_seconds),
    PlainSerializer(tell_seconds),
    _schema(_SECONDS, "A duration like 250ms, 30s, 5m, 1h or 7d."),
]
SomeSeconds = Annotated[Seconds, AfterValidator(_check_some)]
"""More than none."""
WholeSeconds = Annotated[Seconds, AfterValidator(_check_second)]
"""At least one."""
Bytes = Annotated[
    int,
    BeforeValidator(parse_bytes),
    AfterValidator(_check_some),
    PlainSerializer(tell_bytes),
    _schema(_BYTES, "A size like 512KiB, 64MiB or 1GiB."),
]
Share = Annotated[
    float, BeforeValidator(parse_share), PlainSerializer(tell_share), _schema(_SHARES, "A share like 5%.")
]
