"""Whose child each process was when it began, as the kernel told: also where that one has ended since.

Pure. Of those that have ended only who has living children, or children's children, is kept.
"""

from typing import Final

from nsagent.agent.living import Ended
from nsagent.model.ids import Pid

MOST_TOLD: Final = 256
"""Of the parents of one process."""


class _Kin:
    """A process that has a parent or children here, apart from whoever has its pid later."""

    __slots__ = ("children", "ended", "is_forgotten", "parent", "pid")

    def __init__(self, pid: Pid) -> None:
        self.pid = pid
        self.parent: _Kin | None = None
        self.children = 0
        """That live, or have ended and are kept."""
        self.ended: Ended | None = None
        self.is_forgotten = False


class Lineage:
    """For one thread at a time."""

    def __init__(self, most_ended: int) -> None:
        """Keeps no more than so many that have ended; the first to end are forgotten first."""
        self._most_ended = most_ended
        self._living: dict[Pid, _Kin] = {}
        self._ended: dict[_Kin, None] = {}
        """In the order of their ends."""

    def __len__(self) -> int:
        return len(self._living) + len(self._ended)

    def begin(self, pid: Pid, parent: Pid) -> None:
        """A process that lives has begun as a child of one that did; only the first parent told of counts."""
        kin = self._living.get(pid)
        if kin is None:
            kin = self._living[pid] = _Kin(pid)
        if kin.parent is not None or parent == pid:
            return
        above = self._living.get(parent)
        if above is None:
            above = self._living[parent] = _Kin(parent)
        kin.parent = above
        above.children += 1

    def end(self, ended: Ended) -> None:
        """A process has ended."""
        kin = self._living.pop(ended.was.pid, None)
        if kin is None:
            return
        kin.ended = ended
        if not kin.children:
            self._let_go(kin)
            return
        self._ended[kin] = None
        if len(self._ended) > self._most_ended:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            oldest.is_forgotten = True
            self._let_go(oldest)

    def list_parents(self, pid: Pid) -> list[Pid | Ended]:
        """The parent of a process, its parent and so on, as far as it was told: pids of those that live."""
        found: list[Pid | Ended] = []
        kin = self._living.get(pid)
        while kin is not None and len(found) < MOST_TOLD:
            kin = kin.parent
            if kin is None or kin.is_forgotten:
                break
            found.append(kin.pid if kin.ended is None else kin.ended)
        return found

    def _let_go(self, kin: _Kin) -> None:
        """Have nobody remembered for the sake of one alone, that is kept no more."""
        above, kin.parent = kin.parent, None
        while above is not None:
            above.children -= 1
            if above.children or above.ended is None:
                return
            self._ended.pop(above, None)
            above.parent, above = None, above.parent
