"""What `nsagent diff` and `nsagent history` share: kinds of changes, and times, as they are typed."""

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from nsagent.cli.durations import find_seconds
from nsagent.errors import UsageError
from nsagent.model.change import ChangeKind
from nsagent.query.filter import split_values


def parse_kinds(texts: Sequence[str] | None, option: str) -> tuple[ChangeKind, ...]:
    """Kinds of changes, in any case, with `-` or `_`; raises UsageError with those that there are."""
    return tuple(_parse_kind(value, option) for value in split_values(texts, option))


def parse_time(text: str, option: str, now: datetime) -> datetime:
    """A time of RFC 3339, with its zone, or a duration like `2h` before `now`; raises UsageError."""
    try:
        if (seconds := find_seconds(text)) is not None:
            return now - timedelta(seconds=seconds)
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{option}: expected 30m, 2h or 7d, or a time like 2026-01-02T03:04:05Z, got {text!r}")


def tell_time(moment: datetime) -> str:
    """RFC 3339 in UTC, with ms."""
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _parse_kind(text: str, option: str) -> ChangeKind:
    known = [str(kind) for kind in ChangeKind]
    name = text.lower().replace("-", "_")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{option}: expected one of {', '.join(known)}, got {text!r}{hint}")
    return ChangeKind(name)
