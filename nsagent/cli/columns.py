"""Names of columns as they are typed."""

from collections.abc import Sequence

from nsagent.query.filter import split_values


def split_columns(texts: Sequence[str] | None, option: str) -> tuple[str, ...]:
    """As they are typed, or as they stand above a table: `FOUND-BY` is `found_by`. Raises UsageError."""
    names = []
    for text in split_values(texts, option):
        sign = "-" if text.startswith("-") else ""
        names.append(sign + text.removeprefix("-").lower().replace("-", "_"))
    return tuple(names)
