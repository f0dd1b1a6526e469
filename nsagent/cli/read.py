"""One pass as a process makes it: with runtimes to ask, an end by Ctrl-C or SIGTERM, and a word on the terminal."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Protocol, TypeVar

from nsagent.cli.options import Host
from nsagent.cli.tell import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsagent.runtimes.runtimes import Runtimes
    from nsagent.scan.request import SnapshotRequest

T = TypeVar("T", covariant=True)


class Take(Protocol[T]):
    """scan.take.take_snapshot, or take_facts."""

    def __call__(
        self,
        request: "SnapshotRequest",
        runtimes: "Runtimes | None",
        *,
        clock: "Callable[[], float]",
        stop: threading.Event | None,
    ) -> T: ...


def read(take: Take[T], request: "SnapshotRequest", host: Host, *, labels_wanted: bool) -> T:
    """What `take` gives for the request; raises NsagentError, and KeyboardInterrupt on Ctrl-C and SIGTERM.

    `labels_wanted`: the labels of containers too, even if only CRI can tell them.
    """
    if request.from_file is not None:
        return take(request, None, clock=time.monotonic, stop=None)
    from nsagent.runtimes.discover import discover_runtimes

    runtimes = discover_runtimes(
        host.runtime,
        os.environ,
        os.path.abspath(host.host_root),
        clock=time.monotonic,
        labels_wanted=labels_wanted,
    )
    with (
        _progress_on_terminal("reading processes and tables ..."),
        _interruptible() as stop,
        closing(runtimes),
    ):
        return take(request, runtimes, clock=time.monotonic, stop=stop)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """SIGTERM and Ctrl-C end a pass between two reads, with everything closed.

    The exception wakes who waits; the event stays set where the interpreter swallows the
    exception, as it does in a finalizer.
    """
    stop = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress_on_terminal(text: str) -> Iterator[None]:
    """Say what takes so long, after a second and only to a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(1.0, lambda: tell(f"\r{text}", end=""))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if timer.finished.is_set():
            tell("\r\x1b[K", end="")
