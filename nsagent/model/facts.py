"""Facts: everything one pass read, undecided, and what it could not read.

Plain data: it can be written to a file and read back on another machine (scan.capture).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from nsagent.model.choices import EngineName
from nsagent.model.container import Container
from nsagent.model.ids import Fd, NetnsId, Pid, SocketInode
from nsagent.model.net import ByteOrder


class Stage(StrEnum):
    """Which part of a pass a gap belongs to."""

    PROCESSES = "processes"
    FDS = "fds"
    NETNS = "netns"
    TABLES = "tables"
    LINKS = "links"
    NAMES = "names"


class FoundBy(StrEnum):
    """What led to a netns."""

    PROCESS = "process"
    THREAD = "thread"
    MOUNT = "mount"
    FD = "fd"


class TableFormat(StrEnum):
    """The kernel format of a raw table, named after the decoder that reads it."""

    INET_DIAG = "inet_diag"
    NET_INET = "net_inet"


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that exists and could not be read.

    `subject` names it ("pid 1", "netns 4026532500", "docker"), `reason` is the errno's name or a
    short text, `count` how many reads failed alike.
    """

    stage: Stage
    subject: str
    reason: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """One process, all read through one held /proc/PID directory fd.

    `netns_inode` is the N of ns/net, None where that may not be read; then `netns_key` is the
    st_ino of its net/dev, which also tells netns apart. `cgroup` is the text of its cgroup file
    and `comm` has surrogate escapes for bytes that are not UTF-8. `socket_fds` are its fd links of
    the form `socket:[inode]`, by ascending fd, None where they may not be read.
    `threads` counts its threads. A pass may hold several readings of one pid: a later one saw fds
    that an earlier one missed, or another process under the same number.
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


class RawTable(NamedTuple):
    """One table as the kernel gave it: netlink messages, or the text of /proc without its header.

    `protocol` is an IPPROTO number; one `inet_diag` dump of it holds both families, of which
    `family` (AF_INET, AF_INET6) tells only for text.
    """

    format: TableFormat
    protocol: int
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
    the tables and no longer in the kernel when they were looked up again. `interface_names` maps
    the ifindexes that rows name. `interfaces` is None unless they were asked for.
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
    interface_names: tuple[tuple[int, str], ...] = ()
    interfaces: tuple[Interface, ...] | None = None


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
class Facts:
    """One pass over one host.

    `byteorder` is that of the machine whose kernel wrote the tables. `taken_at_ns` is the wall
    clock at the start, in ns since the epoch; `duration_seconds` is how long reading took.
    `engine` is what was asked for. `containers` are the engines' answers, `sources` the names of
    what was asked for names, cgroup paths first.
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
