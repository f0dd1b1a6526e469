"""What a pass knows of one netns so far, and the rows of it that nobody was seen to hold."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from nsagent.errors import NotRead
from nsagent.kernel.formats.row_place import RowIndex, RowPlace
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.choices import EngineName
from nsagent.model.facts import Flow, Interface, NetnsReading, RawTable, TunnelEnd
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from nsagent.scan.collect.indexes import Indexes
from nsagent.scan.collect.netns import MetNetns


class Activity(NamedTuple):
    """What a netns had counted just before one of its tables was read."""

    sockets: tuple[int, ...]
    """Those that have a row there (plan.list_counters)."""
    packets: bytes
    """Those sent and received that may change a row."""


@dataclass(slots=True)
class TablesRead:
    """What was read of the tables of one netns."""

    empty: bool
    """Its counters say that there is nothing to read."""
    tables: list[RawTable] = field(default_factory=list)
    at_seconds: float = 0.0
    """When that began, by the clock of the pass; only told where `activities` are."""
    activities: dict[Protocol, Activity] = field(default_factory=dict)
    """Of tables of which that is asked."""
    resting: set[Protocol] = field(default_factory=set)
    """Whose tables are those of the pass before."""
    mptcp_counted: int | None = None
    own: frozenset[SocketInode] = frozenset()
    """The inodes of sockets that were opened to read its tables, and stand in them."""


@dataclass(slots=True)
class NetnsState:
    """What was read of one netns so far; what is not told here is as in NetnsReading."""

    met: MetNetns
    diag: SockDiag | None = None
    """Stays open, to look rows up again; None by /proc, and where the netns was let go."""
    cookie: int | None = None
    sockstat: str | None = None
    engine: EngineName | None = None
    refused: NotRead | None = None
    """Why it could not be entered."""
    empty: bool = False
    tables: list[RawTable] = field(default_factory=list)
    indexes: list[RowIndex] = field(default_factory=list)
    """What the rows of each table name, in the order of the tables."""
    at_seconds: float = 0.0
    activities: Mapping[Protocol, Activity] = field(default_factory=dict)
    resting: Set[Protocol] = frozenset()
    """As TablesRead has them."""
    closed: frozenset[SocketInode] = frozenset()
    """With what was opened to read the tables."""
    unsettled: frozenset[SocketInode] = frozenset()
    mptcp_counted: int | None = None
    interface_names: tuple[tuple[int, str], ...] = ()
    interfaces: tuple[Interface, ...] | None = None
    skipped: bool = False
    own_addresses: tuple[str, ...] | None = None
    broadcasts: tuple[str, ...] = ()
    linked: tuple[str, ...] | None = None
    client_ports: tuple[int, int] | None = None
    tunnels: frozenset[TunnelEnd] = frozenset()
    rpc_flows: frozenset[Flow] = frozenset()
    read_at_ticks: int | None = None

    def close(self) -> None:
        """Close the socket in it."""
        if self.diag is not None:
            self.diag.close()
            self.diag = None

    def let_go(self) -> int:
        """Hold it no longer; how many fds that were. Its inode may be another netns's from now on."""
        count = (self.diag is not None) + (self.met.fd is not None)
        self.close()
        self.met.let_go()
        return count

    def take(self, read: TablesRead, indexes: Indexes) -> None:
        """Keep what was read; `indexes` may know what it names."""
        self.empty = read.empty
        found = [indexes.find(self.cookie, table) for table in read.tables]
        self.tables = [one.table for one in found]
        self.indexes = [one.rows for one in found]
        self.at_seconds, self.activities, self.resting = read.at_seconds, read.activities, read.resting
        self.mptcp_counted = read.mptcp_counted
        self.closed |= read.own

    def lose_tables(self) -> None:
        """They are not what they were, and cannot be read again."""
        self.engine = None
        self.tables, self.indexes = [], []

    def settle(self, places: Iterable[RowPlace], closed: frozenset[SocketInode] | None) -> None:
        """Note which of these rows have closed; None: that could not be found out."""
        inodes = {place.inode for place in places}
        if closed is None:
            self.unsettled |= inodes
        else:
            self.closed |= closed
            self.unsettled -= inodes

    def has_bare_rows(self) -> bool:
        """Whether some row has no inode, which no fd can hold."""
        return any(index.bare for index in self.indexes)

    def list_interfaces(self) -> set[int]:
        """The ifindexes that its rows are bound to."""
        return set[int]().union(*(index.interfaces for index in self.indexes))


class Unheld(NamedTuple):
    """Rows of one table that nobody was seen to hold."""

    netns: NetnsState
    table: RawTable
    places: Sequence[RowPlace]


def is_host(met: MetNetns, host_inode: int | None, host_key: int | None) -> bool:
    """Whether a netns is the host's, which is told by its inode or its key."""
    return met.id.inode == host_inode if met.id and host_inode else met.key is not None and met.key == host_key


def make_reading(state: NetnsState, host_inode: int | None, host_key: int | None) -> NetnsReading:
    """What was read of one netns, ready to be kept."""
    met = state.met
    return NetnsReading(
        id=met.id,
        key=met.key,
        cookie=state.cookie,
        mounts=tuple(sorted(met.mounts)),
        foreign_mounts=tuple(sorted(met.foreign_mounts - met.mounts)),
        is_host=is_host(met, host_inode, host_key),
        found_by=tuple(sorted(met.found_by)),
        engine=state.engine,
        empty=state.empty,
        sockstat=state.sockstat,
        tables=tuple(state.tables),
        closed=state.closed,
        unsettled=state.unsettled,
        mptcp_counted=state.mptcp_counted,
        interface_names=state.interface_names,
        interfaces=state.interfaces,
        skipped=state.skipped,
        own_addresses=state.own_addresses,
        client_ports=state.client_ports,
        tunnels=tuple(sorted(state.tunnels)),
        rpc_flows=tuple(sorted(state.rpc_flows)),
        read_at_ticks=state.read_at_ticks,
        broadcasts=state.broadcasts,
        linked=state.linked,
    )
