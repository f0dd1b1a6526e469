"""What a pass has read of one netns so far, and rows of it that nobody was seen to hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.procfs import ProcessDir
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.choices import EngineName
from nsagent.model.facts import Interface, NetnsReading, RawTable
from nsagent.model.ids import SocketInode
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.read_tables import TablesRead


@dataclass(slots=True)
class NetnsTables:
    """What was read of one netns so far. `diag` stays open, to look rows up again; None by /proc.

    `refused` is why it could not be entered. `skipped`, `closed`, `unsettled` and `mptcp_counted` are those of
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
    skipped: bool = False

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


def make_reading(one: NetnsTables, host_inode: int | None, host_key: int | None) -> NetnsReading:
    """What was read of one netns, ready to be kept; the host's netns is told by its inode or its key."""
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
        skipped=one.skipped,
    )


def is_in(process: ProcessDir, met: MetNetns) -> bool:
    """Whether the process is (still) in that netns."""
    if met.id is not None:
        return process.read_netns_inode() == met.id.inode
    return process.read_netns_key() == met.key
