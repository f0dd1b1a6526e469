"""The tables of one netns by sock_diag, from inside of it.

A table that netlink has not is read as text; one that neither way has is in no kernel: no gap.
"""

import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from nsagent.errors import DumpUnavailable, FormatError, NotRead, Reason
from nsagent.kernel.formats.net_protocols import count_mptcp
from nsagent.kernel.formats.raw_table import find_net_file, index_rows
from nsagent.kernel.formats.snmp import find_counters, find_ipv6_counters
from nsagent.kernel.formats.sockstat import SockStat
from nsagent.kernel.netns import Entering
from nsagent.kernel.sock_diag import Dump, SockDiag
from nsagent.model.choices import EngineName
from nsagent.model.facts import RawTable
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.net import Protocol
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.resting_tables import RestingTables
from nsagent.scan.collect.state import Activity, TablesRead
from nsagent.scan.collect.text_tables import read_counts, read_text_table
from nsagent.scan.plan import (
    PROTOCOLS,
    TablesWanted,
    list_counters,
    needs_counts,
    plan_by_counters,
    plan_counted,
    read_counters,
)

MORE_DUMPS: Final = 2
"""How often a table that is short of rows is dumped again."""


def table_subject(protocol: Protocol, met: MetNetns) -> Subject:
    """What a gap calls one table."""
    return Subject(Kind.TABLE, met.subject.id, protocol)


@dataclass(slots=True)
class TableDumper:
    """Dumps the tables of netns after netns; for one thread."""

    entering: Entering
    """What moves the thread."""
    wanted: TablesWanted
    buffer: bytearray
    gaps: GapSink
    release: str | None
    """That of the kernel (kernel.formats.release)."""
    clock: Callable[[], float]
    """Monotonic, in seconds."""
    resting: RestingTables | None = None
    """What is known of the pass before; None where all is dumped."""
    knows_protocol: bool | None = None
    """What the last SockDiag knew."""
    _unavailable: set[Protocol] = field(default_factory=set)
    """Those that netlink has no table of, on the whole host: to ask makes the kernel look for a module each time."""
    _sockstat: str | None = None
    _counters: SockStat = field(default_factory=dict)

    def read_counters(self, sockstat: str | None) -> SockStat:
        """The counters of a netns by its sockstat; netns without sockets have the same text, on a quiet host."""
        if sockstat != self._sockstat:
            self._sockstat, self._counters = sockstat, read_counters(sockstat)
        return self._counters

    def dump_tables(self, diag: SockDiag, counters: SockStat, met: MetNetns, cookie: int | None = None) -> TablesRead:
        """Read the tables of the netns that `diag` and the thread are in; `counters` were read just before."""
        planned = plan_by_counters(counters, self.wanted)
        read = TablesRead(empty=not planned)
        counts: dict[str, int] | None = None
        known = self._find_known(cookie, counters, read, planned)
        # TCP comes first: an MPTCP socket of any of its rows is then counted and dumped after it.
        for protocol in planned:
            if counts is None and needs_counts([protocol]):
                counts = read_counts(self.entering.read_net)
            if protocol not in plan_counted([protocol], counts):
                continue
            try:
                read.tables += known.get(protocol) or self._dump(diag, protocol, counters, met, read)
                if protocol is Protocol.NETLINK:
                    read.own = frozenset((diag.read_inode(),))
            except (NotRead, FormatError) as err:
                self.gaps.note(Stage.TABLES, table_subject(protocol, met), err)
            if protocol is Protocol.TCP:
                counts = read_counts(self.entering.read_net)
                self._dump_mptcp(diag, counts, met, read)
        self.knows_protocol = diag.knows_protocol
        return read

    def _find_known(
        self, cookie: int | None, counters: SockStat, read: TablesRead, planned: Collection[Protocol]
    ) -> dict[Protocol, list[RawTable]]:
        """The tables of the pass before, if the netns tells of nothing that changed them; notes what it tells."""
        if self.resting is None or self.wanted.deep or self.wanted.tcp_info or not counters:
            return {}
        tables = {}
        read.at_seconds = self.clock()
        with suppress(NotRead):
            snmp = self.entering.read_net("snmp") or b""
            for protocol in (one for one in PROTOCOLS if one in planned):
                packets = self._count_packets(protocol, counters, snmp)
                if packets is None:
                    continue
                activity = read.activities[protocol] = Activity(list_counters(protocol, counters), packets)
                if (known := self.resting.find(cookie, protocol, activity, read.at_seconds)) is not None:
                    tables[protocol] = [known]
        read.resting.update(tables)
        return tables

    def _count_packets(self, protocol: Protocol, counters: SockStat, snmp: bytes) -> bytes | None:
        """What the netns has counted of the packets that may change rows; None where it does not tell.

        A datagram is counted as one of UDP once it is read: that it has come is told by those of IP.
        """
        if protocol is Protocol.TCP:
            return find_counters(snmp, "Tcp")
        found = [find_counters(snmp, "Ip"), find_counters(snmp, "Udp")]
        if counters.get(("UDP6", "inuse")):
            found.append(find_ipv6_counters(self.entering.read_net("snmp6") or b""))
        return None if None in found else b"\n".join(one or b"" for one in found)

    def _dump(
        self, diag: SockDiag, protocol: Protocol, counters: SockStat, met: MetNetns, read: TablesRead
    ) -> list[RawTable]:
        """The table of one protocol, as text where netlink has none, or fails.

        Raises the error of the dump where there is no text either, or where text lacks what is asked for.
        """
        deep, tcp_info = self.wanted.deep, self.wanted.tcp_info
        try:
            if protocol in self._unavailable:
                raise DumpUnavailable(protocol)
            table, missing = dump_whole(
                lambda: diag.dump(protocol, self.buffer, deep=deep, tcp_info=tcp_info),
                protocol,
                counters,
                self.entering.read_sockstat,
            )
        except DumpUnavailable:
            self._unavailable.add(protocol)
            return read_text_table(protocol, self.entering.read_net)
        except (NotRead, FormatError):
            tables = read_text_table(protocol, self.entering.read_net)
            if not tables or (protocol is Protocol.TCP and (deep or tcp_info)):
                raise
            return tables
        if missing:
            read.activities.pop(protocol, None)  # The next pass is to dump it, too, and to tell of the gap.
            self.gaps.add((Gap(Stage.TABLES, table_subject(protocol, met), Reason.SHORT, count=missing),))
        if protocol is Protocol.SCTP:
            # Each association of IPv6 stands in the dump twice, and with wrong ends; the text is right.
            return [table, *read_text_table(protocol, self.entering.read_net)]
        return [table]

    def _dump_mptcp(self, diag: SockDiag, counts: dict[str, int] | None, met: MetNetns, read: TablesRead) -> None:
        """Read which rows of TCP are MPTCP: only where there is such a socket, for that dump costs three of TCP.

        Where a count of none tells nothing that is read with the tables of all protocols, and else not known.
        """
        if counts is None:
            return
        counted = read.mptcp_counted = count_mptcp(counts, self.release)
        if not counted and (counted == 0 or not self.wanted.protocols.issuperset(Protocol)):
            return
        try:
            read.tables.append(diag.dump_mptcp(self.buffer))
        except DumpUnavailable:
            return
        except (NotRead, FormatError) as err:
            self.gaps.note(Stage.TABLES, table_subject(Protocol.TCP, met), err)


def name_engine(tables: Iterable[RawTable]) -> EngineName:
    """By which engine those of TCP and UDP came: none by sock_diag where the kernel has no diag of them.

    It may be a module that was not loaded yet, and is not to be (kernel.modules_disabled).
    """
    as_text = any(table.protocol in PROTOCOLS and find_net_file(table) is not None for table in tables)
    return EngineName.PROC if as_text else EngineName.SOCK_DIAG


def dump_whole(
    dump: Callable[[], Dump], protocol: Protocol, counters: SockStat, read_sockstat: Callable[[], str | None]
) -> tuple[RawTable, int]:
    """The fullest of up to three dumps, and how many rows it lacks for sure.

    A dump walks its table bucket by bucket while sockets come and go: under churn it may have fewer
    rows than there were at any one time. A shortage is therefore told only where nothing else changed
    in three dumps; where sockets came and went it cannot be told from churn, and is not. `counters`
    were read before. One dump is enough where it has as many rows as they tell, which costs nothing to
    see. Raises what the first dump raises.
    """
    first = dump()
    counted = list_counters(protocol, counters)
    if first.rows >= sum(counted):
        return first.table, 0
    dumps, counts = [first], [counted]
    while True:
        counts.append(list_counters(protocol, read_counters(read_sockstat())))
        fullest = max(dumps, key=lambda one: one.rows)
        missing = min(map(sum, counts)) - fullest.rows
        if missing <= 0:
            return fullest.table, 0
        if len(dumps) > MORE_DUMPS:
            quiet = len(set(counts)) == 1 and _are_alike(dumps)
            return fullest.table, missing if quiet else 0
        try:
            dumps.append(dump())
        except (NotRead, FormatError):
            return fullest.table, 0


def _are_alike(dumps: list[Dump]) -> bool:
    """Whether all dumps show the same sockets; those without an inode are compared by their number."""
    return len({(dump.rows, frozenset(index_rows(dump.table, sys.byteorder).inodes)) for dump in dumps}) == 1
