"""One pass over a host: processes, netns, tables, names. The only place where kernel and runtimes meet.

What cannot be read becomes a Gap; nothing is decided here. One thread walks the processes while
another reads the tables of each netns as it is met. Rows that nobody was seen to hold are then
looked up again, which drops what has closed, and looked for in the processes again, which finds
what was opened or handed on behind the back of the walk.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from queue import SimpleQueue

from nsagent.errors import Aborted, AccessDenied, EngineUnavailable, FormatError, ReadFailed
from nsagent.kernel.cgroupfs import read_cgroup_paths
from nsagent.kernel.netns import list_own_netns_fds, read_own_netns
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.stale_names import list_stale_names
from nsagent.kernel.threads import run_in_threads
from nsagent.kernel.visibility import read_visibility
from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.facts import Facts, Gap, NetnsReading, ProcessReading, Stage, Visibility
from nsagent.query.filter import Filter
from nsagent.runtimes.engines import Engines
from nsagent.scan.collect.chosen import CGROUP_PATHS, Chosen, check_names, choose, list_nameless
from nsagent.scan.collect.holders import ThreadTables
from nsagent.scan.collect.interfaces import MOST_AT_ONCE, read_interfaces
from nsagent.scan.collect.netns import MetNetns, NetnsRegistry
from nsagent.scan.collect.netns_tables import Unheld
from nsagent.scan.collect.processes import PATIENCE_SECONDS, Reach, Walk, walk_processes
from nsagent.scan.collect.room import Room
from nsagent.scan.collect.rounds import Rounds, search_missing_owners
from nsagent.scan.collect.second_look import SecondLook
from nsagent.scan.collect.tables import Everything, TableReader
from nsagent.scan.collect.unlisted import find_unlisted, see_sockets, see_threads
from nsagent.scan.plan import TablesWanted


@dataclass(frozen=True, slots=True)
class PassRequest:
    """What one pass is asked for.

    `host` is what the host is called, `started_at_ns` the wall clock in ns since the epoch.
    `interfaces`: read the interfaces of every netns too. A process of which one read takes longer
    than `patience_seconds` is skipped. `only`: the containers that the pass is about, None for all.
    With `owners` container no fd is read.
    """

    host: str
    started_at_ns: int
    proc_root: str = "/proc"
    engine: EngineName = EngineName.AUTO
    interfaces: bool = False
    tables: TablesWanted = field(default_factory=TablesWanted)
    patience_seconds: float = PATIENCE_SECONDS
    only: Filter | None = None
    owners: OwnersWanted = OwnersWanted.PID


def collect(
    request: PassRequest, engines: Engines, *, clock: Callable[[], float], stop: threading.Event | None = None
) -> Facts:
    """The facts of one pass; `clock` is monotonic, in seconds.

    Raises EngineUnavailable if the engine asked for cannot work at all, AccessDenied or ReadFailed
    if the procfs itself cannot be read, and Aborted soon after `stop` is set; for a pass about some
    containers NotFound, Ambiguous and Changed. Leaves no fd, netns
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
            TableReader(procfs, request.engine, may_enter=self._live, stop=self._stop, wanted=request.tables) as reader,
            NetnsRegistry(
                met.put, (room := Room(reader, self._stop, reads_later=request.only is not None)).make
            ) as registry,
        ):
            engines.start()
            if request.only is None:
                walk, chosen = self._walk_and_read(registry, reader, met), None
            else:
                walk, chosen = self._walk_and_choose(request.only, registry, reader, engines)
            rounds = self._find_owners(registry, reader, walk, chosen)
            host_inode, host_key = self._find_host(walk)
            if request.interfaces and self._live:
                batch = room.make_for(MOST_AT_ONCE)
                reader.gaps += read_interfaces(reader.netns, host_inode, procfs.root, self._stop, batch)
            self._look.name_interfaces(reader.netns)
            netns = reader.readings(host_inode, host_key)
            if self._stop.is_set():
                raise Aborted("interrupted")
            facts = self._conclude(walk, rounds, registry, reader, netns)
            if request.only is None or chosen is None:
                names = engines.collect(lambda: list_nameless(walk.readings))
            else:
                names = check_names(request.only, walk.readings, chosen.answers, engines)
            return replace(
                facts,
                duration_seconds=round(self._clock() - started, 6),
                containers=names.containers,
                sources=(CGROUP_PATHS, *names.sources),
                gaps=(*facts.gaps, *names.gaps),
                kept=names.kept,
            )

    def _conclude(
        self,
        walk: Walk,
        rounds: Rounds,
        registry: NetnsRegistry,
        reader: TableReader,
        netns: tuple[NetnsReading, ...],
    ) -> Facts:
        """All that was read, but for names, and what concerns the whole host."""
        request = self._request
        visibility, hidden = self._read_visibility(walk)
        cgroup_paths, no_paths = self._read_cgroup_paths(reader)
        # A netns that could not be opened in one round could not in the next: one gap. One that is not
        # to be read need not be open.
        unread = {one.met.subject for one in reader.netns if one.skipped}
        registry_gaps = dict.fromkeys(gap for gap in registry.gaps if gap.subject not in unread)
        read = (walk.gaps, registry_gaps, reader.gaps, self._look.gaps, rounds.gaps, hidden, no_paths)
        return Facts(
            host=request.host,
            boot_id=self._procfs.read_boot_id(),
            byteorder=sys.byteorder,
            taken_at_ns=request.started_at_ns,
            duration_seconds=0.0,
            engine=request.engine,
            processes=(*walk.readings, *rounds.readings),
            process_counts=walk.counts(),
            netns=netns,
            containers=(),
            sources=(),
            gaps=tuple(chain.from_iterable(read)),
            protocols=tuple(sorted(request.tables.protocols)),
            deep=request.tables.deep,
            visibility=visibility,
            rewalk=rounds.rewalk,
            cgroup_paths=cgroup_paths,
            stale_names=self._list_stale_names(),
            owners=request.owners,
        )

    def _walk_and_read(self, registry: NetnsRegistry, reader: TableReader, met: SimpleQueue[MetNetns | None]) -> Walk:
        """Walk the processes, while the tables of each netns that this meets are read; then help with those."""
        walks: list[Walk] = []

        def walk_and_help() -> None:
            try:
                walks.append(self._walk(registry))
            finally:
                met.put(None)
                met.put(None)
            read()

        def read() -> None:
            reader.read(iter(met.get, None))

        reader.busy = True  # From before the walk: the first netns may already have to wait for room.
        run_in_threads([walk_and_help, read], self._stop)
        reader.read_rest(registry.list_met())
        return walks[0]

    def _walk(self, registry: NetnsRegistry) -> Walk:
        """Walk the processes, and with --deep each of their threads."""
        threads = ThreadTables(self._procfs.shows_own_pids(), registry)
        fds = self._request.owners is OwnersWanted.PID
        reach = Reach(fds, threads.look if fds and self._request.tables.deep else lambda *_: ())
        walk = walk_processes(self._procfs, registry, self._stop, reach, self._request.patience_seconds)
        walk.gaps += threads.gaps
        return walk

    def _walk_and_choose(
        self, only: Filter, registry: NetnsRegistry, reader: TableReader, engines: Engines
    ) -> tuple[Walk, Chosen]:
        """Walk the processes, then read what concerns the containers that the pass is about."""
        walk = self._walk(registry)
        chosen = choose(only, walk.readings, engines.collect(lambda: list_nameless(walk.readings)))
        self._read_chosen(registry, reader, chosen)
        return walk, chosen

    def _read_chosen(self, registry: NetnsRegistry, reader: TableReader, chosen: Chosen) -> None:
        """Read the netns of the containers that the pass is about, and the others if it takes them."""
        met = registry.list_met()
        theirs = chosen.list_netns(met)
        inside = set(map(id, theirs))
        self._read(reader, theirs)
        reader.skip(one for one in met if id(one) not in inside)
        reader.list_unheld(Everything())
        if find_unlisted(self._procfs, chosen.readings, reader.listed, self._request.tables.protocols):
            self._read(reader, reader.take_skipped())

    def _read(self, reader: TableReader, met: Sequence[MetNetns]) -> None:
        run_in_threads([partial(reader.read, met)], self._stop)
        reader.read_rest(met)

    def _find_owners(self, registry: NetnsRegistry, reader: TableReader, walk: Walk, chosen: Chosen | None) -> Rounds:
        """Look for what the walk did not show: more netns, and the owners of rows without one."""
        if self._request.owners is OwnersWanted.CONTAINER:
            reader.list_unheld(Everything())
            return Rounds()
        unheld = self._follow_unlisted(registry, reader, walk, walk.readings if chosen is None else chosen.readings)
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

    def _follow_unlisted(
        self, registry: NetnsRegistry, reader: TableReader, walk: Walk, readings: Sequence[ProcessReading]
    ) -> list[Unheld]:
        """Read the netns to which only threads, or only sockets, lead; the rows of all that nobody holds.

        Sockets in no table, of the processes of these readings, lead there.
        """
        held = walk.list_held()
        unheld = reader.list_unheld(held)
        unlisted = find_unlisted(self._procfs, readings, reader.listed, self._request.tables.protocols)
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
            self._read(reader, found)
        return bool(found)

    def _find_host(self, walk: Walk) -> tuple[int | None, int | None]:
        """The host's netns as (inode, key): that of the kernel's threads, else (in a container) the own one."""
        if walk.host_inode is None and walk.host_key is None and self._live:
            return read_own_netns().inode, None
        return walk.host_inode, walk.host_key

    def _read_cgroup_paths(self, reader: TableReader) -> tuple[tuple[tuple[int, str], ...], list[Gap]]:
        """The paths of the cgroups that rows name: where their sockets were made."""
        if not self._live or not reader.cgroup_ids:
            return (), []
        try:
            return tuple(sorted(read_cgroup_paths(reader.cgroup_ids, proc_root=self._procfs.root).items())), []
        except (AccessDenied, ReadFailed, FormatError) as err:
            if self._request.owners is OwnersWanted.PID:
                return (), []  # Owners tell more; who made a socket is then not known.
            reason = str(err) if isinstance(err, FormatError) else err.reason
            return (), [Gap(Stage.CGROUPS, "cgroup paths", reason)]

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
