"""A report on its way to an output, and what an output is to whoever hands it one."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from nsagent.agent.status import OutputStatus
from nsagent.model.choices import OutputFormat

Tell = Callable[[str], None]
"""Takes one line about what nobody waits for; called from any thread, never while a lock is held."""


class WrittenReport(NamedTuple):
    """One report as it is written, sent or kept, whole."""

    name: str
    format: OutputFormat
    content_type: str
    """As in `application/json`."""
    taken_at: str
    """When its pass began: RFC 3339 in UTC, with ms."""
    data: bytes
    host: str


class Out(Protocol):
    """One output of one report; used by one thread at a time, but for `status`."""

    def write(self, report: WrittenReport) -> None:
        """Write it, or take it to be sent; raises OutputFailed, with one line that names the place and the reason."""

    def status(self) -> OutputStatus:
        """How it fares; never waits."""

    def close(self, seconds: float = 0.0) -> None:
        """Let go of it; what was taken may still be sent for so long."""
