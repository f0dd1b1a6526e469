"""Waiting for fds in a way that any other thread can end."""

import os
import select
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from errno import errorcode

from nsagent.errors import EventsUnavailable, Reason
from nsagent.kernel.libc import close_fd


class Waiter:
    """For any number of threads, and of tasks of asyncio, at once."""

    def __init__(self, fds: Iterable[int]) -> None:
        """Raises EventsUnavailable where no fds of its own are to be had."""
        with ExitStack() as opened:
            try:
                self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                opened.callback(close_fd, self._wake)
                self._poll = opened.enter_context(select.epoll())
                for fd in (self._wake, *fds):
                    self._poll.register(fd, select.EPOLLIN)
            except OSError as err:
                name = errorcode.get(err.errno or 0, str(err))
                raise EventsUnavailable(f"events cannot be waited for: {name}", Reason.FAILED, name) from err
            opened.pop_all()
        self._lock = threading.RLock()
        """Guards what follows. A signal handler may close what its thread is about to wait for."""
        self._closed = self._is_ready = False
        self._waiting = 0

    def fileno(self) -> int:
        """An fd that can be read from when one of them can be, something is ready, or this is closed."""
        return self._poll.fileno()

    def set_ready(self, is_ready: bool) -> None:
        """Whether nobody has to wait: what they would wait for has been read by somebody else."""
        with self._lock:
            if is_ready is self._is_ready or self._closed:
                return
            self._is_ready = is_ready
            if is_ready:
                os.eventfd_write(self._wake, 1)
            else:
                os.eventfd_read(self._wake)

    def wait(self, seconds: float | None) -> bool:
        """Wait until one of them can be read from, or so long; whether this is not closed."""
        if not self._begin():
            return False
        try:
            self._poll.poll(seconds)
        finally:
            self._end()
        return not self._closed

    async def wait_async(self, seconds: float) -> bool:
        """The same, in a task."""
        import asyncio

        if not self._begin():
            return False
        try:
            loop, readable = asyncio.get_running_loop(), asyncio.Event()
            own = os.dup(self._poll.fileno())  # A loop has one reader for an fd, and several tasks may wait.
            loop.add_reader(own, readable.set)
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await readable.wait()
            finally:
                loop.remove_reader(own)
                close_fd(own)
        finally:
            self._end()
        return not self._closed

    def close(self) -> None:
        """Have nobody wait any more."""
        with self._lock:
            if not self._closed:
                self.set_ready(True)
                self._closed = True
                self._let_go()

    def _begin(self) -> bool:
        """Whether there is something to wait for: its fds then stay open until this waiting has ended."""
        with self._lock:
            self._waiting += not self._closed
            return not self._closed

    def _end(self) -> None:
        with self._lock:
            self._waiting -= 1
            self._let_go()

    def _let_go(self) -> None:
        """Close the fds that were waited for, once nobody does: their numbers may be somebody else's at once."""
        if self._closed and not self._waiting:
            self._poll.close()
            close_fd(self._wake)
