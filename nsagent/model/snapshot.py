"""Snapshot: what the facts of one pass mean."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from nsagent.model.choices import EngineName
from nsagent.model.container import Container
from nsagent.model.facts import FoundBy, Gap, Interface, ProcessCounts
from nsagent.model.ids import ContainerId, Fd, Pid
from nsagent.model.net import InetRow
from nsagent.model.process import Process


class VerdictKind(StrEnum):
    """Why a row has no owner."""

    TIME_WAIT = "time_wait"
    ACCEPT_QUEUE = "accept_queue"
    ORPHAN = "orphan"
    SYN_RECV = "syn_recv"
    HIDDEN = "hidden"
    UNKNOWN = "unknown"


class Attribution(StrEnum):
    """What names a row's container: the holder's fd, or nothing."""

    FD = "fd"
    NONE = "none"


class Confidence(StrEnum):
    """How sure the row's container is."""

    EXACT = "exact"
    NONE = "none"


class Flag(StrEnum):
    """What is odd about a row: an owner lives in another netns than the socket."""

    NETNS_MISMATCH = "netns_mismatch"


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
    """A process with at least one fd on the socket; `fds` ascend."""

    process: Process
    fds: tuple[Fd, ...]


class OwnedSocket(NamedTuple):
    """A row and who holds it: a tuple, for the same reason as InetRow.

    `netns` is that of the table the row stood in (the number of a Netns), never that of its
    holder. `interface` is the name of row.interface, None where there is none. `owners` ascend by
    (start_ticks, pid); `container_id` is the first owner's. `verdict` is None iff there are owners.
    """

    netns: int
    row: InetRow
    interface: str | None
    owners: tuple[Owner, ...]
    container_id: ContainerId | None
    attribution: Attribution
    confidence: Confidence
    flags: tuple[Flag, ...]
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Netns:
    """One netns. `inode` is None where ns/net may not be read; then `key` tells it apart.

    `names` are those of `ip netns`; `mounts` all paths of its nsfs mounts. `processes` counts the
    user processes in it; `containers` are theirs. `engine` says how its tables were read, None if
    they were not. `interfaces` is None unless they were asked for.
    """

    inode: int | None
    key: int | None
    cookie: int | None
    names: tuple[str, ...]
    mounts: tuple[str, ...]
    is_host: bool
    engine: EngineName | None
    found_by: tuple[FoundBy, ...]
    processes: int
    containers: tuple[ContainerId, ...]
    interfaces: tuple[Interface, ...] | None = None

    @property
    def number(self) -> int:
        """What rows and processes of this snapshot call it: the inode, else the key."""
        return self.inode if self.inode is not None else self.key or 0


@dataclass(frozen=True, slots=True)
class NetnsCounts:
    """How the netns of a pass fared: seen = read + empty + failed + skipped."""

    seen: int
    read: int
    empty: int
    failed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What this snapshot could not see.

    `complete` is false if any process was denied or skipped, a netns failed, or there is a gap of
    any stage but `names`. `socket_fds_unlisted` counts distinct sockets that some fd holds and no
    table read shows: never bound, or of a protocol or netns that was not read.
    """

    complete: bool
    processes: ProcessCounts
    netns: NetnsCounts
    socket_fds_unlisted: int
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One pass, decided. `taken_at` is RFC 3339 in UTC with ms; `sources` were asked for names."""

    host: str
    boot_id: str | None
    taken_at: str
    duration_seconds: float
    engine: EngineName
    netns: tuple[Netns, ...]
    containers: tuple[Container, ...]
    processes: tuple[Process, ...]
    sockets: tuple[OwnedSocket, ...]
    coverage: Coverage
    sources: tuple[str, ...]
