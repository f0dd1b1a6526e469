"""Durations as they are typed."""

import re
from typing import Final

from nsagent.errors import UsageError

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def find_seconds(text: str) -> float | None:
    """Seconds of a duration like `500ms`, `30s` or `2h`; None for what is none."""
    match = _DURATION.fullmatch(text)
    return None if match is None else float(match[1]) * _SECONDS[match[2]]


def parse_seconds(text: str, option: str, least: float) -> float:
    """The same; raises UsageError for what is none, and for less than `least` seconds."""
    seconds = find_seconds(text)
    if seconds is None or seconds < least:
        raise UsageError(
            f"{option}: expected a duration of {least:g}s or more, like 500ms, 30s, 5m or 1h, got {text!r}"
        )
    return seconds
