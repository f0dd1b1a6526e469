"""Where the gaps of one pass go, from every thread of it."""

import threading
from collections.abc import Iterable

from nsagent.errors import FormatError, NotRead
from nsagent.model.gap import Gap, Stage, Subject, make_gap


class GapSink:
    """The gaps of one pass in the order in which they came, each once: what fails twice alike is one gap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gaps: dict[Gap, None] = {}

    def add(self, gaps: Iterable[Gap]) -> None:
        """Note these gaps."""
        with self._lock:
            self._gaps.update(dict.fromkeys(gaps))

    def note(self, stage: Stage, subject: Subject, err: NotRead | FormatError) -> None:
        """Note a read that failed."""
        self.add((make_gap(stage, subject, err),))

    def list_gaps(self) -> list[Gap]:
        """All of them."""
        with self._lock:
            return list(self._gaps)
