"""Moments as they are told everywhere: RFC 3339 in UTC, with ms."""

from datetime import UTC, datetime


def tell_time(epoch_seconds: float) -> str:
    """As in `2026-01-02T03:04:05.678Z`."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
