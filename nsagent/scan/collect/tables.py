"""The tables of each netns, by sock_diag inside of it, or by the /proc files of a process in it."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from nsagent.errors import (
    AccessDenied,
    DumpInterrupted,
    DumpUnavailable,
    FormatError,
    ProcessGone,
    ReadFailed,
)
from nsagent.kernel.formats.raw_table import find_net_file, list_unheld
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.formats.sockstat import SockStat
from nsagent.kernel.netns import Entering
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.kernel.sock_diag import SockDiag, make_buffer
from nsagent.kernel.threads import run_in_threads
from nsagent.model.choices import EngineName
from nsagent.model.facts import Gap, Interface, NetnsReading, RawTable, Stage
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.read_tables import TableDumper, TablesRead, make_gap, read_files, read_text
from nsagent.scan.plan import TablesWanted, plan_by_counters, read_counters


@dataclass(slots=True)
class NetnsTables:
    """What was read of one netns so far. `diag` stays open, to look rows up again; None by /proc.

    `refused` is why it could not be entered. `closed`, `unsettled` and `mptcp_counted` are those of
    NetnsReading; `closed` has what was opened to read the tables, too.
    """

    met: MetNetns
    diag: SockDiag | None = None
    cookie: int | None = None
    sockstat: str | None = None
    engine: EngineName | None = None
    refused: str | None = None
    empty: bool = False
    tables: list[RawTable] = field(default_factory=list)
    closed: frozenset[SocketInode] = frozenset()
    unsettled: frozenset[SocketInode] = frozenset()
    mptcp_counted: int | None = None
    interface_indexes: set[int] = field(default_factory=set)
    interface_names: tuple[tuple[int, str], ...] = ()
    interfaces: tuple[Interface, ...] | None = None

    def close(self) -> None:
        """Let go of the netns."""
        if self.diag is not None:
            self.diag.close()
            self.diag = None

    def take(self, read: TablesRead) -> None:
        """Keep what was read."""
        self.empty = read.empty
        self.tables = read.tables
        self.mptcp_counted = read.mptcp_counted
        self.closed |= read.own

    def settle(self, places: Sequence[RowPlace], closed: frozenset[SocketInode] | None) -> None:
        """Note which of these rows have closed; None: that could not be found out."""
        inodes = {place.inode for place in places}
        if closed is None:
            self.unsettled |= inodes
        else:
            self.closed |= closed
            self.unsettled -= inodes


class Unheld(NamedTuple):
    """Rows of one table that nobody was seen to hold."""

    netns: NetnsTables
    table: RawTable
    places: list[RowPlace]


class TableReader:
    """Reads tables with one engine; a context manager that closes every socket it made.

    `listed` are the inodes of all rows, `cgroup_ids` what their tables name, both once list_unheld() was called.
    `busy`: a thread is in read(); `sockets` counts those that it made and that are open still.
    """

    def __init__(
        self,
        procfs: ProcFs,
        engine: EngineName,
        *,
        may_enter: bool,
        stop: threading.Event,
        wanted: TablesWanted | None = None,
    ) -> None:
        self._procfs = procfs
        self._engine = engine
        self._may_enter = may_enter
        self._stop = stop
        self._wanted = wanted or TablesWanted()
        self._unavailable: set[Protocol] = set()
        self.netns: list[NetnsTables] = []
        self.listed: set[int] = set()
        self.cgroup_ids: set[int] = set()
        self.gaps: list[Gap] = []
        self.busy = False
        self.sockets = 0
        self._last_sockstat: str | None = None
        self._last_counters: SockStat = {}
        self._held: deque[NetnsTables] = deque()

    def __enter__(self) -> "TableReader":
        return self

    def __exit__(self, *_: object) -> None:
        for tables in self.netns:
            tables.close()

    def read(self, met: Iterable[MetNetns]) -> None:
        """Read these netns as they come, by sock_diag; moves the calling thread, which must end (kernel.netns).

        Nearly all of it is time in the kernel, which walks the sockets of the whole host for each
        netns: the processes are walked in another thread meanwhile.
        """
        self.busy = True
        dumper = None
        try:
            if self._may_enter and self._engine is not EngineName.PROC:
                dumper = TableDumper(Entering(self._procfs.root), self._wanted, make_buffer(), self._unavailable)
            for one in map(NetnsTables, met):
                if self._stop.is_set():
                    return
                self.netns.append(one)
                if dumper is not None and one.met.fd is not None:
                    try:
                        one.sockstat = dumper.entering.enter(one.met.fd)
                        self._dump(one, dumper)
                    except (AccessDenied, ReadFailed) as err:
                        one.refused = err.reason
                self._held.append(one)
                self.sockets += one.diag is not None
        finally:
            self.busy = False

    def let_go(self) -> int:
        """Let go of the netns that were read, to have room for others; how many they were.

        To look rows up again such a netns is opened anew, and compared by its cookie.
        """
        count = 0
        while self._held:
            one = self._held.popleft()
            self.sockets -= one.diag is not None
            one.close()
            count += one.met.fd is not None
            one.met.let_go()
        return count

    def read_rest(self, met: Iterable[MetNetns]) -> None:
        """Read those of `met` by /proc that could not be entered; to be called once for each."""
        known = {id(one.met): one for one in self.netns}
        for each in met:
            one = known.get(id(each))
            if one is None:
                one = NetnsTables(each)
                self.netns.append(one)
            if one.engine is None and not self._stop.is_set():
                self._read_proc(one)

    def _dump(self, one: NetnsTables, dumper: TableDumper) -> None:
        """Dump the tables of the netns that this thread is in; its socket stays open, to look rows up again.

        One that counts no socket is not even given one, if its cookie can be had without.
        """
        if one.sockstat != self._last_sockstat:
            # Netns without sockets have the same text, while nothing changes on the host.
            self._last_sockstat, self._last_counters = one.sockstat, read_counters(one.sockstat)
        counters = self._last_counters
        one.engine = EngineName.SOCK_DIAG
        one.empty = not plan_by_counters(counters, self._wanted)
        one.cookie = dumper.entering.read_cookie(one.met.fd) if one.empty and one.met.fd is not None else None
        if one.cookie is not None:
            return
        one.diag = SockDiag(dumper.knows_protocol)
        one.cookie = one.diag.read_netns_cookie()
        read = dumper.dump_tables(one.diag, counters, one.met.subject)
        one.take(read)
        self.gaps += read.gaps
        if one.empty:
            one.close()

    def _read_proc(self, one: NetnsTables) -> None:
        """Read the /proc files of a netns through a process in it; the next one, if that has gone or moved."""
        reason = one.refused or "no process in it to read it through"
        for pid in sorted(one.met.members) if self._engine is not EngineName.SOCK_DIAG else ():
            try:
                with self._procfs.open_process(pid) as process:
                    if not _is_in(process, one.met):
                        continue
                    self._read_proc_files(process, one)
                    one.engine = EngineName.PROC
                    return
            except ProcessGone:
                one.tables.clear()
            except (AccessDenied, ReadFailed) as err:
                one.tables.clear()
                reason = err.reason
        self.gaps.append(Gap(Stage.NETNS, one.met.subject, reason))

    def _read_proc_files(self, process: ProcessDir, one: NetnsTables) -> None:
        sockstat = (process.read_net("sockstat") + process.read_net("sockstat6")).decode("ascii", "replace")
        one.take(read_files(process.read_net, sockstat, self._wanted, one.met.subject))
        one.sockstat = sockstat

    def list_unheld(self, held: Container[int]) -> list[Unheld]:
        """Rows that an fd should hold and none in `held` does; notes what the rows name."""
        found = []
        for one in self.netns:
            for table in one.tables:
                places, indexes, cgroup_ids = list_unheld(table, held, self.listed, sys.byteorder)
                one.interface_indexes |= indexes
                self.cgroup_ids |= cgroup_ids
                if one.closed:
                    places = [place for place in places if place.inode not in one.closed]
                if places:
                    found.append(Unheld(one, table, places))
        return found

    def drop_closed(self, unheld: Sequence[Unheld]) -> None:
        """Look these rows up again and note which have closed since, and which cannot be looked up."""
        buffer = make_buffer()
        inside = []
        for one, table, places in unheld:
            if self._stop.is_set():
                return
            if one.engine is EngineName.PROC:
                one.settle(places, self._find_closed_in_proc(one, table, places))
            elif one.diag is not None and find_net_file(table) is None:
                one.settle(places, self._find_closed(one.diag, one, table, places, buffer))
            elif places:
                inside.append(Unheld(one, table, places))
        if inside:
            run_in_threads([partial(self._look_inside, inside, buffer)], self._stop)

    def _find_closed(
        self, diag: SockDiag, one: NetnsTables, table: RawTable, places: Sequence[RowPlace], buffer: bytearray
    ) -> frozenset[SocketInode] | None:
        try:
            return diag.find_closed(table, places, buffer)
        except (DumpInterrupted, DumpUnavailable, ReadFailed, FormatError) as err:
            self.gaps.append(make_gap(table.protocol, one.met.subject, err))
            return None

    def _look_inside(self, unheld: Sequence[Unheld], buffer: bytearray) -> None:
        """Look rows up again that netlink has no table of, or in netns that were let go; moves the calling thread."""
        entering = Entering(self._procfs.root)
        for one, table, places in unheld:
            try:
                with _visit(one, entering) as diag:
                    if find_net_file(table) is None:
                        one.settle(places, self._find_closed(diag, one, table, places, buffer))
                    else:
                        one.settle(places, _find_absent(table, places, entering.read_net))
            except ProcessGone:
                one.settle(places, None)
            except (AccessDenied, ReadFailed) as err:
                one.settle(places, None)
                self.gaps.append(make_gap(table.protocol, one.met.subject, err))

    def _find_closed_in_proc(
        self, one: NetnsTables, table: RawTable, places: Sequence[RowPlace]
    ) -> frozenset[SocketInode] | None:
        """Which of these rows a process in that netns does not show any more; None where nobody is left in it."""
        for pid in sorted(one.met.members):
            try:
                with self._procfs.open_process(pid) as process:
                    if _is_in(process, one.met):
                        return _find_absent(table, places, process.read_net)
            except (ProcessGone, AccessDenied, ReadFailed):
                continue
        return None

    def readings(self, host_inode: int | None, host_key: int | None) -> tuple[NetnsReading, ...]:
        """What was read, ready to be kept, by inode."""
        unnamed = [one for one in self.netns if one.interface_indexes and one.engine is EngineName.SOCK_DIAG]
        if unnamed:
            run_in_threads([partial(self._name_interfaces, unnamed)], self._stop)
        self.netns.sort(key=lambda one: (one.met.id is None, one.met.id or (0, one.met.key)))
        return tuple(_make_reading(one, host_inode, host_key) for one in self.netns)

    def _name_interfaces(self, netns: Iterable[NetnsTables]) -> None:
        """Read the names of the interfaces that rows are bound to; moves the calling thread (kernel.netns)."""
        entering = Entering(self._procfs.root)
        for one in netns:
            try:
                with nullcontext(one.diag) if one.diag else _visit(one, entering) as diag:
                    names = ((index, diag.read_interface_name(index)) for index in sorted(one.interface_indexes))
                    one.interface_names = tuple((index, name) for index, name in names if name is not None)
            except (ProcessGone, AccessDenied, ReadFailed):
                continue  # They keep their numbers.


@contextmanager
def _visit(one: NetnsTables, entering: Entering) -> Iterator[SockDiag]:
    """A sock_diag socket in a netns whose own may be closed; moves the calling thread there.

    Raises ProcessGone if it cannot be reached any more, or is another one by now.
    """
    fd = one.met.open_again()
    try:
        entering.enter(fd)
    finally:
        os.close(fd)
    with SockDiag() as diag:
        if diag.read_netns_cookie() != one.cookie:
            raise ProcessGone(one.met.subject)
        yield diag


def _make_reading(one: NetnsTables, host_inode: int | None, host_key: int | None) -> NetnsReading:
    met = one.met
    is_host = met.id.inode == host_inode if met.id and host_inode else met.key is not None and met.key == host_key
    return NetnsReading(
        id=met.id,
        key=met.key,
        cookie=one.cookie,
        mounts=tuple(sorted(met.mounts)),
        is_host=is_host,
        found_by=tuple(sorted(met.found_by)),
        engine=one.engine,
        empty=one.empty,
        sockstat=one.sockstat,
        tables=tuple(one.tables),
        closed=one.closed,
        unsettled=one.unsettled,
        mptcp_counted=one.mptcp_counted,
        interface_names=one.interface_names,
        interfaces=one.interfaces,
    )


def _is_in(process: ProcessDir, met: MetNetns) -> bool:
    """Whether the process is (still) in that netns."""
    if met.id is not None:
        return process.read_netns_inode() == met.id.inode
    return process.read_netns_key() == met.key


def _find_absent(
    table: RawTable, places: Sequence[RowPlace], read_net: Callable[[str], bytes | None]
) -> frozenset[SocketInode] | None:
    """Which of these rows the text table has no more; None for what is no text table."""
    file = find_net_file(table)
    if file is None:
        return None
    there: set[int] = set()
    list_unheld(table._replace(data=read_text(file.name, read_net) or b""), (), there, sys.byteorder)
    return frozenset(place.inode for place in places) - there
