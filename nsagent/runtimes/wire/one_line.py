"""What an engine said, for a line of a gap."""

_REASON_LENGTH = 160


def one_line(text: str) -> str:
    """At most 160 characters of `text`, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"
