"""Which netns an id meant when something was told by it. Pure.

A netns that goes leaves its id to another one, and that comes by another way than what is told by ids: what waits
there when an id is known to be free may be of the one that had it, and of the one that has it next. An id that is given
out anew meanwhile names neither, until all that may have waited is read.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class NetnsById(Generic[T]):
    """What is known of the netns of each id; for one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[int, T] = {}
        self._next: dict[int, T] = {}
        """Of ids that have been another netns's, what they will mean."""
        self._met: dict[int, int] = {}
        """The inode of each netns that was met since the last snapshot."""
        self._left: dict[int, int] = {}
        """Ids that were free since, and the round of reading in which that was known."""
        self._doubtful: set[int] = set()
        """Those of them that were given out anew."""
        self._lost: int | None = None
        """The round in which some of that was not told, whatever id it was of."""
        self._round = 0

    def meet(self, nsid: int, inode: int) -> None:
        """This is the id of a netns that is held open while a snapshot is taken."""
        self._met[nsid] = inode

    def free(self, nsid: int) -> None:
        """The netns with this id is gone."""
        self._met.pop(nsid, None)
        self._next.pop(nsid, None)
        self._left[nsid] = self._round

    def give(self, nsid: int) -> None:
        """Another netns has this id now."""
        if nsid in self._left:
            self._doubtful.add(nsid)

    def lose(self) -> None:
        """Any of that may have happened to any id."""
        for by_id in (self._known, self._next, self._met):
            by_id.clear()
        self._lost = self._round

    def learn(self, by_inode: Mapping[int, T]) -> None:
        """What a snapshot says of the netns that were met while it was taken, by their inodes."""
        met = {nsid: by_inode[inode] for nsid, inode in self._met.items() if inode in by_inode}
        self._doubtful.update(met.keys() & self._left.keys())
        self._next = {nsid: one for nsid, one in met.items() if nsid in self._left}
        self._known = {nsid: one for nsid, one in self._known.items() if nsid in self._left}
        self._known.update((nsid, one) for nsid, one in met.items() if nsid not in self._left)
        self._met = {}

    def begin(self) -> None:
        """From here on all is read that waits."""
        self._round += 1

    def end(self) -> None:
        """All that waited when it was begun has been read, and found."""
        for nsid in [nsid for nsid, known in self._left.items() if known < self._round]:
            del self._left[nsid]
            self._doubtful.discard(nsid)
            self._known.pop(nsid, None)
            if nsid in self._next:
                self._known[nsid] = self._next.pop(nsid)
        if self._lost is not None and self._lost < self._round:
            self._lost = None

    @property
    def has_left(self) -> bool:
        """Whether it is of use to read on, though nothing may wait: then ids mean what they will."""
        return bool(self._left) or self._lost is not None

    def find(self, nsid: int) -> T | None:
        """The netns that this id means in what is read now; None where that is not known."""
        return None if self._lost is not None or nsid in self._doubtful else self._known.get(nsid)
