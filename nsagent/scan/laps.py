"""How long each stage of a pass takes, one after the other."""

from collections.abc import Callable
from enum import StrEnum


class Lap(StrEnum):
    """The stages of a pass, which add up to it."""

    WALK = "walk"
    """The processes are walked, and the tables read of each netns that is met."""
    SETTLE = "settle"
    """What the walk did not show is looked for."""
    NAMES = "names"
    """What runtimes tell is waited for, and all put together as facts."""
    ATTRIBUTE = "attribute"
    """What the facts mean is worked out."""


class Laps:
    """Those of one pass."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds; the first stage begins now."""
        self.seconds: dict[Lap, float] = {}
        self._clock = clock
        self._since = clock()

    def end(self, lap: Lap) -> None:
        """This stage ends, and the next one begins."""
        now = self._clock()
        self.seconds[lap] = now - self._since
        self._since = now
