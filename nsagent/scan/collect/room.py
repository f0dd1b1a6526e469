"""How many netns can be held open at a time: a pass holds an fd on each, and a socket in each that is not empty."""

import os
import resource
import threading
from typing import Final

from nsagent.errors import ReadFailed
from nsagent.scan.collect.tables import TableReader

_RESERVE: Final = 64
"""Fds that are left for everything else: directories of processes, modules, engines, a capture."""

_LEAST: Final = 4
_WAIT_SECONDS: Final = 0.001


class Room:
    """Makes room for more netns by letting go of those that were read, once there are too many.

    `reads_later`: none is read before all processes were walked, so that there is none to let go.
    """

    def __init__(self, reader: TableReader, stop: threading.Event, *, reads_later: bool = False) -> None:
        self._reads_later = reads_later
        self._most = max(_count_free(), _LEAST)
        self._reader = reader
        self._stop = stop

    def make(self, held: int) -> int:
        """How many netns were let go; waits for the reader, if it has not read any of the `held` yet.

        Raises ReadFailed where none can be let go.
        """
        # One fd for this netns, and a socket in it and in the one that is being read.
        if held + self._reader.sockets + 3 <= self._most:
            return 0
        while not (count := self._reader.let_go()) and self._reader.busy and not self._stop.is_set():
            self._stop.wait(_WAIT_SECONDS)
        if self._reads_later and not count:
            raise ReadFailed("one more netns", "EMFILE")
        return count

    def make_for(self, wanted: int) -> int:
        """Room for up to so many fds more, once all netns are read: how many there may be."""
        if _count_free() < wanted:
            self._reader.let_go()
        return max(min(_count_free(), wanted), _LEAST)


def _count_free() -> int:
    """How many fds this program may still open, but for the reserve."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit - len(os.listdir("/proc/self/fd")) - _RESERVE
