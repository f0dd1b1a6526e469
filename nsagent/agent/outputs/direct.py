"""Outputs that have written a report once they return: files and stdout."""

from collections.abc import Callable
from dataclasses import replace

from nsagent.agent.outputs.report import WrittenReport
from nsagent.agent.status import OutputStatus
from nsagent.errors import OutputFailed, PathRefused


class DirectOutput:
    """Calls `put`, which raises OSError or PathRefused, and counts.

    `kind` and `place` name it, as in `file /var/lib/nsagent/listeners.jsonl`; stdout is a place of no kind.
    """

    def __init__(self, kind: str, place: str, put: Callable[[bytes], None]) -> None:
        self._place = place
        self._put = put
        self._status = OutputStatus(f"{kind} {place}".lstrip())

    def write(self, report: WrittenReport) -> None:
        """Raises OutputFailed."""
        status = self._status
        try:
            self._put(report.data)
        except (OSError, PathRefused) as err:
            error = f"{self._place}: cannot be written: {why(err)}"
            self._status = replace(status, failed=status.failed + 1, error=error)
            raise OutputFailed(error) from err
        self._status = replace(status, written=status.written + 1, error=None)

    def status(self) -> OutputStatus:
        """How it fares."""
        return self._status

    def close(self, seconds: float = 0.0) -> None:
        """Nothing is held between two reports."""


def why(err: OSError | PathRefused) -> str:
    """The reason in one line, without the path."""
    return (err.strerror or str(err)) if isinstance(err, OSError) else str(err)
