"""Snapshot: what the facts of one pass mean."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.container import Container, Pod
from nsagent.model.facts import FoundBy, HeldBy, Interface, ProcessCounts, Rewalk, Visibility
from nsagent.model.gap import AlikeGaps
from nsagent.model.ids import ContainerId, Fd, Pid, Tid, number_netns
from nsagent.model.net import Protocol, SocketRow
from nsagent.model.process import CommandLine, Process, ProcessKey


class VerdictKind(StrEnum):
    """Why a row has no owner."""

    TIME_WAIT = "time_wait"
    ACCEPT_QUEUE = "accept_queue"
    ORPHAN = "orphan"
    SYN_RECV = "syn_recv"
    IN_FLIGHT = "in_flight"
    KERNEL = "kernel"
    HIDDEN = "hidden"
    VANISHED = "vanished"
    UNKNOWN = "unknown"


class Attribution(StrEnum):
    """What names a row's container.

    The holder's fd; the cgroup in which the socket was made; the listener that a connection came
    in by; the holder that an earlier pass saw; that nobody else lives in the netns, which may name a
    pod only; or nothing.
    """

    FD = "fd"
    CGROUP = "cgroup"
    LISTENER = "listener"
    MEMORY = "memory"
    NETNS = "netns"
    NONE = "none"


class Confidence(StrEnum):
    """How sure the row's owner, or charge, is: by fd; by cgroup; by listener, memory or netns; or there is none."""

    EXACT = "exact"
    HIGH = "high"
    INFERRED = "inferred"
    NONE = "none"


class Flag(StrEnum):
    """What is odd about a row.

    An owner lives in another netns than the socket; an owner is in none of the containers that live
    in the socket's netns, or owners are in different ones; the socket was made in another container
    than its first owner is in.
    """

    NETNS_MISMATCH = "netns_mismatch"
    HOLDER_OUTSIDE = "holder_outside"
    CREATOR_DIFFERS = "creator_differs"


class ChargedTo(NamedTuple):
    """Who answers for a row without an owner; `pid` is None where several could."""

    pid: Pid | None
    container_id: ContainerId | None


class Verdict(NamedTuple):
    """Why a row has no owner: the kind, whom it is charged to, and a sentence for people."""

    kind: VerdictKind
    charged_to: ChargedTo | None
    reason: str


class Owner(NamedTuple):
    """A process with at least one fd on the socket; `fds` ascend.

    They are those of the thread `tid` where that has an fd table of its own. `held_by` io_uring:
    the socket is a registered file of the rings at these fds.
    """

    process: Process
    fds: tuple[Fd, ...]
    tid: Tid | None = None
    held_by: HeldBy = HeldBy.FD


class OwnedSocket(NamedTuple):
    """A row and who holds it: a tuple, for the same reason as SocketRow."""

    netns: int
    """The number of the Netns whose table the row stood in, never that of its holder's."""
    row: SocketRow
    interface: str | None
    """The name of row.interface, None where there is none."""
    owners: tuple[Owner, ...]
    """By ascending (start_ticks, pid)."""
    container_id: ContainerId | None
    """The first owner's, or, without owners, what `attribution` names."""
    attribution: Attribution
    confidence: Confidence
    flags: tuple[Flag, ...]
    verdict: Verdict | None
    """None iff there are owners, or, for a row with an inode, none were looked for."""
    pod: Pod | None = None
    """Where container_id is None, and the row is charged to a pod."""


class RowCount(NamedTuple):
    """Rows that a pass saw of one kind in one netns, and how many the netns itself counts.

    `kind` is a counter of sockstat: `tcp` (all but TIME_WAIT and handshakes), `time_wait`, `udp`,
    `udplite`, `raw`. `counted` is None where the kernel's counters could not be read.
    """

    kind: str
    rows: int
    counted: int | None


class Netns(NamedTuple):
    """One netns."""

    inode: int | None
    """None where ns/net may not be read; then `key` tells it apart."""
    key: int | None
    cookie: int | None
    names: tuple[str, ...]
    """Those of `ip netns`."""
    mounts: tuple[str, ...]
    """The paths of its nsfs mounts in the host's mount namespace."""
    is_host: bool
    """Whether the kernel's threads are in it."""
    engine: EngineName | None
    """How its tables were read, None if they were not."""
    found_by: tuple[FoundBy, ...]
    processes: int
    """How many user processes are in it."""
    containers: tuple[ContainerId, ...]
    """Those of these processes, without the pause containers of `pods`."""
    interfaces: tuple[Interface, ...] | None = None
    """None unless they were asked for."""
    rows: tuple[RowCount, ...] = ()
    """The rows seen against those counted, of each kind that was read."""
    pods: tuple[Pod, ...] = ()
    """Those whose processes are in it."""
    is_init: bool = False
    """Whether PID 1 is in it, where no netns is known to be the host's: in a PID namespace of its own."""
    foreign_mounts: tuple[str, ...] = ()
    """The paths of its mounts in other mount namespaces, as in NetnsReading: no netns is called by them."""
    client_ports: tuple[int, int] | None = None
    """The first and the last of those that it gives to clients, None where the pass did not read them."""
    own_addresses: tuple[str, ...] | None = None
    """Its own, as "address/prefix length": 127.0.0.0/8 is own as a whole. None where the pass did not read them."""
    broadcasts: tuple[str, ...] = ()
    """The IPv4 addresses by which all of a network of its own are reached; read with its own ones."""
    linked: tuple[str, ...] | None = None
    """The networks to which it sends packets by a link of its own, through no other host, as "address/prefix length";
    of the host alone, None where the pass did not read them."""

    @property
    def number(self) -> int:
        """What rows and processes of this snapshot call it."""
        return number_netns(self.inode, self.key)


class NetnsCounts(NamedTuple):
    """How the netns of a pass fared: seen = read + empty + failed + skipped.

    Those are skipped in which the containers, or the ports, that a pass is about have nothing.
    `found_by` counts those that only this led to, or this first: process, thread, mount, fd, socket.
    """

    seen: int
    read: int
    empty: int
    failed: int
    skipped: int
    found_by: tuple[tuple[FoundBy, int], ...] = ()


class HostCount(NamedTuple):
    """A counter that the kernel keeps for the whole host, and what the rows of all netns add up to.

    `kind` is `tcp_sockets` (in tables and out of them) or `tcp_orphans`. More counted than seen are
    sockets in netns that were not found, or in no table; `seen` includes only rows.
    """

    kind: str
    seen: int
    counted: int


class Coverage(NamedTuple):
    """What this snapshot could not see."""

    complete: bool
    """False if a process was denied or skipped, a netns failed, or there is a gap of any stage but `names`."""
    processes: ProcessCounts
    netns: NetnsCounts
    socket_fds_unlisted: int
    """Distinct sockets that some fd holds and no table shows: never bound, or of a protocol or netns not read."""
    gaps: tuple[AlikeGaps, ...]
    protocols: tuple[Protocol, ...] = (Protocol.TCP, Protocol.UDP)
    """Those whose tables were asked for."""
    host: tuple[HostCount, ...] = ()
    visibility: Visibility = Visibility()
    rewalk: Rewalk | None = None
    """None where every row had a holder at once."""
    stale_names: tuple[str, ...] = ()
    """Files in /run/netns that are no netns any more."""
    owners: OwnersWanted = OwnersWanted.PID
    """With `container` no fds were looked at: no row has owners, and netns that only an fd leads to were not found."""
    capabilities: int | None = None
    """Those that the pass had, as in Facts."""


class Snapshot(NamedTuple):
    """One pass, decided."""

    host: str
    boot_id: str | None
    taken_at: str
    """RFC 3339 in UTC, with ms."""
    duration_seconds: float
    engine: EngineName
    netns: tuple[Netns, ...]
    containers: tuple[Container, ...]
    processes: tuple[Process, ...]
    sockets: tuple[OwnedSocket, ...]
    coverage: Coverage
    sources: tuple[str, ...]
    """What was asked for names."""
    folded: tuple[Container, ...] = ()
    """Pause containers that no row names: they are part of their pods, and no containers."""
    command_lines: Mapping[ProcessKey, CommandLine] | None = None
    """None unless they were asked for; those of the owners of rows that could be read."""
