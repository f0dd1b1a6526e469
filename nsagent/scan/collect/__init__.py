"""One pass over a host: processes, netns, tables, names. The only place where kernel and runtimes meet.

What cannot be read becomes a Gap; nothing is decided here. One thread walks the processes while
another reads the tables of each netns as it is met. Rows that nobody was seen to hold are then
looked up again, which drops what has closed, and looked for in the processes again, which finds
what was opened or handed on behind the back of the walk.
"""

import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from nsagent.errors import Aborted, EngineUnavailable
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.netns import read_own_netns
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.threads import run_in_threads
from nsagent.model.choices import EngineName
from nsagent.model.facts import Facts, ProcessReading
from nsagent.model.ids import SocketInode
from nsagent.runtimes.engines import Engines
from nsagent.scan.collect.interfaces import read_interfaces
from nsagent.scan.collect.netns import MetNetns, NetnsRegistry
from nsagent.scan.collect.processes import Walk, see_threads, walk_for, walk_processes
from nsagent.scan.collect.tables import TableReader, Unheld
from nsagent.scan.plan import MAX_ROUNDS, plan_next_round


@dataclass(frozen=True, slots=True)
class PassRequest:
    """What one pass is asked for.

    `host` is what the host is called, `started_at_ns` the wall clock in ns since the epoch.
    `interfaces`: read the interfaces of every netns too.
    """

    host: str
    started_at_ns: int
    proc_root: str = "/proc"
    engine: EngineName = EngineName.AUTO
    interfaces: bool = False


def collect(
    request: PassRequest, engines: Engines, *, clock: Callable[[], float], stop: threading.Event | None = None
) -> Facts:
    """The facts of one pass; `clock` is monotonic, in seconds.

    Raises EngineUnavailable if the engine asked for cannot work at all, AccessDenied or ReadFailed
    if the procfs itself cannot be read, and Aborted soon after `stop` is set. Leaves no fd, netns
    or thread behind but the engines' own.
    """
    started = clock()
    stop = stop or threading.Event()
    procfs = ProcFs(request.proc_root)
    live = procfs.is_live()
    if request.engine is EngineName.SOCK_DIAG and not live:
        raise EngineUnavailable(
            f"engine sock_diag: {procfs.root} is no procfs of the running kernel; use --engine proc"
        )
    met: SimpleQueue[MetNetns | None] = SimpleQueue()
    with (
        closing(engines),
        NetnsRegistry(met.put) as registry,
        TableReader(procfs, request.engine, may_enter=live, stop=stop) as reader,
    ):
        engines.start()
        walk = _walk_and_read(procfs, registry, reader, met, stop)
        rewalked = _find_missing_owners(procfs, registry, reader, walk, stop)
        host_inode, host_key = _find_host(walk, live=live)
        if request.interfaces and live:
            reader.gaps += read_interfaces(reader.netns, host_inode, procfs.root, stop)
        netns = reader.readings(host_inode, host_key)
        if stop.is_set():
            raise Aborted("interrupted")
        containers, name_gaps, sources = engines.collect()
        return Facts(
            host=request.host,
            boot_id=procfs.read_boot_id(),
            byteorder=sys.byteorder,
            taken_at_ns=request.started_at_ns,
            duration_seconds=round(clock() - started, 6),
            engine=request.engine,
            processes=(*walk.readings, *rewalked),
            process_counts=walk.counts(),
            netns=netns,
            containers=containers,
            sources=("cgroup paths", *sources),
            gaps=(*walk.gaps, *registry.gaps, *reader.gaps, *name_gaps),
        )


def _walk_and_read(
    procfs: ProcFs,
    registry: NetnsRegistry,
    reader: TableReader,
    met: SimpleQueue[MetNetns | None],
    stop: threading.Event,
) -> Walk:
    """Walk the processes, while the tables of each netns that this meets are read."""
    walks: list[Walk] = []

    def walk() -> None:
        try:
            walks.append(walk_processes(procfs, registry, stop))
        finally:
            met.put(None)

    run_in_threads([walk, lambda: reader.read(iter(met.get, None))], stop)
    reader.read_rest(registry.list_met())
    return walks[0]


def _read_netns_of_threads(
    procfs: ProcFs, registry: NetnsRegistry, reader: TableReader, walk: Walk, stop: threading.Event
) -> bool:
    """Where a process with threads holds sockets that are in no table, a thread may be in a netns of its own.

    Says whether that led to a netns which had not been read.
    """
    suspects = [
        reading
        for reading in walk.readings
        if reading.threads > 1 and any(inode not in reader.listed for _, inode in reading.socket_fds or ())
    ]
    walk.gaps += see_threads(procfs, registry, suspects)
    known = {id(one.met) for one in reader.netns}
    found = [met for met in registry.list_met() if id(met) not in known]
    if found:
        run_in_threads([partial(reader.read, found)], stop)
        reader.read_rest(found)
    return bool(found)


def _find_missing_owners(
    procfs: ProcFs, registry: NetnsRegistry, reader: TableReader, walk: Walk, stop: threading.Event
) -> list[ProcessReading]:
    """Look rows without an owner up again, to drop what has closed meanwhile; walk again for those that have not.

    A row whose uid is that of no readable process is left alone if processes were denied: it
    belongs to one of them.
    """
    held = {inode for reading in walk.readings for _, inode in reading.socket_fds or ()}
    unheld = reader.list_unheld(held)
    if _read_netns_of_threads(procfs, registry, reader, walk, stop):
        unheld = reader.list_unheld(held)
    if walk.denied:
        uids = {reading.uid for reading in walk.readings if reading.socket_fds}
        unheld = _keep(unheld, lambda place: place.uid in uids)
    found: list[ProcessReading] = []
    before: set[SocketInode] = set()
    for rounds in range(MAX_ROUNDS + 1):
        reader.drop_closed(unheld)
        unheld = [Unheld(*one[:2], [p for p in one.places if p.inode not in one.netns.closed]) for one in unheld]
        missing = {place.inode for one in unheld for place in one.places}
        if stop.is_set() or not plan_next_round(missing, before, rounds):
            break
        again = walk_for(procfs, registry, missing, stop)
        found += again
        held.update(inode for reading in again for _, inode in reading.socket_fds or ())
        unheld = _keep(unheld, lambda place: place.inode not in held)
        before = missing
    return found


def _keep(unheld: list[Unheld], wanted: Callable[[RowPlace], bool]) -> list[Unheld]:
    return [Unheld(netns, table, [place for place in places if wanted(place)]) for netns, table, places in unheld]


def _find_host(walk: Walk, *, live: bool) -> tuple[int | None, int | None]:
    """The host's netns as (inode, key): that of the kernel's threads, else (in a container) the own one."""
    if walk.host_inode is None and walk.host_key is None and live:
        return read_own_netns().inode, None
    return walk.host_inode, walk.host_key
