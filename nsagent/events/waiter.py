"""Waiting for fds in a way that any other thread can end."""

import os
import select
import threading
from collections.abc import Iterable

from nsagent.kernel.libc import close_fd


class Waiter:
    """For any number of threads at once."""

    def __init__(self, fds: Iterable[int]) -> None:
        self._end, self._poll = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), select.epoll()
        for fd in (self._end, *fds):
            self._poll.register(fd, select.EPOLLIN)
        self._lock = threading.Lock()
        """Guards what follows."""
        self._closed = False
        self._waiting = 0

    def fileno(self) -> int:
        """An fd that can be read from when one of them can be, or this is closed."""
        return self._poll.fileno()

    def wait(self, seconds: float | None) -> bool:
        """Wait until one of them can be read from, or so long; whether this is not closed."""
        with self._lock:
            if self._closed:
                return False
            self._waiting += 1
        try:
            self._poll.poll(seconds)
        finally:
            with self._lock:
                self._waiting -= 1
                self._let_go()
        return not self._closed

    def close(self) -> None:
        """Have nobody wait any more."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.eventfd_write(self._end, 1)
                self._let_go()

    def _let_go(self) -> None:
        """Close the fds that were waited for, once nobody does: their numbers may be somebody else's at once."""
        if self._closed and not self._waiting:
            self._poll.close()
            close_fd(self._end)
