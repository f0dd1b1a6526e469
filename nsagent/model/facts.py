"""Facts: everything one pass read, undecided, and what it could not read.

Plain data: it can be written to a file and read back on another machine (scan.capture).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.container import Container
from nsagent.model.gap import Gap
from nsagent.model.ids import Fd, NetnsId, Pid, SocketInode, Tid
from nsagent.model.net import ByteOrder, Protocol


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


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """One process, all read through one held /proc/PID directory fd.

    `netns_inode` is the N of ns/net, None where that may not be read; then `netns_key` is the
    st_ino of its net/dev, which also tells netns apart. `cgroup` is the text of its cgroup file
    and `comm` has surrogate escapes for bytes that are not UTF-8. `socket_fds` are its fd links of
    the form `socket:[inode]`, by ascending fd, None where they may not be read.
    `threads` counts its threads. A pass may hold several readings of one pid: a later one saw fds
    that an earlier one missed, or another process under the same number, or the fds of its thread
    `tid`, which has an fd table of its own, or (`held_by`) what its io_urings hold, by their fds.
    """

    pid: Pid
    start_ticks: int
    comm: str
    uid: int
    kernel_thread: bool
    netns_inode: int | None
    netns_key: int | None
    cgroup: str
    threads: int
    socket_fds: tuple[tuple[Fd, SocketInode], ...] | None
    tid: Tid | None = None
    held_by: HeldBy = HeldBy.FD


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


@dataclass(frozen=True, slots=True)
class NetnsReading:
    """One netns and its tables.

    `id` is None where only its /proc files could be told apart, by `key` (the st_ino of net/dev).
    `cookie` is SO_NETNS_COOKIE, None before Linux 5.14 or where it was not entered. `mounts` are
    the paths of its nsfs mounts. `engine` is None if its tables could not be read. `empty`: its
    sockstat counts no socket, so no table was read. `closed` holds inodes of rows that were in
    the tables and no longer in the kernel when they were looked up again, `unsettled` those that
    nobody was seen to hold and that could not be looked up again, or whose holders still changed
    in the last round. `mptcp_counted` is how many MPTCP sockets it had when its TCP table was read,
    None where that was not read. `interface_names` maps the ifindexes that rows name. `interfaces` is
    None unless they were asked for. `skipped`: its tables were not read because the containers that
    the pass was about have nothing there.
    """

    id: NetnsId | None
    key: int | None
    cookie: int | None
    mounts: tuple[str, ...]
    is_host: bool
    found_by: tuple[FoundBy, ...]
    engine: EngineName | None
    empty: bool
    sockstat: str | None
    tables: tuple[RawTable, ...]
    closed: frozenset[SocketInode] = frozenset()
    unsettled: frozenset[SocketInode] = frozenset()
    mptcp_counted: int | None = None
    interface_names: tuple[tuple[int, str], ...] = ()
    interfaces: tuple[Interface, ...] | None = None
    skipped: bool = False


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


@dataclass(frozen=True, slots=True)
class Visibility:
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


@dataclass(frozen=True, slots=True)
class Facts:
    """One pass over one host.

    `byteorder` is that of the machine whose kernel wrote the tables. `taken_at_ns` is the wall
    clock at the start, in ns since the epoch; `duration_seconds` is how long reading took.
    `engine` is what was asked for. `containers` are the engines' answers, `sources` the names of
    what was asked for names, cgroup paths first. `kept` are containers that earlier passes of the
    same program knew and no engine lists now. With `owners` container no fd was read. `protocols`
    are those whose tables were asked for; `deep`: with every thread, and sockets that are bound and
    do nothing. `rewalk` is None where every row had a holder at once. `cgroup_paths` maps ids of
    cgroup-v2 directories, as rows name them, to paths. `stale_names` are files in
    /run/netns that are no netns any more. `capabilities` is the mask of those that the program had
    (capabilities(7)), None where that is not known.
    """

    host: str
    boot_id: str | None
    byteorder: ByteOrder
    taken_at_ns: int
    duration_seconds: float
    engine: EngineName
    processes: tuple[ProcessReading, ...]
    process_counts: ProcessCounts
    netns: tuple[NetnsReading, ...]
    containers: tuple[Container, ...]
    sources: tuple[str, ...]
    gaps: tuple[Gap, ...]
    protocols: tuple[Protocol, ...] = (Protocol.TCP, Protocol.UDP)
    deep: bool = False
    visibility: Visibility = field(default_factory=Visibility)
    rewalk: Rewalk | None = None
    cgroup_paths: tuple[tuple[int, str], ...] = ()
    stale_names: tuple[str, ...] = ()
    kept: tuple[Container, ...] = ()
    owners: OwnersWanted = OwnersWanted.PID
    capabilities: int | None = None
