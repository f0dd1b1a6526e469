"""Facts: everything one pass read, undecided, and what it could not read.

Plain data: it can be written to a file and read back on another machine (scan.capture).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.container import Container
from nsagent.model.gap import Gap
from nsagent.model.ids import ContainerId, Fd, NetnsId, Pid, SocketInode, Tid
from nsagent.model.net import ByteOrder, Endpoint, Family, Protocol


class FoundBy(StrEnum):
    """What led to a netns."""

    PROCESS = "process"
    THREAD = "thread"
    MOUNT = "mount"
    FD = "fd"
    SOCKET = "socket"


class HeldBy(StrEnum):
    """How a process holds a socket: by an fd, or as a registered file of the io_uring at that fd."""

    FD = "fd"
    IO_URING = "io_uring"


class TableFormat(StrEnum):
    """The kernel format of a raw table, named after the decoder that reads it.

    An `mptcp_diag` table is an inet_diag dump of protocol 262: it tells which TCP rows are MPTCP.
    """

    INET_DIAG = "inet_diag"
    MPTCP_DIAG = "mptcp_diag"
    PACKET_DIAG = "packet_diag"
    NETLINK_DIAG = "netlink_diag"
    VSOCK_DIAG = "vsock_diag"
    NET_INET = "net_inet"
    NET_PACKET = "net_packet"
    NET_NETLINK = "net_netlink"
    NET_SCTP_ENDPOINTS = "net_sctp_endpoints"
    NET_SCTP_ASSOCIATIONS = "net_sctp_associations"


class ProcessReading(NamedTuple):
    """One process, all read through one held /proc/PID directory fd.

    A pass may hold several readings of one pid: a later one saw fds that an earlier one missed, or
    another process under the same number, or holds what a thread or an io_uring has of its own.
    """

    pid: Pid
    start_ticks: int
    comm: str
    """With surrogate escapes for bytes that are not UTF-8."""
    uid: int
    kernel_thread: bool
    netns_inode: int | None
    """The N of ns/net, None where that may not be read."""
    netns_key: int | None
    """The st_ino of its net/dev where ns/net may not be read: that tells netns apart too."""
    cgroup: str
    """The text of its cgroup file, with surrogate escapes like `comm`."""
    threads: int
    """How many threads it has."""
    socket_fds: tuple[tuple[Fd, SocketInode], ...] | None
    """Its fd links of the form `socket:[inode]`, by ascending fd; None where they may not be read."""
    tid: Tid | None = None
    """The thread whose own fd table this is; None for that of the process."""
    held_by: HeldBy = HeldBy.FD
    """With io_uring `socket_fds` are what its rings hold, by the fds of the rings."""


class Placed(NamedTuple):
    """A process, by its pid and its start, that is in a container of which its cgroup tells nothing."""

    container_id: ContainerId
    pid: Pid
    start_ticks: int


class RawTable(NamedTuple):
    """One table as the kernel gave it: netlink messages, or the text of /proc without its header.

    One `inet_diag` dump holds both families, of which `family` (AF_INET, AF_INET6) tells only for
    text.
    """

    format: TableFormat
    protocol: Protocol
    family: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a netns.

    `addresses` are "address/prefix length". `peer_index` and `peer_netns` (an inode) tell the
    other end of a veth where it is in a netns that this pass has seen.
    """

    index: int
    name: str
    kind: str | None
    up: bool
    mac: str | None
    addresses: tuple[str, ...]
    peer_index: int | None = None
    peer_netns: int | None = None


class TunnelEnd(NamedTuple):
    """A UDP socket that the kernel has for a tunnel: bound to any address of one family, at this port."""

    family: Family
    port: int


class Flow(NamedTuple):
    """A TCP connection, as its end in this netns sees it."""

    family: Family
    local: Endpoint
    remote: Endpoint


class NetnsReading(NamedTuple):
    """One netns and its tables."""

    id: NetnsId | None
    """None where only its /proc files could be told apart, by `key`."""
    key: int | None
    """The st_ino of net/dev."""
    cookie: int | None
    """SO_NETNS_COOKIE; None before Linux 5.14, or where it was not entered."""
    mounts: tuple[str, ...]
    """The paths of its nsfs mounts in the host's mount namespace, but for names of `ip netns` that are covered."""
    is_host: bool
    found_by: tuple[FoundBy, ...]
    engine: EngineName | None
    """None if its tables could not be read."""
    empty: bool
    """Its sockstat counts no socket, so no table was read."""
    sockstat: str | None
    """The text of sockstat and sockstat6, None where they could not be read."""
    tables: tuple[RawTable, ...]
    closed: frozenset[SocketInode] = frozenset()
    """Of rows that were in the tables, and no longer in the kernel when they were looked up again."""
    unsettled: frozenset[SocketInode] = frozenset()
    """Of rows that nobody was seen to hold, that could not be looked up again or changed in the last round still."""
    mptcp_counted: int | None = None
    """How many MPTCP sockets it had when its TCP table was read, None where that was not read."""
    interface_names: tuple[tuple[int, str], ...] = ()
    """Of the ifindexes that rows name."""
    interfaces: tuple[Interface, ...] | None = None
    """None unless they were asked for."""
    skipped: bool = False
    """Its tables were not read, or are left out, because what the pass was about has nothing there."""
    own_addresses: tuple[str, ...] | None = None
    """Its own, as "address/prefix length"; None where neither rows nor the caller ask for them, or unknown."""
    client_ports: tuple[int, int] | None = None
    """The first and the last of those that it gives to clients; None where no row asks for them, or unknown."""
    tunnels: tuple[TunnelEnd, ...] = ()
    """Those whose sockets are in it; looked for only where a row without an owner may be one."""
    rpc_flows: tuple[Flow, ...] = ()
    """Those of the kernel's RPC client, which NFS has; looked for only where a row without an owner may be one."""
    foreign_mounts: tuple[str, ...] = ()
    """The paths of those in other mount namespaces, but for those that the host has too: anyone may choose them."""
    read_at_ticks: int | None = None
    """When its tables had been read, in ticks since boot as `start_ticks`; None where no row asks for it."""
    broadcasts: tuple[str, ...] = ()
    """The IPv4 addresses by which all of a network of its own are reached; read with its own ones."""
    linked: tuple[str, ...] | None = None
    """The networks to which it sends packets by a link of its own, through no other host, as "address/prefix length";
    of the host alone, and None unless the own addresses were asked for, or unknown."""


@dataclass(frozen=True, slots=True)
class ProcessCounts:
    """How the processes of a pass fared: seen = ok + vanished + denied + skipped.

    Kernel threads count as ok: they hold no fds.
    """

    seen: int
    ok: int
    vanished: int
    denied: int
    skipped: int


class Visibility(NamedTuple):
    """What the mount of procfs shows (proc(5), mount options): `hidepid` and `subset` as it names them, else None.

    `init` says whether PID 1 was listed: every PID namespace has one, so that others are hidden
    too where it is missing. `partial`: by these options, or without PID 1, processes that exist may
    not have been listed.
    """

    hidepid: str | None = None
    subset: str | None = None
    init: bool = True
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Rewalk:
    """How rows were looked for that nobody was seen to hold in the first walk.

    `rounds` is how often the processes were walked again. `threads` is how many threads were asked
    for an fd table of their own, `threads_skipped` how many were not. `in_flight` counts the
    descriptors on their way over unix sockets (SCM_RIGHTS) in those that could be read.
    """

    rounds: int
    threads: int
    threads_skipped: int
    in_flight: int
    seconds: float


class Facts(NamedTuple):
    """One pass over one host."""

    host: str
    boot_id: str | None
    byteorder: ByteOrder
    """Of the machine whose kernel wrote the tables."""
    taken_at_ns: int
    """The wall clock at the start, in ns since the epoch."""
    duration_seconds: float
    """How long reading took."""
    engine: EngineName
    """What was asked for."""
    processes: tuple[ProcessReading, ...]
    process_counts: ProcessCounts
    netns: tuple[NetnsReading, ...]
    containers: tuple[Container, ...]
    """What the runtimes answered."""
    sources: tuple[str, ...]
    """What was asked for names, cgroup paths first."""
    gaps: tuple[Gap, ...]
    protocols: tuple[Protocol, ...] = (Protocol.TCP, Protocol.UDP)
    """Those whose tables were asked for."""
    deep: bool = False
    """With every thread, and with sockets that are bound and do nothing."""
    visibility: Visibility = Visibility()
    rewalk: Rewalk | None = None
    """None where every row had a holder at once."""
    cgroup_paths: tuple[tuple[int, str], ...] = ()
    """Ids of cgroup-v2 directories, as rows name them, to paths."""
    stale_names: tuple[str, ...] = ()
    """Files in /run/netns that are no netns any more."""
    kept: tuple[Container, ...] = ()
    """Containers that earlier passes of the same program knew, and no runtime lists now."""
    owners: OwnersWanted = OwnersWanted.PID
    """With `container` no fd was read."""
    capabilities: int | None = None
    """The mask of those that the program had (capabilities(7)), None where that is not known."""
    kernel_release: str | None = None
    """That of uname(2), None where /proc/sys is hidden."""
    placed: tuple[Placed, ...] = ()
    """Processes of containers without a cgroup of their own, by what runtimes tell."""
