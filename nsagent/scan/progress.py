"""How far a pass is, for whoever waits for it."""

from collections.abc import Callable
from typing import NamedTuple


class Reached(NamedTuple):
    """Counts of netns."""

    read: int
    """Those whose tables were read, are being read, or are none of those wanted."""
    found: int
    """Those met so far, read or not."""


class Progress:
    """One pass tells where it can be looked at; any thread may look at any time."""

    def __init__(self) -> None:
        self._look: Callable[[], Reached] = lambda: Reached(0, 0)

    def show(self, look: Callable[[], Reached]) -> None:
        """The pass begins; `look` is called by other threads than its own."""
        self._look = look

    def look(self) -> Reached:
        """How far it is; nowhere before it begins."""
        return self._look()
