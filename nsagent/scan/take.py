"""A snapshot: one pass over this host, or a capture of one, and what it means. The one way to it for all callers.

Who calls it brings what is of a process as a whole: clocks, the runtimes that are asked for names,
and what ends a pass early.
"""

import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nsagent.errors import CaptureError
from nsagent.kernel.formats.release import is_at_least
from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.facts import Facts
from nsagent.model.net import Protocol, SocketState
from nsagent.model.snapshot import Snapshot
from nsagent.scan.capture_file import read_capture, write_capture
from nsagent.scan.laps import Lap
from nsagent.scan.plan import PROTOCOLS
from nsagent.scan.request import SnapshotRequest

if TYPE_CHECKING:
    from nsagent.model.lacking import Lacking
    from nsagent.runtimes.runtimes import Runtimes
    from nsagent.scan.collect.carried import Carried
    from nsagent.scan.progress import Progress


class Taken(NamedTuple):
    """A snapshot, all facts of its pass, and what was asked for and is not in there."""

    snapshot: Snapshot
    facts: Facts
    lacking: "tuple[Lacking, ...]" = ()
    not_kept: CaptureError | None = None
    """Why the capture asked for could not be written."""


def take_snapshot(
    request: SnapshotRequest,
    runtimes: "Runtimes | None",
    *,
    clock: Callable[[], float],
    stop: threading.Event | None = None,
    carried: "Carried | None" = None,
    progress: "Progress | None" = None,
) -> Taken:
    """What the facts asked for mean; see take_facts. Raises CaptureError for an earlier pass that does not fit, too.

    A capture that cannot be written costs no answer: Taken says why.
    """
    from nsagent.scan.attribute import attribute
    from nsagent.scan.memory import Memory, remember
    from nsagent.scan.ports import narrow_to_ports

    facts = take_facts(
        replace(request, capture=None), runtimes, clock=clock, stop=stop, carried=carried, progress=progress
    )
    not_kept = _keep(facts, request.capture)
    memory = carried.recall() if carried else Memory()
    if request.since:
        earlier = _read_earlier(request.since, facts)
        memory = remember(earlier, attribute(earlier))
    concerned = facts if request.ports is None else narrow_to_ports(facts, request.ports)
    snapshot = attribute(concerned, memory, carried.decoder if carried else None)
    if carried:
        carried.memory = remember(facts, snapshot, memory)
        if carried.laps:
            carried.laps.end(Lap.ATTRIBUTE)
    lacking = _list_lacking(request, facts, snapshot) if request.from_file else _list_untold(request, facts, snapshot)
    return Taken(snapshot, facts, tuple(lacking), not_kept)


def _keep(facts: Facts, path: Path | None) -> CaptureError | None:
    try:
        if path is not None:
            write_capture(facts, path)
    except CaptureError as err:
        return err
    return None


def take_facts(
    request: SnapshotRequest,
    runtimes: "Runtimes | None",
    *,
    clock: Callable[[], float],
    stop: threading.Event | None = None,
    carried: "Carried | None" = None,
    progress: "Progress | None" = None,
) -> Facts:
    """The facts asked for, kept in a file too if the request says so.

    `runtimes` are asked for names, and are left open; None asks nobody, as where a capture is read. Who makes
    one pass after another for the same request, but for when it starts, hands on what is `carried`.
    `progress` can be looked at meanwhile.
    `clock` is monotonic, in seconds. A pass raises the process's soft limit of open files to the
    hard one. Raises CaptureError, and what scan.collect raises: Aborted soon after `stop` is set.
    """
    if request.from_file is None:
        facts = _pass_over_host(request, runtimes, clock, stop, carried, progress)
    else:
        facts = _read_captured(request.from_file, request.captured)
        if request.owners is OwnersWanted.CONTAINER:
            # What its fds tell is not asked for.
            facts = facts._replace(owners=request.owners)
    if request.capture:
        write_capture(facts, request.capture)
    return facts


def raise_fd_limit() -> None:
    """Raise the soft limit of open files to the hard one: a pass holds an fd or two for each netns."""
    with suppress(OSError, ValueError):  # With fewer of them a pass lets go of netns that it has read.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _pass_over_host(
    request: SnapshotRequest,
    runtimes: "Runtimes | None",
    clock: Callable[[], float],
    stop: threading.Event | None,
    carried: "Carried | None",
    progress: "Progress | None",
) -> Facts:
    from nsagent.runtimes.runtimes import Runtimes
    from nsagent.scan.collect import collect

    only = request.only
    narrow = only is not None and (only.chooses_containers or bool(only.pids))
    if request.since or request.owners is OwnersWanted.CONTAINER or not narrow:
        # What an earlier pass remembers, and what a container has made, may stand in any netns.
        only = None
    raise_fd_limit()
    tables = request.tables._replace(protocols=request.tables.protocols.union(PROTOCOLS))
    request = replace(request, tables=tables, only=only)
    runtimes = runtimes or Runtimes([], clock=clock)
    return collect(request, runtimes, clock=clock, stop=stop, carried=carried, progress=progress)


def _read_captured(path: Path, data: bytes | None) -> Facts:
    if data is None:
        return read_capture(path)
    from nsagent.scan.capture import decode_capture

    return decode_capture(data, str(path))


def _read_earlier(path: Path, facts: Facts) -> Facts:
    """The facts of an earlier pass over the host of `facts`.

    Raises CaptureError, which names both passes, for those of another boot or of a later time.
    """
    earlier = read_capture(path)
    if earlier.boot_id != facts.boot_id:
        raise CaptureError(f"{path}: is of boot {earlier.boot_id}, this pass of boot {facts.boot_id}")
    if earlier.taken_at_ns > facts.taken_at_ns:
        raise CaptureError(f"{path}: was taken at {_when(earlier)}, this pass earlier, at {_when(facts)}")
    return earlier


def _list_lacking(request: SnapshotRequest, facts: Facts, snapshot: Snapshot) -> "Iterator[Lacking]":
    from nsagent.model.lacking import Lacking, LackingKind

    wanted = request.tables
    if missing := tuple(each for each in Protocol if each in wanted.protocols and each not in facts.protocols):
        yield Lacking(LackingKind.TABLES, missing)
    if wanted.deep:
        yield from _list_untold_idle(facts, snapshot) if facts.deep else (Lacking(LackingKind.IDLE_SOCKETS),)
    if facts.owners is not request.owners:
        yield Lacking(LackingKind.OWNERS)
    if request.interfaces and facts.netns and all(one.interfaces is None for one in facts.netns):
        yield Lacking(LackingKind.INTERFACES)
    if skipped := sum(one.skipped for one in facts.netns):
        yield Lacking(LackingKind.NETNS, skipped=skipped, seen=len(facts.netns))
    if wanted.tcp_info and not any(socket.row.tcp_info for socket in snapshot.sockets):
        yield Lacking(LackingKind.TCP_INFO)


def _list_untold(request: SnapshotRequest, facts: Facts, snapshot: Snapshot) -> "Iterator[Lacking]":
    """What the kernel, or the engine that read a netns, cannot tell, though it was asked for."""
    wanted = request.tables
    if wanted.deep:
        yield from _list_untold_idle(facts, snapshot)
    if wanted.tcp_info and (by_proc := _count_by_proc(facts)):
        from nsagent.model.lacking import Lacking, LackingKind

        yield Lacking(LackingKind.TCP_INFO, skipped=by_proc, seen=len(facts.netns))


def _list_untold_idle(facts: Facts, snapshot: Snapshot) -> "Iterator[Lacking]":
    """Of which netns a deep pass cannot show sockets that are bound and do nothing; of all before Linux 6.8.

    The kernel of a distribution may have learned it earlier: then it shows one where there is one.
    """
    from nsagent.model.lacking import Lacking, LackingKind

    known = is_at_least(facts.kernel_release, 6, 8)
    known = known or any(socket.row.state is SocketState.BOUND_INACTIVE for socket in snapshot.sockets)
    if untold := _count_by_proc(facts) if known else len(facts.netns):
        yield Lacking(LackingKind.IDLE_SOCKETS, skipped=untold, seen=len(facts.netns))


def _count_by_proc(facts: Facts) -> int:
    """How many netns were read from the files of /proc."""
    return sum(one.engine is EngineName.PROC and not one.empty for one in facts.netns)


def _when(facts: Facts) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts.taken_at_ns // 1_000_000_000))
