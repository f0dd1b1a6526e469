"""The terminal as a screen: curses, which sends it no more than what has changed.

Source: ncurses(3X), terminfo(5). What is on the screen is decided elsewhere.
"""

import locale
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from nsagent.cli.live.frame import Frame, Size, Style
from nsagent.errors import Aborted, OutputFailed, UsageError

if TYPE_CHECKING:
    import curses

_ESCAPE_MS: Final = 100
"""How long ESC may be the beginning of a longer key."""

_GONE: Final = "the terminal is gone"

_NAMES: Final = {
    "KEY_UP": "up",
    "KEY_DOWN": "down",
    "KEY_LEFT": "left",
    "KEY_RIGHT": "right",
    "KEY_PPAGE": "page_up",
    "KEY_NPAGE": "page_down",
    "KEY_HOME": "home",
    "KEY_END": "end",
    "KEY_ENTER": "enter",
    "KEY_BACKSPACE": "backspace",
    "KEY_DC": "delete",
    "\n": "enter",
    "\r": "enter",
    "\x1b": "escape",
    "\x7f": "backspace",
    "\b": "backspace",
}
"""What curses calls a key, or what it sends -> its name in live.state."""


def check_terminal() -> None:
    """Raises UsageError where there is none that can be a screen, and OutputFailed where Python lacks curses."""
    for name, stream in (("stdout", sys.stdout), ("stdin", sys.stdin)):
        if not stream.isatty():
            raise UsageError(f"--watch: {name} is no terminal: use nsagent watch, which prints events in pipes too")
    try:
        import curses
    except ImportError as err:
        raise OutputFailed("--watch needs curses, without which this Python was built: use nsagent watch") from err
    term = os.environ.get("TERM", "")
    try:
        curses.setupterm(term, sys.stdout.fileno())
    except curses.error as err:
        raise UsageError(f"--watch: no terminal known here is of TERM {term!r}: most are xterm-256color") from err
    if not curses.tigetstr("cup"):
        raise UsageError(f"--watch: a terminal of TERM {term!r} has no places to write at: use nsagent watch")


class Screen:
    """What is painted, and the keys that were pressed."""

    def __init__(self, window: "curses.window") -> None:
        import curses

        self._curses, self._window = curses, window
        self._encoding = locale.getencoding()
        self._attributes = {"": 0, "1": curses.A_BOLD, "2": curses.A_DIM}
        if curses.has_colors():
            curses.start_color()
            curses.use_default_colors()
            curses.init_pair(1, curses.COLOR_GREEN, -1)
            self._attributes["32"] = curses.color_pair(1)

    @property
    def size(self) -> Size:
        """As it was when the terminal last said."""
        return Size(*self._window.getmaxyx())

    def paint(self, frame: Frame) -> None:
        """Show this, and nothing else."""
        self._window.erase()
        for place, line in enumerate(frame.lines):
            for span in line:
                self._put(place, span.column, span.text, span.style)
        with suppress(self._curses.error):  # A terminal may have no invisible cursor.
            self._curses.curs_set(0 if frame.cursor is None else 1)
        if frame.cursor is not None:
            with suppress(self._curses.error):
                self._window.move(*frame.cursor)
        self._window.refresh()

    def _put(self, line: int, column: int, text: str, style: Style) -> None:
        attributes = self._attributes.get(style.sgr, 0)
        attributes |= self._curses.A_BOLD if style.bold else 0
        attributes |= self._curses.A_REVERSE if style.reverse else 0
        # A locale without the ellipsis of a cut cell.
        text = text.encode(self._encoding, "replace").decode(self._encoding)
        # Text that ends in the last corner is written, and an error: there is no place for the cursor behind it.
        with suppress(self._curses.error):
            self._window.addstr(line, column, text, attributes)

    def check_there(self, events: int) -> None:
        """Raises Aborted where what poll(2) tells of stdin says that the terminal is not there any more."""
        if events & ~select.POLLIN:
            raise Aborted(_GONE)

    def read_keys(self) -> list[str]:
        """The keys that have been pressed, by their names in live.state; [] where there is none."""
        keys = []
        with suppress(self._curses.error):  # There is none any more.
            while True:
                key = self._window.get_wch()
                name = key if isinstance(key, str) else self._curses.keyname(key).decode()
                keys.append(_NAMES.get(name, name))
        return keys

    def resize(self) -> None:
        """Take the size that the terminal has now."""
        try:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
        except OSError as err:
            raise Aborted(_GONE) from err
        if lines and columns:  # A serial line tells none, and keeps what terminfo says.
            self._curses.resizeterm(lines, columns)
        self._window.clearok(True)

    def leave(self) -> None:
        """Give the terminal back as it was, until something is painted."""
        self._curses.endwin()

    def take_back(self) -> None:
        """Take the terminal as a screen, whatever others made of it meanwhile."""
        self._curses.endwin()
        self._window.refresh()
        self.resize()


@contextmanager
def open_screen() -> Iterator[Screen]:
    """The terminal as a screen, see check_terminal; afterwards it is as it was. Raises Aborted where it goes away."""
    import curses

    locale.setlocale(locale.LC_CTYPE, "")  # By this ncurses knows how characters are encoded.
    window = curses.initscr()
    try:
        curses.noecho()
        curses.cbreak()
        curses.set_escdelay(_ESCAPE_MS)
        window.keypad(True)
        window.nodelay(True)
        yield Screen(window)
    except curses.error as err:
        raise Aborted(_GONE) from err
    finally:
        with suppress(curses.error):
            curses.endwin()
