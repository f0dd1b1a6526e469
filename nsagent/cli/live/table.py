"""The live table: a screen, passes and keys, and who waits for whom."""

import select
import signal
import sys
import time
from contextlib import ExitStack, closing
from typing import Final

import typer

from nsagent.cli.answer import explained
from nsagent.cli.live.frame import find_first, make_frame
from nsagent.cli.live.look import Arranged, Look, TypedFilter, Window, arrange, fit_window, is_around, read_filter
from nsagent.cli.live.passes import Passes, Watched
from nsagent.cli.live.screen import Screen, check_terminal, open_screen
from nsagent.cli.live.signals import ENDING, Waking, hear_signals, stop_process
from nsagent.cli.live.state import Shown, State, press
from nsagent.errors import EXIT_PARTIAL, Aborted, UsageError
from nsagent.kernel.heap import share_heap
from nsagent.model.choices import OutputFormat

_TICK_MS: Final = 1000
"""How often a pass that takes long is told."""


def watch(watched: Watched) -> None:
    """Show what `watched` is about until somebody ends it.

    Raises UsageError where there is no screen, what the first pass raises, Aborted for a signal of ENDING,
    and typer.Exit with the status that --strict asks for.
    """
    check_terminal()
    share_heap()
    look = Look(watched.output.sort_by, wide=watched.output.format is OutputFormat.WIDE)
    with explained(watched.source), ExitStack() as stack:
        waking = stack.enter_context(hear_signals())
        passes = stack.enter_context(closing(Passes(watched, look, waking.wake, time.monotonic)))
        screen = stack.enter_context(open_screen())
        arranged = _LiveTable(watched, look, passes, screen, waking).run()
    if watched.strict and arranged is not None and arranged.seen.partial:
        raise typer.Exit(EXIT_PARTIAL)


class _LiveTable:
    """What is shown at this moment."""

    def __init__(self, watched: Watched, look: Look, passes: Passes, screen: Screen, waking: Waking) -> None:
        self._watched, self._passes, self._screen, self._waking = watched, passes, screen, waking
        self._state, self._shown = State(look), Shown()
        self._arranged: Arranged | None = None
        self._window: tuple[Arranged, int, Window] | None = None
        """The last one, what it is of, and how many columns the screen had."""

    def run(self) -> Arranged | None:
        """Until a key ends it: what was shown last. Raises Aborted for a signal that does."""
        poll = select.poll()
        poll.register(sys.stdin.fileno(), select.POLLIN)
        poll.register(self._waking.fd, select.POLLIN)
        self._passes.start()
        while not self._state.ended:
            self._paint()
            ready = dict(poll.poll(_TICK_MS))
            self._screen.check_there(ready.get(sys.stdin.fileno(), 0))
            self._follow_signals()
            self._take_passes()
            self._press_keys()
        return self._arranged

    def _follow_signals(self) -> None:
        for number in self._waking.take():
            if number in ENDING:
                raise Aborted("interrupted")
            if number == signal.SIGWINCH:
                self._screen.resize()
            elif number == signal.SIGTSTP:
                self._screen.leave()
                stop_process()
            elif number == signal.SIGCONT:
                self._screen.take_back()

    def _take_passes(self) -> None:
        while (made := self._passes.take()) is not None:
            if not self._state.paused:
                self._arranged = made

    def _press_keys(self) -> None:
        for key in self._screen.read_keys():
            self._state = press(self._state, key, self._shown, self._read_filter)
        self._passes.look = self._state.look
        self._passes.pause(paused=self._state.paused)

    def _paint(self) -> None:
        state, output, size = self._state, self._watched.output, self._screen.size
        arranged = self._arranged
        if arranged is not None and arranged.look != state.look:
            arranged = self._arranged = arrange(arranged.seen, state.look, self._watched.view, output)
        window = None if arranged is None else self._fit(arranged, size.columns)
        frame = make_frame(arranged, window, state, size, output, waiting=self._passes.tell_late())
        self._shown = frame.shown
        self._screen.paint(frame)

    def _fit(self, arranged: Arranged, columns: int) -> Window:
        """The rows around the topmost one, laid out for so many columns."""
        first = find_first(self._state, len(arranged.table.rows), self._shown.page)
        if self._window is not None:
            known, width, window = self._window
            if known is arranged and width == columns and is_around(window, first):
                return window
        window = fit_window(arranged, first, columns, self._watched.output)
        self._window = arranged, columns, window
        return window

    def _read_filter(self, text: str) -> TypedFilter:
        if self._arranged is None:
            raise UsageError("nothing has been read yet")
        return read_filter(text, self._arranged.seen)
