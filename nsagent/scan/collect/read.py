"""The stage that reads: the tables of each netns, by sock_diag inside of it, else by the files of a process in it."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from functools import partial

from nsagent.errors import NotRead, ReadFailed, Reason
from nsagent.kernel.boot_clock import count_ticks
from nsagent.kernel.formats.raw_table import find_rows
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import Entering, read_own_netns
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.choices import EngineName
from nsagent.model.gap import Stage
from nsagent.model.ids import SocketInode
from nsagent.scan.collect.earlier_tables import EarlierTables
from nsagent.scan.collect.ends import CLIENT_PORTS, MOST_BYTES, read_ends
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.netlink_tables import TableDumper, name_engine
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.resting_tables import RestingTables
from nsagent.scan.collect.room import Room
from nsagent.scan.collect.state import NetnsState, TablesRead, Unheld
from nsagent.scan.collect.text_tables import ask_member, read_text_tables
from nsagent.scan.plan import TablesWanted, plan_by_counters


class TableReader:
    """Reads tables with one engine; a context manager that closes every socket it made.

    `may_enter`: netns of the running kernel are read, which can be entered. read() is for several
    threads at once, all else for one, when nobody reads.
    """

    def __init__(
        self,
        procfs: ProcFs,
        engine: EngineName,
        wanted: TablesWanted,
        room: Room,
        gaps: GapSink,
        earlier: EarlierTables,
        *,
        may_enter: bool,
        clock: Callable[[], float],
        stop: threading.Event,
        is_late: Callable[[], bool],
        keep_pace: Callable[[], None],
    ) -> None:
        self._procfs = procfs
        self._engine = engine
        self._wanted = wanted
        self._room = room
        self._gaps = gaps
        self._earlier = earlier
        self._may_enter = may_enter
        self._clock = clock
        self._stop = stop
        self._release = procfs.read_sysctl("kernel/osrelease")
        self._is_late = is_late
        self._keep_pace = keep_pace
        self._lock = threading.Lock()
        self._states: dict[int, NetnsState] = {}

    def __enter__(self) -> "TableReader":
        return self

    def __exit__(self, *_: object) -> None:
        for state in self._states.values():
            state.close()

    def read(self, met: Iterable[MetNetns], *, anew: bool = False) -> None:
        """Read these netns as they come, by sock_diag; moves the calling thread, which must end (kernel.netns).

        `anew`: no table is taken for what it was, as nobody will look whether its holders have run.
        Nearly all of it is time in the kernel, which walks the sockets of the whole host for each
        netns: the processes are walked in another thread meanwhile, which then helps.
        """
        dumper = None
        if self._may_enter and self._engine is not EngineName.PROC:
            dumper = self.make_dumper(None if anew else self._earlier.resting)
        for state in map(NetnsState, met):
            self._keep_pace()
            if self._stop.is_set():
                return
            with self._lock:
                self._states[state.met.serial] = state
            if dumper is not None and state.met.fd is not None and not self._is_late():
                try:
                    state.sockstat = dumper.entering.enter(state.met.fd)
                    if state.met.key is None:  # A process in it may be known by this alone.
                        state.met.key = dumper.entering.read_key()
                    self._dump(state, dumper)
                except NotRead as err:
                    state.refused = err
            self._room.put(state, state.diag is not None)

    def make_dumper(self, resting: RestingTables | None = None) -> TableDumper:
        """One for the calling thread, which it moves; `resting` are the tables that need not be dumped."""
        entering = Entering(self._procfs.root)
        return TableDumper(entering, self._wanted, make_buffer(), self._gaps, self._release, self._clock, resting)

    def take(self, state: NetnsState, read: TablesRead, dumper: TableDumper) -> None:
        """Keep what was read of the netns that the thread of this dumper is in."""
        state.take(read, self._earlier.indexes)
        self._note_time(state)
        if state.has_bare_rows() or self._wanted.own_addresses:
            read_net = partial(dumper.entering.read_net, most=MOST_BYTES)
            read_ends(state, read_net, self._procfs.read_sysctl(CLIENT_PORTS), self._gaps)

    def _note_time(self, state: NetnsState) -> None:
        """Note when this was: for how long a row has been in TIME_WAIT is told by what is left of a minute."""
        if state.has_bare_rows() and self._may_enter:
            state.read_at_ticks = count_ticks(time.monotonic_ns())

    def read_rest(self, met: Iterable[MetNetns]) -> None:
        """Read those of `met` by /proc that could not be entered; to be called once for each."""
        for each in met:
            state = self._states.setdefault(each.serial, NetnsState(each))
            if state.engine is None and not self._stop.is_set():
                self._keep_pace()
                self._read_proc(state)

    def count_taken(self) -> int:
        """How many netns were begun to be read, or skipped; for any thread."""
        return len(self._states)

    def find_new(self, met: Iterable[MetNetns]) -> list[MetNetns]:
        """Those of `met` that were neither read nor skipped."""
        return [each for each in met if each.serial not in self._states]

    def skip(self, met: Iterable[MetNetns]) -> None:
        """Note netns that are not worth reading, unless take_skipped() takes them back."""
        self._states.update((each.serial, NetnsState(each, skipped=True)) for each in met)

    def take_skipped(self) -> list[MetNetns]:
        """The netns that were skipped, which are to be read after all."""
        skipped = [state.met for state in self._states.values() if state.skipped]
        for met in skipped:
            del self._states[met.serial]
        return skipped

    def list_states(self) -> list[NetnsState]:
        """All that was met, by inode, then by key."""
        return sorted(
            self._states.values(), key=lambda state: (state.met.id is None, state.met.id or (0, state.met.key))
        )

    def list_inodes(self) -> set[int]:
        """The sockets of all tables."""
        return set[int]().union(*(index.inodes for each in self._states.values() for index in each.indexes))

    def list_cgroup_ids(self) -> set[int]:
        """The cgroups that rows name."""
        return set[int]().union(*(index.cgroup_ids for each in self._states.values() for index in each.indexes))

    def find_unheld(self, held: Set[SocketInode]) -> list[Unheld]:
        """The rows that an fd should hold and none of `held` does."""
        found = []
        for state in self._states.values():
            for table, index in zip(state.tables, state.indexes, strict=True):
                missing = index.inodes - held - state.closed
                if missing and (places := find_rows(table, missing, sys.byteorder)):
                    found.append(Unheld(state, table, places))
        return found

    def _dump(self, state: NetnsState, dumper: TableDumper) -> None:
        """Dump the tables of the netns that this thread is in; its socket stays open, to look rows up again.

        One that counts no socket is not even given one, if its cookie can be had without. Where netlink
        is refused (seccomp, RestrictAddressFamilies= of systemd, a security module) the files of /proc are
        read from inside. Raises NotRead where these are not to be read, or cannot be.
        """
        counters = dumper.read_counters(state.sockstat)
        read = TablesRead(empty=not plan_by_counters(counters, self._wanted))
        state.cookie = dumper.entering.read_cookie(state.met.fd) if read.empty and state.met.fd is not None else None
        engine = EngineName.SOCK_DIAG
        if state.cookie is None:
            try:
                state.diag = SockDiag(dumper.knows_protocol)
            except NotRead:
                if self._engine is EngineName.SOCK_DIAG:
                    raise
                engine = EngineName.PROC
                read = read_text_tables(dumper.entering.read_net, state.sockstat or "", self._wanted, self._release)
            else:
                state.cookie = state.diag.read_netns_cookie()
                read = dumper.dump_tables(state.diag, counters, state.met, state.cookie)
                engine = name_engine(read.tables)
                if self._engine not in (EngineName.AUTO, engine):
                    raise ReadFailed("sock_diag", "ENOENT")
        state.engine = engine
        self.take(state, read, dumper)
        if state.empty:
            state.close()

    def _read_proc(self, state: NetnsState) -> None:
        """Read the /proc files of a netns through a process in it."""
        try:
            if self._is_late():
                raise NotRead("its tables", Reason.LATE)
            if self._engine is EngineName.SOCK_DIAG:
                raise state.refused or NotRead("no fd on it", Reason.NOBODY_INSIDE)
            state.sockstat, read = ask_member(self._procfs, state.met, self._read_files)
        except NotRead as err:
            # That nobody is in it says less than why it could not be entered.
            known = state.refused if err.reason is Reason.NOBODY_INSIDE and state.refused else err
            self._gaps.note(Stage.NETNS, state.met.subject, known)
            return
        state.take(read, self._earlier.indexes)
        self._note_time(state)
        state.engine = EngineName.PROC
        if state.has_bare_rows() or self._wanted.own_addresses:
            is_own = self._may_enter and state.met.id == read_own_netns()
            ports = self._procfs.read_sysctl(CLIENT_PORTS) if is_own else None
            with suppress(NotRead):  # Whoever was in there has left.
                ask_member(self._procfs, state.met, lambda one: read_ends(state, one.read_net, ports, self._gaps))

    def _read_files(self, process: ProcessDir) -> tuple[str, TablesRead]:
        sockstat = (process.read_net("sockstat") + process.read_net("sockstat6")).decode("ascii", "replace")
        return sockstat, read_text_tables(process.read_net, sockstat, self._wanted, self._release)
