"""One pass as a process makes it: with runtimes to ask, an end by Ctrl-C or SIGTERM, and a word on the terminal."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from nsagent.cli.options import Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsagent.runtimes.runtimes import Runtimes
    from nsagent.scan.progress import Progress
    from nsagent.scan.request import SnapshotRequest

T = TypeVar("T", covariant=True)

_RESERVE_BYTES: Final = 4 << 20
"""Let go of at the end of a pass, be it for want of memory: CPython 3.11 may raise and catch a MemoryError for ever
where none at all is left for what is to be done then. It is never touched, and takes no memory but of a limit."""


class Take(Protocol[T]):
    """scan.take.take_snapshot, or take_facts."""

    def __call__(
        self,
        request: "SnapshotRequest",
        runtimes: "Runtimes | None",
        *,
        clock: "Callable[[], float]",
        stop: threading.Event | None,
        progress: "Progress | None" = None,
    ) -> T: ...


def read(take: Take[T], request: "SnapshotRequest", host: Host, *, labels_wanted: bool) -> T:
    """What `take` gives for the request; raises NsagentError, and KeyboardInterrupt on Ctrl-C and SIGTERM.

    `labels_wanted`: the labels of containers too, even if only CRI can tell them.
    """
    if request.from_file is not None:
        return take(request, None, clock=time.monotonic, stop=None)
    from nsagent.cli.progress import progress_on_terminal

    runtimes = discover(host, labels_wanted=labels_wanted)
    with (
        progress_on_terminal() as progress,
        interruptible() as stop,
        closing(runtimes),
    ):
        return take(request, runtimes, clock=time.monotonic, stop=stop, progress=progress)


def discover(host: Host, *, labels_wanted: bool, follow: bool = False) -> "Runtimes":
    """What is asked for names on this host; `follow` as in Runtimes."""
    from nsagent.runtimes.discover import discover_runtimes

    return discover_runtimes(
        host.runtime,
        os.environ,
        os.path.abspath(host.host_root),
        clock=time.monotonic,
        labels_wanted=labels_wanted,
        follow=follow,
    )


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """SIGTERM and Ctrl-C end a pass between two reads, with everything closed.

    The exception wakes who waits; the event stays set where the interpreter swallows the
    exception, as it does in a finalizer.
    """
    stop = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    reserve = bytearray(_RESERVE_BYTES)
    try:
        yield stop
    finally:
        del reserve
        for number, handler in before.items():
            signal.signal(number, handler)
