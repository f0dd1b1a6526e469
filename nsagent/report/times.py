"""Moments as they are told everywhere: RFC 3339 in UTC, with ms."""

from datetime import UTC, datetime


def tell_time(epoch_seconds: float) -> str:
    """As in `2026-01-02T03:04:05.678Z`."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def brief_time(text: str | None) -> str:
    """Month, day and second of such a moment, as in `01-02 03:04:05`; "" for None."""
    return "" if text is None else text[5:19].replace("T", " ")
