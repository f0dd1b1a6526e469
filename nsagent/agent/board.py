"""What the loop has to tell, for those who serve it: one writer, any number of readers in other threads.

A reader takes the last value by one reference and never waits. Nothing that a reader does makes a pass.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from nsagent.agent.status import AgentStatus, PassStatus
from nsagent.model.change import Change
from nsagent.model.facts import Facts
from nsagent.model.forebear import Forebear
from nsagent.model.ids import Pid
from nsagent.model.snapshot import Snapshot

CHANGES_KEPT: Final = 10_000
"""Of the last passes; one has about 0.8 KiB."""

_PATIENCE: Final = 3
"""How many intervals may pass until an agent without a new pass is no longer well."""


ListForebears = Callable[[Pid, int], Sequence[Forebear] | None]
"""Whose child a process of a pid and start was when it began, whose that one, and so on; None where it is not known."""


class LastPass(NamedTuple):
    """The last finished pass: what it means, what it was made of, and how it went."""

    snapshot: Snapshot
    facts: Facts
    status: PassStatus
    made: dict[type, Any]
    """What was made of it for those who ask, by its type: whoever keeps that elsewhere keeps an old pass, too."""


class NumberedChange(NamedTuple):
    """A change and its number: 1 for the first one since the start of the agent, and no gaps."""

    number: int
    change: Change


class ChangesSince(NamedTuple):
    """The changes after a number; `missed` more were let go before, `last` is the number to go on from."""

    changes: tuple[NumberedChange, ...]
    missed: int
    last: int


class Board:
    """The last values of everything that is served."""

    def __init__(
        self,
        interval_seconds: float,
        *,
        clock: Callable[[], float],
        on_pass: Callable[[PassStatus], object] = lambda _: None,
        blind: str | None = None,
        list_forebears: ListForebears = lambda _pid, _start_ticks: None,
    ) -> None:
        """`clock` is the monotonic one that PassStatus is told by; `on_pass` is called with each pass.

        `blind` tells why passes do not see the host at all, however well they end. `list_forebears` is what is known
        between passes too.
        """
        self.list_forebears = list_forebears
        self.blind = blind
        self.last_pass: LastPass | None = None
        self.status: AgentStatus | None = None
        self.interval_seconds = interval_seconds
        """Of the config in force: whoever loads another one sets it."""
        self._clock = clock
        self._on_pass = on_pass
        self._started_seconds = clock()
        self._lock = threading.Lock()
        self._changes: deque[NumberedChange] = deque(maxlen=CHANGES_KEPT)
        self._last_change = 0

    def publish_pass(self, snapshot: Snapshot, facts: Facts, status: PassStatus) -> None:
        """Put a pass in the place of the one before."""
        self.last_pass = LastPass(snapshot, facts, status, {})
        self._on_pass(status)

    def publish_status(self, status: AgentStatus) -> None:
        """Put a status in the place of the one before."""
        self.status = status

    def publish_changes(self, changes: Iterable[Change]) -> None:
        """Add changes to the last ones; the oldest are let go."""
        with self._lock:
            for change in changes:
                self._last_change += 1
                self._changes.append(NumberedChange(self._last_change, change))

    def list_changes(self, since: int) -> ChangesSince:
        """The changes that have a higher number than `since`, as far as they are kept.

        A number that no change has yet is of an agent before this one: all are new to whoever has it.
        """
        with self._lock:
            kept, last = tuple(self._changes), self._last_change
        since = since if since <= last else 0
        changes = tuple(each for each in kept if each.number > since)
        return ChangesSince(changes, last - since - len(changes), last)

    def is_well(self) -> bool:
        """Whether a pass has finished lately, or none can have: three intervals, and as long as the last one took."""
        last = self.last_pass
        since = self._started_seconds if last is None else last.status.finished_seconds
        took = 0.0 if last is None else last.status.duration_seconds
        return self._clock() - since <= _PATIENCE * self.interval_seconds + took
