"""Signals as things that are heard in the order in which they came, between two keys and never in the middle of one."""

import os
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Those that end the table: Ctrl-C is the first, Ctrl-\\ the last. By itself none would give the terminal back."""

_HEARD: Final = (*ENDING, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


class Waking:
    """Signals that have come, and an fd to wait at: it is readable after each, and after `wake`."""

    def __init__(self, fd: int, writing: int) -> None:
        self.fd = fd
        self.heard: deque[int] = deque()
        self._writing = writing

    def wake(self) -> None:
        """Have whoever waits look; any thread may call it, also one that is left behind when nobody waits any more."""
        with suppress(OSError):  # Also where there is enough to be read.
            os.write(self._writing, b"\0")

    def close(self) -> None:
        """Nobody waits any more."""
        writing, self._writing = self._writing, -1
        os.close(self.fd)
        os.close(writing)

    def take(self) -> list[int]:
        """The signals that have come since."""
        with suppress(BlockingIOError):
            while os.read(self.fd, 4096):
                pass
        heard = list(self.heard)
        self.heard.clear()
        return heard


@contextmanager
def hear_signals() -> Iterator[Waking]:
    """Those of a terminal, SIGTERM and SIGHUP; before a screen is opened, as ncurses takes those that nobody has."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    waking = Waking(reading, writing)
    before = {number: signal.signal(number, lambda number, _: waking.heard.append(number)) for number in _HEARD}
    fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield waking
    finally:
        signal.set_wakeup_fd(fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        waking.close()


def stop_process() -> None:
    """Stop as Ctrl-Z stops a program that knows nothing of it, and return once somebody has it go on."""
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        signal.raise_signal(signal.SIGTSTP)
    finally:
        signal.signal(signal.SIGTSTP, before)
