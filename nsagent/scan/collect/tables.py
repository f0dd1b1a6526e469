"""The tables of each netns, by sock_diag inside of it, or by the /proc files of a process in it."""

import socket
import sys
import threading
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from nsagent.errors import (
    AccessDenied,
    DumpInterrupted,
    DumpUnavailable,
    FormatError,
    ProcessGone,
    ReadFailed,
)
from nsagent.kernel.formats import inet_diag, net_inet
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.netns import Entering
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.kernel.sock_diag import SockDiag, make_buffer
from nsagent.model.choices import EngineName
from nsagent.model.facts import Gap, Interface, NetnsReading, RawTable, Stage, TableFormat
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.plan import plan_protocols

_PROC_FILES: Final = {
    Protocol.TCP: (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)),
    Protocol.UDP: (("udp", socket.AF_INET), ("udp6", socket.AF_INET6)),
}


@dataclass(slots=True)
class NetnsTables:
    """What was read of one netns so far. `diag` stays open, to look rows up again; None by /proc.

    `refused` is why it could not be entered.
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
    interface_indexes: set[int] = field(default_factory=set)
    interfaces: tuple[Interface, ...] | None = None

    def close(self) -> None:
        """Let go of the netns."""
        if self.diag is not None:
            self.diag.close()
            self.diag = None


class Unheld(NamedTuple):
    """Rows of one table that nobody was seen to hold."""

    netns: NetnsTables
    table: RawTable
    places: list[RowPlace]


class TableReader:
    """Reads tables with one engine; a context manager that closes every socket it made."""

    def __init__(self, procfs: ProcFs, engine: EngineName, *, may_enter: bool, stop: threading.Event) -> None:
        self._procfs = procfs
        self._engine = engine
        self._may_enter = may_enter
        self._stop = stop
        self.netns: list[NetnsTables] = []
        self.listed: set[int] = set()
        self.gaps: list[Gap] = []

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
        buffer = make_buffer()
        entering = Entering(self._procfs.root) if self._may_enter and self._engine is not EngineName.PROC else None
        for one in map(NetnsTables, met):
            if self._stop.is_set():
                return
            self.netns.append(one)
            if entering is None or one.met.fd is None:
                continue
            try:
                one.sockstat = entering.enter(one.met.fd)
                self._dump(one, buffer)
            except (AccessDenied, ReadFailed) as err:
                one.refused = err.reason

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

    def _dump(self, one: NetnsTables, buffer: bytearray) -> None:
        """Dump the tables of the netns that this thread is in; its socket stays open, to look rows up again."""
        one.diag = SockDiag()
        one.cookie = one.diag.read_netns_cookie()
        one.engine = EngineName.SOCK_DIAG
        protocols = plan_protocols(one.sockstat)
        if not protocols:
            one.empty = True
            one.close()
        for protocol in protocols:
            try:
                data = one.diag.dump(inet_diag.NUMBERS[protocol], buffer)
            except DumpUnavailable:
                continue
            except (DumpInterrupted, ReadFailed, FormatError) as err:
                self._add_table_gap(one, protocol, err)
            else:
                one.tables.append(RawTable(TableFormat.INET_DIAG, protocol, socket.AF_UNSPEC, data))

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
        """The text tables, read twice: one read may lose rows under churn, the decoder drops what is double."""
        one.sockstat = (process.read_net("sockstat") + process.read_net("sockstat6")).decode("ascii", "replace")
        protocols = plan_protocols(one.sockstat)
        one.empty = not protocols
        for protocol in protocols:
            for name, family in _PROC_FILES[protocol]:
                data = b"".join(_drop_header(process.read_net(name)) for _ in range(2))
                one.tables.append(RawTable(TableFormat.NET_INET, protocol, family, data))

    def list_unheld(self, held: Container[int]) -> list[Unheld]:
        """Rows that an fd should hold and none in `held` does; notes which inodes and ifindexes the rows name."""
        found = []
        for one in self.netns:
            for table in one.tables:
                if table.format is TableFormat.INET_DIAG:
                    places, indexes = inet_diag.list_unheld(table.data, held, self.listed, sys.byteorder)
                    one.interface_indexes |= indexes
                else:
                    places = net_inet.list_unheld(table.data, held, self.listed)
                if places:
                    found.append(Unheld(one, table, places))
        return found

    def drop_closed(self, unheld: Sequence[Unheld]) -> None:
        """Look these rows up again and note those that have closed since their table was read."""
        buffer = make_buffer()
        for one, table, places in unheld:
            if self._stop.is_set():
                return
            try:
                if table.format is TableFormat.INET_DIAG and one.diag is not None:
                    one.closed |= one.diag.find_closed(inet_diag.NUMBERS[table.protocol], table.data, places, buffer)
                elif table.format is TableFormat.NET_INET:
                    one.closed |= self._find_closed_in_proc(one, table, places)
            except (DumpInterrupted, DumpUnavailable, ReadFailed, FormatError) as err:
                self._add_table_gap(one, table.protocol, err)

    def _find_closed_in_proc(
        self, one: NetnsTables, table: RawTable, places: Sequence[RowPlace]
    ) -> frozenset[SocketInode]:
        name = next(name for name, family in _PROC_FILES[table.protocol] if family == table.family)
        for pid in sorted(one.met.members):
            try:
                with self._procfs.open_process(pid) as process:
                    if _is_in(process, one.met):
                        there: set[int] = set()
                        net_inet.list_unheld(_drop_header(process.read_net(name)), (), there)
                        return frozenset(place.inode for place in places if place.inode not in there)
            except (ProcessGone, AccessDenied):
                continue
        return frozenset()

    def readings(self, host_inode: int | None, host_key: int | None) -> tuple[NetnsReading, ...]:
        """What was read, ready to be kept, by inode."""
        self.netns.sort(key=lambda one: (one.met.id is None, one.met.id or (0, one.met.key)))
        return tuple(_make_reading(one, host_inode, host_key) for one in self.netns)

    def _add_table_gap(self, one: NetnsTables, protocol: Protocol, err: Exception) -> None:
        reason = err.reason if isinstance(err, ReadFailed) else str(err)
        self.gaps.append(Gap(Stage.TABLES, f"{protocol} of {one.met.subject}", reason))


def _make_reading(one: NetnsTables, host_inode: int | None, host_key: int | None) -> NetnsReading:
    met = one.met
    names = []
    if one.diag is not None:
        for index in sorted(one.interface_indexes):
            name = one.diag.read_interface_name(index)
            if name is not None:
                names.append((index, name))
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
        interface_names=tuple(names),
        interfaces=one.interfaces,
    )


def _is_in(process: ProcessDir, met: MetNetns) -> bool:
    """Whether the process is (still) in that netns."""
    if met.id is not None:
        return process.read_netns_inode() == met.id.inode
    return process.read_netns_key() == met.key


def _drop_header(text: bytes) -> bytes:
    return text.partition(b"\n")[2]
