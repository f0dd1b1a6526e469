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
from dataclasses import dataclass, field, replace
from functools import partial
from queue import SimpleQueue

from nsagent.errors import Aborted, AccessDenied, EngineUnavailable, FormatError, ReadFailed
from nsagent.kernel.cgroupfs import read_cgroup_paths
from nsagent.kernel.netns import list_own_netns_fds, read_own_netns
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.stale_names import list_stale_names
from nsagent.kernel.threads import run_in_threads
from nsagent.kernel.visibility import read_visibility
from nsagent.model.choices import EngineName
from nsagent.model.facts import Facts, Gap, Stage, Visibility
from nsagent.runtimes.engines import Engines
from nsagent.scan.collect.holders import ThreadTables
from nsagent.scan.collect.interfaces import MOST_AT_ONCE, read_interfaces
from nsagent.scan.collect.netns import MetNetns, NetnsRegistry
from nsagent.scan.collect.netns_tables import Unheld
from nsagent.scan.collect.processes import PATIENCE_SECONDS, Walk, walk_processes
from nsagent.scan.collect.room import Room
from nsagent.scan.collect.rounds import Rounds, search_missing_owners
from nsagent.scan.collect.second_look import SecondLook
from nsagent.scan.collect.tables import TableReader
from nsagent.scan.collect.unlisted import find_unlisted, see_sockets, see_threads
from nsagent.scan.plan import TablesWanted


@dataclass(frozen=True, slots=True)
class PassRequest:
    """What one pass is asked for.

    `host` is what the host is called, `started_at_ns` the wall clock in ns since the epoch.
    `interfaces`: read the interfaces of every netns too. A process of which one read takes longer
    than `patience_seconds` is skipped.
    """

    host: str
    started_at_ns: int
    proc_root: str = "/proc"
    engine: EngineName = EngineName.AUTO
    interfaces: bool = False
    tables: TablesWanted = field(default_factory=TablesWanted)
    patience_seconds: float = PATIENCE_SECONDS


def collect(
    request: PassRequest, engines: Engines, *, clock: Callable[[], float], stop: threading.Event | None = None
) -> Facts:
    """The facts of one pass; `clock` is monotonic, in seconds.

    Raises EngineUnavailable if the engine asked for cannot work at all, AccessDenied or ReadFailed
    if the procfs itself cannot be read, and Aborted soon after `stop` is set. Leaves no fd, netns
    or thread behind but the engines' own: a pass that did says so in a gap.
    """
    procfs = ProcFs(request.proc_root)
    live = procfs.is_live()
    if request.engine is EngineName.SOCK_DIAG and not live:
        raise EngineUnavailable(
            f"engine sock_diag: {procfs.root} is no procfs of the running kernel; use --engine proc"
        )
    netns, held = read_own_netns(), list_own_netns_fds()
    facts = _Pass(request, procfs, clock, stop or threading.Event(), live=live).run(engines)
    broken = []
    if read_own_netns() != netns:
        broken.append(Gap(Stage.CHECKS, "own netns", "not the one of the start"))
    if left := list_own_netns_fds() - held:
        broken.append(Gap(Stage.CHECKS, "netns held open", "not closed", len(left)))
    return replace(facts, gaps=(*facts.gaps, *broken)) if broken else facts


class _Pass:
    """One pass while it goes on."""

    def __init__(
        self,
        request: PassRequest,
        procfs: ProcFs,
        clock: Callable[[], float],
        stop: threading.Event,
        *,
        live: bool,
    ) -> None:
        self._request = request
        self._procfs = procfs
        self._clock = clock
        self._stop = stop
        self._live = live
        self._look = SecondLook(procfs, stop)

    def run(self, engines: Engines) -> Facts:
        """Everything: processes and tables at once, then what did not fit, then what concerns the whole host."""
        request, procfs = self._request, self._procfs
        started = self._clock()
        met: SimpleQueue[MetNetns | None] = SimpleQueue()
        with (
            closing(engines),
            TableReader(procfs, request.engine, may_enter=self._live, stop=self._stop, wanted=request.tables) as reader,
            NetnsRegistry(met.put, (room := Room(reader, self._stop)).make) as registry,
        ):
            engines.start()
            walk = self._walk_and_read(registry, reader, met)
            unheld = self._follow_unlisted(registry, reader, walk)
            rounds = self._search_missing_owners(registry, reader, walk, unheld)
            host_inode, host_key = self._find_host(walk)
            if request.interfaces and self._live:
                batch = room.make_for(MOST_AT_ONCE)
                reader.gaps += read_interfaces(reader.netns, host_inode, procfs.root, self._stop, batch)
            self._look.name_interfaces(reader.netns)
            netns = reader.readings(host_inode, host_key)
            if self._stop.is_set():
                raise Aborted("interrupted")
            visibility, hidden = self._read_visibility(walk)
            cgroup_paths = self._read_cgroup_paths(reader)
            containers, name_gaps, sources = engines.collect()
            # A netns that could not be opened in one round could not in the next: one gap.
            registry_gaps = dict.fromkeys(registry.gaps)
            return Facts(
                host=request.host,
                boot_id=procfs.read_boot_id(),
                byteorder=sys.byteorder,
                taken_at_ns=request.started_at_ns,
                duration_seconds=round(self._clock() - started, 6),
                engine=request.engine,
                processes=(*walk.readings, *rounds.readings),
                process_counts=walk.counts(),
                netns=netns,
                containers=containers,
                sources=("cgroup paths", *sources),
                gaps=(*walk.gaps, *registry_gaps, *reader.gaps, *self._look.gaps, *rounds.gaps, *hidden, *name_gaps),
                protocols=tuple(sorted(request.tables.protocols)),
                deep=request.tables.deep,
                visibility=visibility,
                rewalk=rounds.rewalk,
                cgroup_paths=cgroup_paths,
                stale_names=self._list_stale_names(),
            )

    def _search_missing_owners(
        self, registry: NetnsRegistry, reader: TableReader, walk: Walk, unheld: list[Unheld]
    ) -> Rounds:
        return search_missing_owners(
            self._procfs,
            registry,
            reader,
            self._look,
            walk,
            unheld,
            clock=self._clock,
            stop=self._stop,
            patience_seconds=self._request.patience_seconds,
        )

    def _walk_and_read(self, registry: NetnsRegistry, reader: TableReader, met: SimpleQueue[MetNetns | None]) -> Walk:
        """Walk the processes, while the tables of each netns that this meets are read."""
        walks: list[Walk] = []
        threads = ThreadTables(self._procfs.shows_own_pids(), registry)

        def walk() -> None:
            try:
                look = threads.look if self._request.tables.deep else lambda *_: ()
                walks.append(walk_processes(self._procfs, registry, self._stop, look, self._request.patience_seconds))
            finally:
                met.put(None)

        reader.busy = True  # From before the walk: the first netns may already have to wait for room.
        run_in_threads([walk, lambda: reader.read(iter(met.get, None))], self._stop)
        reader.read_rest(registry.list_met())
        walks[0].gaps += threads.gaps
        return walks[0]

    def _follow_unlisted(self, registry: NetnsRegistry, reader: TableReader, walk: Walk) -> list[Unheld]:
        """Read the netns to which only threads, or only sockets, lead; the rows of all that nobody holds.

        Sockets in no table lead there.
        """
        held = walk.list_held()
        unheld = reader.list_unheld(held)
        unlisted = find_unlisted(self._procfs, walk.readings, reader.listed, self._request.tables.protocols)
        walk.gaps += see_threads(self._procfs, registry, unlisted)
        if self._read_new(registry, reader):
            unheld = reader.list_unheld(held)
        unlisted = [one for one in unlisted if one.inode not in reader.listed]
        if unlisted and self._live and self._procfs.shows_own_pids():
            # Most are younger than the table of their holder's netns: only of the others is the socket itself
            # asked, which means to hold it for a moment.
            inodes = {one.netns_inode for one in unlisted}
            young = self._look.list_young(reader.netns, inodes, self._request.tables.protocols)
            registry.gaps += see_sockets(registry, [one for one in unlisted if one.inode not in young])
            if self._read_new(registry, reader):
                unheld = reader.list_unheld(held)
        return unheld

    def _read_new(self, registry: NetnsRegistry, reader: TableReader) -> bool:
        """Read the netns met since the last read; says whether there were any."""
        known = {id(one.met) for one in reader.netns}
        found = [met for met in registry.list_met() if id(met) not in known]
        if found:
            run_in_threads([partial(reader.read, found)], self._stop)
            reader.read_rest(found)
        return bool(found)

    def _find_host(self, walk: Walk) -> tuple[int | None, int | None]:
        """The host's netns as (inode, key): that of the kernel's threads, else (in a container) the own one."""
        if walk.host_inode is None and walk.host_key is None and self._live:
            return read_own_netns().inode, None
        return walk.host_inode, walk.host_key

    def _read_cgroup_paths(self, reader: TableReader) -> tuple[tuple[int, str], ...]:
        """The paths of the cgroups that rows name: where their sockets were made."""
        if not self._live or not reader.cgroup_ids:
            return ()
        try:
            return tuple(sorted(read_cgroup_paths(reader.cgroup_ids, proc_root=self._procfs.root).items()))
        except (AccessDenied, ReadFailed, FormatError):
            return ()  # Owners tell more; who made a socket is then not known.

    def _list_stale_names(self) -> tuple[str, ...]:
        """As the host's first process sees them: its mounts need not reach this mount namespace."""
        for root in (f"{self._procfs.root}/1/root", "") if self._live else ():
            try:
                return list_stale_names(f"{root}/run/netns")
            except (AccessDenied, ReadFailed):
                continue
        return ()

    def _read_visibility(self, walk: Walk) -> tuple[Visibility, list[Gap]]:
        """What the mount of procfs shows, and what it hides as gaps."""
        if not self._live:
            return Visibility(), []
        try:
            visibility = read_visibility(self._procfs.root, walk.pids)
        except (AccessDenied, ReadFailed, FormatError) as err:
            reason = str(err) if isinstance(err, FormatError) else err.reason
            return Visibility(), [Gap(Stage.PROCESSES, f"mount options of {self._procfs.root}", reason)]
        gaps = []
        if visibility.partial:
            reason = f"hidepid={visibility.hidepid}" if visibility.hidepid else "no PID 1"
            gaps.append(Gap(Stage.PROCESSES, "hidden processes", reason))
        if visibility.subset:
            gaps.append(Gap(Stage.PROCESSES, f"{self._procfs.root}/sys", f"subset={visibility.subset}"))
        return visibility, gaps
