"""What the agent says while it runs: to stderr, a line or a JSON object each, and none too often.

The agent and the command line are the only ones who log. What is told holds text of others (paths,
reasons with names in them): it is escaped here, for all of them.
"""

import json
import logging
from collections.abc import Callable
from typing import Final, Literal

from nsagent.report.escape import escape
from nsagent.report.times import tell_time

_ALIKE_SECONDS: Final = 60.0
_MOST_KEPT: Final = 1024
_LEVELS: Final = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error", logging.DEBUG: "debug"}

logger: Final = logging.getLogger("nsagent")


def start_logging(form: Literal["line", "json"], *, clock: Callable[[], float]) -> None:
    """Log to stderr in this form from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLine() if form == "json" else _Line())
    handler.addFilter(Seldom(clock))
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)


class Seldom(logging.Filter):
    """Lets what is said the same way pass once a minute, and tells how many were held back; all of level INFO pass."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, object], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it passes; what is alike has the same message before its arguments, and the same first one."""
        if record.levelno <= logging.INFO:
            return True
        alike = record.msg, record.args[0] if isinstance(record.args, tuple) and record.args else None
        now = self._clock()
        last, held = self._said.get(alike, (-_ALIKE_SECONDS, 0))
        if now - last < _ALIKE_SECONDS:
            self._said[alike] = last, held + 1
            return False
        if len(self._said) >= _MOST_KEPT:
            self._said.clear()
        self._said[alike] = now, 0
        record.held = held
        return True


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        held = getattr(record, "held", 0)
        told = f" ({held} more like this)" if held else ""
        return f"nsagent: {_LEVELS.get(record.levelno, 'info')}: {escape(record.getMessage())}{told}"


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": tell_time(record.created),
            "level": _LEVELS.get(record.levelno, "info"),
            "message": escape(record.getMessage()),
        }
        if held := getattr(record, "held", 0):
            told["held_back"] = held
        return json.dumps(told)
