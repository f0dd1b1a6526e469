"""How many netns can be held open at a time: a pass holds two fds for each, one on it and a socket in it."""

import os
import resource
import threading
from typing import Final

from nsagent.scan.collect.tables import TableReader

_RESERVE: Final = 64
"""Fds that are left for everything else: directories of processes, modules, engines, a capture."""

_LEAST: Final = 4
_WAIT_SECONDS: Final = 0.001


class Room:
    """Makes room for more netns by letting go of those that were read, once there are too many."""

    def __init__(self, reader: TableReader, stop: threading.Event) -> None:
        self._most = _count_free() // 2
        self._reader = reader
        self._stop = stop

    def make(self, held: int) -> int:
        """How many netns were let go; waits for the reader, if it has not read any of the `held` yet."""
        if held < max(self._most, _LEAST):
            return 0
        while not (count := self._reader.let_go()) and self._reader.busy and not self._stop.is_set():
            self._stop.wait(_WAIT_SECONDS)
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
