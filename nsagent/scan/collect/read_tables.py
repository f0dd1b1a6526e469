"""The tables of one netns: by sock_diag from inside, else from the text files of /proc.

What cannot be read becomes a gap. A table that neither way has is in no kernel: no gap.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from nsagent.errors import AccessDenied, DumpInterrupted, DumpUnavailable, FormatError, ReadFailed
from nsagent.kernel.formats.net_protocols import count_mptcp, parse_net_protocols
from nsagent.kernel.formats.raw_table import NET_FILES
from nsagent.kernel.formats.sockstat import SockStat
from nsagent.kernel.netns import Entering
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.facts import Gap, RawTable, Stage
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from nsagent.scan.collect.shortage import dump_whole
from nsagent.scan.plan import (
    TablesWanted,
    needs_counts,
    plan_by_counters,
    plan_counted,
    plan_protocols,
    read_counters,
)

_READS: Final = 2
"""How often a text table is read: one read may lose rows under churn, the decoder drops what is double."""


@dataclass(slots=True)
class TablesRead:
    """What was read of one netns; `subject` is what a gap calls it.

    `empty`: its counters say that there is nothing to read. `own` are the inodes of sockets that
    were opened to read its tables, and stand in them.
    """

    subject: str
    empty: bool
    tables: list[RawTable] = field(default_factory=list)
    mptcp_counted: int | None = None
    own: frozenset[SocketInode] = frozenset()
    gaps: list[Gap] = field(default_factory=list)


def make_gap(protocol: Protocol, subject: str, err: Exception) -> Gap:
    """The gap that a failed read of one table is."""
    reason = err.reason if isinstance(err, AccessDenied | ReadFailed) else str(err)
    return Gap(Stage.TABLES, f"{protocol} of {subject}", reason)


@dataclass(slots=True)
class TableDumper:
    """Dumps the tables of netns after netns; for the thread that `entering` moves.

    `unavailable` are protocols that netlink has no table of, on the whole host: to ask makes the
    kernel look for a module each time. `knows_protocol` is what the last SockDiag knew.
    """

    entering: Entering
    wanted: TablesWanted
    buffer: bytearray
    unavailable: set[Protocol] = field(default_factory=set)
    knows_protocol: bool | None = None
    _sockstat: str | None = None
    _counters: SockStat = field(default_factory=dict)

    def read_counters(self, sockstat: str | None) -> SockStat:
        """The counters of a netns by its sockstat; netns without sockets have the same text, on a quiet host."""
        if sockstat != self._sockstat:
            self._sockstat, self._counters = sockstat, read_counters(sockstat)
        return self._counters

    def dump_tables(self, diag: SockDiag, counters: SockStat, subject: str) -> TablesRead:
        """Read the tables of the netns that `diag` and the thread are in; `counters` were read just before."""
        planned = plan_by_counters(counters, self.wanted)
        read = TablesRead(subject, empty=not planned)
        counts: dict[str, int] | None = None
        # TCP comes first: an MPTCP socket of any of its rows is then counted and dumped after it.
        for protocol in planned:
            if counts is None and needs_counts([protocol]):
                counts = _count(self.entering.read_net)
            if protocol not in plan_counted([protocol], counts):
                continue
            try:
                self._dump(diag, protocol, counters, read)
            except (AccessDenied, DumpInterrupted, ReadFailed, FormatError) as err:
                read.gaps.append(make_gap(protocol, subject, err))
            if protocol is Protocol.TCP:
                counts = _count(self.entering.read_net)
                self._dump_mptcp(diag, counts, read)
            elif protocol is Protocol.NETLINK:
                read.own = frozenset((diag.read_inode(),))
        self.knows_protocol = diag.knows_protocol
        return read

    def _dump(self, diag: SockDiag, protocol: Protocol, counters: SockStat, read: TablesRead) -> None:
        """Read the table of one protocol, as text where netlink has none."""
        deep, tcp_info = self.wanted.deep, self.wanted.tcp_info
        try:
            if protocol in self.unavailable:
                raise DumpUnavailable(protocol)
            table, missing = dump_whole(
                lambda: diag.dump(protocol, self.buffer, deep=deep, tcp_info=tcp_info),
                protocol,
                counters,
                self.entering.read_sockstat,
            )
        except DumpUnavailable:
            self.unavailable.add(protocol)
            _read_files(protocol, self.entering.read_net, read)
            return
        read.tables.append(table)
        if missing:
            subject = f"{protocol} of {read.subject}"
            read.gaps.append(Gap(Stage.TABLES, subject, "fewer rows than the netns counts", missing))

    def _dump_mptcp(self, diag: SockDiag, counts: dict[str, int] | None, read: TablesRead) -> None:
        """Read which rows of TCP are MPTCP: only where there is such a socket, for that dump costs three of TCP."""
        if counts is None:
            return
        read.mptcp_counted = count_mptcp(counts)
        if not read.mptcp_counted:
            return
        try:
            read.tables.append(diag.dump_mptcp(self.buffer))
        except DumpUnavailable:
            return
        except (DumpInterrupted, ReadFailed, FormatError) as err:
            read.gaps.append(make_gap(Protocol.TCP, read.subject, err))


def read_files(
    read_net: Callable[[str], bytes | None], sockstat: str, wanted: TablesWanted, subject: str
) -> TablesRead:
    """Read the tables as text; `read_net` gives a file of net/, None or nothing where the kernel lacks it.

    What it raises goes to the caller.
    """
    planned = plan_protocols(sockstat, wanted)
    read = TablesRead(subject, empty=not planned)
    counts = _count(read_net) if Protocol.TCP in planned or needs_counts(planned) else None
    for protocol in plan_counted(planned, counts):
        _read_files(protocol, read_net, read)
    if Protocol.TCP in planned and counts is not None:
        read.mptcp_counted = count_mptcp(counts)
    return read


def read_text(name: str, read_net: Callable[[str], bytes | None]) -> bytes | None:
    """A text table without its header line, as often as it is read; None where the kernel lacks it."""
    texts = [read_net(name) for _ in range(_READS)]
    if not texts[0]:
        return None
    return b"".join((text or b"").partition(b"\n")[2] for text in texts)


def _read_files(protocol: Protocol, read_net: Callable[[str], bytes | None], read: TablesRead) -> None:
    for name, family, format_ in NET_FILES[protocol]:
        data = read_text(name, read_net)
        if data is not None:
            read.tables.append(RawTable(format_, protocol, family, data))


def _count(read_net: Callable[[str], bytes | None]) -> dict[str, int] | None:
    """The counts of net/protocols; None where they cannot be read: nothing is then skipped, or known, by them."""
    try:
        text = read_net("protocols")
        return parse_net_protocols(text.decode("ascii", "replace")) if text else None
    except (AccessDenied, ReadFailed, FormatError):
        return None
