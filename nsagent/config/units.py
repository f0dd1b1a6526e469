"""Durations, sizes and shares as they are written in a config: `30s`, `64MiB`, `5%`. Pure."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1000, "MB": 10**6, "GB": 10**9}
_NUMBER_AND_UNIT: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?([A-Za-z%]{1,3})", re.ASCII)


def parse_seconds(text: object) -> float:
    """Seconds of a duration like `250ms`, `30s`, `5m`, `1h`, `7d`; ValueError for all else, also for a bare number."""
    return _parse(text, _SECONDS, "a duration like 250ms, 30s, 5m, 1h or 7d")


def parse_bytes(text: object) -> int:
    """Bytes of a size like `64MiB`; ValueError for all else."""
    return int(_parse(text, _BYTES, "a size like 512KiB, 64MiB or 1GiB"))


def parse_share(text: object) -> float:
    """The part of one CPU of a share like `5%`, 0.05; `200%` is two of them. ValueError for all else, and for 0%."""
    share = _parse(text, {"%": 0.01}, "a share of one CPU like 5%")
    if not share:
        raise ValueError("expected more than 0%")
    return share


def _parse(text: object, units: dict[str, float] | dict[str, int], expected: str) -> float:
    match = _NUMBER_AND_UNIT.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"expected {expected}")
    return float(match[1]) * units[match[2]]


Seconds = Annotated[float, BeforeValidator(parse_seconds)]
Bytes = Annotated[int, BeforeValidator(parse_bytes)]
Share = Annotated[float, BeforeValidator(parse_share)]
