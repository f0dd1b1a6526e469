"""Reports on stdout, which may be a pipe that nobody reads for a while.

Source: pipe(7) (PIPE_BUF), write(2), poll(2). The descriptor is shared with others: whether it blocks is theirs.
"""

import os
import select
import time
from collections.abc import Callable
from errno import EAGAIN, EBADF
from threading import Lock
from typing import Final

_PIECE_BYTES: Final = select.PIPE_BUF
"""So many bytes go in without waiting where poll(2) says that something does, also where the descriptor blocks."""


class Stdout:
    """All reports to one descriptor, one after the other; for any thread. None: there is no stdout.

    A reader that stops is waited for once, `patience_seconds` long, and then no more until it reads again. Of a
    report that was begun the rest is kept, and comes before anything else: none is torn.
    """

    def __init__(
        self, fd: int | None, *, patience_seconds: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fd = fd
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._lock = Lock()
        self._rest = memoryview(b"")
        self._is_stuck = False

    def put(self, data: bytes) -> None:
        """Raises OSError: EAGAIN where nobody reads, and the report is left out unless it was begun."""
        with self._lock:
            fd = self._fd
            if fd is None:
                raise OSError(EBADF, os.strerror(EBADF))
            until = self._clock() + (0 if self._is_stuck else self._patience_seconds)
            self._write(fd, self._rest, until, is_begun=True)
            if self._rest:
                raise OSError(EAGAIN, "nobody reads it")
            if self._write(fd, memoryview(data), until, is_begun=False):
                raise OSError(EAGAIN, "it is read too slowly" if self._rest else "nobody reads it")

    def _write(self, fd: int, data: memoryview, until: float, *, is_begun: bool) -> bool:
        """Whether anything is left over by then: of what was begun it is kept."""
        size = len(data)
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        try:
            while data and poll.poll(max(0.0, until - self._clock()) * 1000):
                try:
                    data = data[os.write(fd, data[:_PIECE_BYTES]) :]
                except BlockingIOError:  # Somebody else was faster.
                    if self._clock() >= until:
                        break
        except BrokenPipeError:
            data = data[:0]  # A reader that is gone has no use for the rest.
            raise
        finally:
            self._rest = data if is_begun or len(data) < size else data[:0]
            self._is_stuck = bool(data)
        return self._is_stuck


class KeptStdout:
    """All reports in memory, for a command that prints them as its answer once they are made; for any thread."""

    def __init__(self) -> None:
        self.reports: list[bytes] = []

    def put(self, data: bytes) -> None:
        """Never fails."""
        self.reports.append(data)
