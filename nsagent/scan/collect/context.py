"""What all stages of one pass share: what is asked for, what is read, where gaps go, and when to stop."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from nsagent.kernel.host_mounts import find_host_mounts
from nsagent.kernel.lookups import Lookups
from nsagent.kernel.procfs import ProcFs
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.netns import MetNetns, NetnsRegistry
from nsagent.scan.collect.read import TableReader
from nsagent.scan.collect.room import Room
from nsagent.scan.request import PassRequest


class PassContext(NamedTuple):
    """One pass."""

    request: PassRequest
    procfs: ProcFs
    live: bool
    """The procfs is one of the running kernel."""
    registry: NetnsRegistry
    reader: TableReader
    room: Room
    gaps: GapSink
    lookups: Lookups
    """What opens netns in foreign mount namespaces, pass after pass."""
    clock: Callable[[], float]
    """Monotonic, in seconds."""
    stop: threading.Event


@contextmanager
def open_context(
    request: PassRequest,
    procfs: ProcFs,
    tell_met: Callable[[MetNetns], object],
    *,
    live: bool,
    lookups: Lookups,
    clock: Callable[[], float],
    stop: threading.Event,
) -> Iterator[PassContext]:
    """The context of a pass; lets go of every netns and every socket in one at its end.

    `tell_met` is told each netns when it is first seen, by the thread that sees it.
    """
    gaps = GapSink()
    room = Room(stop, reads_later=request.only is not None)
    with (
        TableReader(procfs, request.engine, request.tables, room, gaps, may_enter=live, stop=stop) as reader,
        NetnsRegistry(room, gaps, tell_met, find_host_mounts(procfs, request.host_root)) as registry,
    ):
        yield PassContext(request, procfs, live, registry, reader, room, gaps, lookups, clock, stop)
