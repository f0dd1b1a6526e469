"""A terminal on which a program runs, and what is to be seen on it."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import coverage
import pyte

from tests.cli.test_app import environment

_PATIENCE_SECONDS = 120.0
_ROOT = Path(__file__).parents[3]


def _measure() -> dict[str, str]:
    """What has a program's coverage measured, and put beside that of the tests, if theirs is."""
    if coverage.Coverage.current() is None:
        return {}
    rules = Path(__file__).with_name("coverage.ini")
    return {"COVERAGE_PROCESS_START": os.fspath(rules), "COVERAGE_FILE": os.fspath(_ROOT / ".coverage")}


class Terminal:
    """One of `lines` and `columns`, which is the controlling one of its program; used as a context manager.

    The emulator does all that terminfo says of `linux`; of xterm it lacks ways to scroll, and the second screen.
    """

    def __init__(self, command: Sequence[str], lines: int = 12, columns: int = 100, **settings: str | None) -> None:
        self.told = b""
        """All that was written."""
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._master, slave = pty.openpty()
        self._resize(lines, columns)
        self.before = self.settings
        env = {**environment(), **_measure(), "LC_ALL": "C.UTF-8", "TERM": "linux", **settings}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            env.pop(name, None) if name not in settings else None
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={name: value for name, value in env.items() if value is not None},
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._master >= 0:
            os.close(self._master)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def settings(self) -> list[Any]:
        """Those of the line discipline, as in termios(3)."""
        return termios.tcgetattr(self._master)

    @property
    def lines(self) -> list[str]:
        """The text of each line, without spaces at its end."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def cursor(self) -> tuple[int, int] | None:
        """(line, column), None where it is hidden."""
        cursor = self._screen.cursor
        return None if cursor.hidden else (cursor.y, cursor.x)

    def styles(self, line: int) -> set[tuple[str, bool, bool]]:
        """(colour, bold, reverse) of all that is no space in a line."""
        cells = self._screen.buffer[line].values()
        return {(cell.fg, cell.bold, cell.reverse) for cell in cells if cell.data.strip()}

    def find(self, text: str) -> int | None:
        """The number of the first line with this text."""
        return next((place for place, line in enumerate(self.lines) if text in line), None)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def resize(self, lines: int, columns: int) -> None:
        self._screen.resize(lines, columns)
        self._resize(lines, columns)

    def wait_for(self, seen: "Callable[[Terminal], object] | str") -> None:
        """Read until the text is there, or `seen` says so; raises AssertionError with what is there instead."""
        is_there = (lambda terminal: seen in terminal.text) if isinstance(seen, str) else seen
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not is_there(self):
            assert time.monotonic() < deadline, self.text
            assert self._read(1.0), f"it has ended with {self._process.wait()}: {self.text}"

    def end(self) -> int:
        """The exit status, once all that was written has been read."""
        while self._read(_PATIENCE_SECONDS):
            pass
        return self._process.wait(_PATIENCE_SECONDS)

    def hang_up(self) -> int:
        """Take the terminal away; the exit status of its program."""
        os.close(self._master)
        self._master = -1
        return self._process.wait(_PATIENCE_SECONDS)

    def is_whole(self) -> bool:
        """Whether a shell finds it as it left it: its settings, its own screen, the cursor."""
        on_own_screen = self.told.rfind(b"\x1b[?1049l") >= self.told.rfind(b"\x1b[?1049h")
        return self.settings == self.before and on_own_screen and self.cursor is not None

    def _read(self, seconds: float) -> bool:
        """Read what is there, after so long at most; False where nobody has the other end open any more."""
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        if poll.poll(seconds * 1000):
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # EIO
                return False
            self.told += data
            self._stream.feed(data)
        return True

    def _resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
