"""The tables of each netns, by sock_diag inside of it, or by the /proc files of a process in it."""

import sys
import threading
from collections import deque
from collections.abc import Container, Iterable

from nsagent.errors import (
    AccessDenied,
    ProcessGone,
    ReadFailed,
)
from nsagent.kernel.formats.raw_table import find_rows, index_rows
from nsagent.kernel.netns import Entering
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.kernel.sock_diag import SockDiag, make_buffer
from nsagent.model.choices import EngineName
from nsagent.model.facts import Gap, NetnsReading, Stage
from nsagent.model.net import Protocol
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.netns_tables import NetnsTables, Unheld, is_in, make_reading
from nsagent.scan.collect.read_tables import TableDumper, read_files
from nsagent.scan.plan import TablesWanted, plan_by_counters


class Everything:
    """Holds whatever one asks it for."""

    def __contains__(self, _: object) -> bool:
        return True


class TableReader:
    """Reads tables with one engine; a context manager that closes every socket it made.

    `listed` are the inodes of all rows, `cgroup_ids` what their tables name, both once list_unheld() was called.
    `busy`: a thread is in read(), or about to be; `sockets` counts those made there that are open still.
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
        self._lock = threading.Lock()
        self._held: deque[NetnsTables] = deque()

    def __enter__(self) -> "TableReader":
        return self

    def __exit__(self, *_: object) -> None:
        for tables in self.netns:
            tables.close()

    def read(self, met: Iterable[MetNetns]) -> None:
        """Read these netns as they come, by sock_diag; moves the calling thread, which must end (kernel.netns).

        Nearly all of it is time in the kernel, which walks the sockets of the whole host for each
        netns: the processes are walked in another thread meanwhile, which then helps.
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
                with self._lock:
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
            with self._lock:
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
        counters = dumper.read_counters(one.sockstat)
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
                    if not is_in(process, one.met):
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

    def skip(self, met: Iterable[MetNetns]) -> None:
        """Note netns that are not worth reading, unless take_skipped() takes them back."""
        self.netns += [NetnsTables(each, skipped=True) for each in met]

    def take_skipped(self) -> list[MetNetns]:
        """The netns that were skipped, which are to be read after all."""
        skipped = [one.met for one in self.netns if one.skipped]
        self.netns = [one for one in self.netns if not one.skipped]
        return skipped

    def list_unheld(self, held: Container[int]) -> list[Unheld]:
        """Rows that an fd should hold and none in `held` does; notes what the rows name."""
        found = []
        for one in self.netns:
            for table in one.tables:
                index = index_rows(table, sys.byteorder)
                self.listed |= index.inodes
                one.interface_indexes |= index.interfaces
                self.cgroup_ids |= index.cgroup_ids
                unheld = {inode for inode in index.inodes if inode not in held} - one.closed
                places = find_rows(table, unheld, sys.byteorder) if unheld else []
                if places:
                    found.append(Unheld(one, table, places))
        return found

    def readings(self, host_inode: int | None, host_key: int | None) -> tuple[NetnsReading, ...]:
        """What was read, ready to be kept, by inode."""
        self.netns.sort(key=lambda one: (one.met.id is None, one.met.id or (0, one.met.key)))
        return tuple(make_reading(one, host_inode, host_key) for one in self.netns)
