"""How many netns can be held open at a time: a pass holds an fd on each, and a socket in each that is not empty.

The thread that walks asks for room before it opens one more, the threads that read tables tell which
netns can be let go.
"""

import os
import resource
import threading
from typing import Final, Protocol

from nsagent.errors import ReadFailed

_RESERVE: Final = 64
"""Fds that are left for everything else: directories of processes, modules, runtimes, a capture."""

_LEAST: Final = 4
_STOP_SECONDS: Final = 0.05
"""How soon a wait for room ends after the pass was told to stop."""


class Held(Protocol):
    """A netns that was read, and is held open."""

    def let_go(self) -> int:
        """Close every fd on it and in it; how many they were."""


class Room:
    """Makes room for more netns by letting go of those that were read, once there are too many.

    `reads_later`: none is read before all processes were walked, so that there is none to let go.
    For any thread: its one lock guards what is counted and listed here.
    """

    def __init__(self, stop: threading.Event, *, reads_later: bool = False) -> None:
        self._stop = stop
        self._reads_later = reads_later
        self._most = max(_count_free(), _LEAST)
        self._changed = threading.Condition()
        self._open = 0
        self._readers = 0
        self._read: list[Held] = []

    def make(self) -> None:
        """Room for one more netns; waits for a reader where none was read yet.

        Raises ReadFailed where none can be let go.
        """
        with self._changed:
            # One fd for this netns, and a socket in it and in the one that is being read.
            if self._open + 3 <= self._most:
                return
            while not (count := self._let_go()) and self._readers and not self._stop.is_set():
                self._changed.wait(_STOP_SECONDS)
        if self._reads_later and not count:
            raise ReadFailed("one more netns", "EMFILE")

    def is_ample_for(self, netns: int) -> bool:
        """Whether so many netns, and as many more, can be held open before any of them is read."""
        return 4 * netns <= self._most

    def make_for(self, wanted: int) -> int:
        """Room for up to so many fds more, once all netns are read: how many there may be."""
        if _count_free() < wanted:
            with self._changed:
                self._let_go()
        return max(min(_count_free(), wanted), _LEAST)

    def count_opened(self) -> None:
        """One more netns is held open."""
        with self._changed:
            self._open += 1

    def add_reader(self) -> None:
        """One more thread will read netns, or begins to: it is worth waiting for."""
        with self._changed:
            self._readers += 1

    def remove_reader(self) -> None:
        """One of them reads no more."""
        with self._changed:
            self._readers -= 1
            self._changed.notify_all()

    def put(self, held: Held, sockets: int) -> None:
        """This netns was read, and so many sockets in it are open: from now on it may be let go."""
        with self._changed:
            self._open += sockets
            self._read.append(held)
            self._changed.notify_all()

    def _let_go(self) -> int:
        """Let go of the netns that were read; how many fds that gave back.

        To look rows up again such a netns is opened anew, and compared by its cookie.
        """
        count = sum(held.let_go() for held in self._read)
        self._open -= count
        self._read.clear()
        return count


def _count_free() -> int:
    """How many fds this program may still open, but for the reserve; none where that cannot be told."""
    try:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return limit - len(os.listdir("/proc/self/fd")) - _RESERVE
    except OSError:
        return 0
