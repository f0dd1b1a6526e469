"""What is known of one process: details, and how they belong together."""

from dataclasses import dataclass
from typing import NamedTuple

from nsagent.model.container import Container, Pod
from nsagent.model.forebear import Forebear
from nsagent.model.gap import AlikeGaps
from nsagent.model.ids import ContainerId, Fd, Pid, SocketInode
from nsagent.model.process import CommandLine, ProcessKey
from nsagent.model.process_details import (
    Image,
    Io,
    Limit,
    MapsSummary,
    MemoryImage,
    Namespace,
    OpenFd,
    Rollup,
    Statm,
    Status,
    StatusMemory,
    Thread,
)
from nsagent.model.snapshot import Confidence, OwnedSocket


class Relative(NamedTuple):
    """A parent, at whatever distance, or a child of a process.

    `exe` is its link, None where that may not be read. `begins_container`: its own parent is not in its container.
    """

    key: ProcessKey
    comm: str
    exe: str | None
    container_id: ContainerId | None
    begins_container: bool


class Peer(NamedTuple):
    """Who is at the other end of a connection, on this host.

    `confidence` is exact where the other end stands in the same netns, with `holders`; inferred where only one netns
    has the address, of which one container, or one pod, is known to be there.
    """

    holders: tuple[Pid, ...]
    container_id: ContainerId | None
    pod: Pod | None
    confidence: Confidence


class InspectedRow(NamedTuple):
    """A row of a socket, and who is at the other end."""

    owned: OwnedSocket
    peer: Peer | None


class InspectedSocket(NamedTuple):
    """A socket that a process holds: its row, in the netns that it is in, None where no table that was read has it."""

    fds: tuple[Fd, ...]
    inode: SocketInode
    protocol: str
    """As /proc/net/protocols calls it, as in `TCPv6`; empty where it is not told."""
    owned: OwnedSocket | None
    peer: Peer | None
    others: tuple[InspectedRow, ...] = ()
    """Its other rows, where it has several: the further subflows of an MPTCP connection."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """One process, all of it read through one held directory; None for what there is not, or could not be read."""

    asked: int
    """The number that was asked for: that of a thread, where it is not its pid."""
    key: ProcessKey
    comm: str
    state: str
    """The kernel's letter: of a process whose first thread has ended while others live that of one of these."""
    leader_ended: bool
    """Whether its first thread has ended while others live: then one of these tells all the rest."""
    kernel_thread: bool
    started_seconds: float
    """When it started, since the epoch, by the time of day as it is set now."""
    age_seconds: float
    status: Status | None
    parents: tuple[Relative, ...]
    """The nearest first, up to PID 1, or as far as they are seen."""
    same_exe_as_parent: bool | None
    """Whether its parent, which may not have called execve(2) since, runs the same file in the same mount namespace."""
    children: tuple[Relative, ...]
    threads: tuple[Thread, ...] | None
    """Some of them, where they are many; `status` counts them."""
    command_line: CommandLine | None
    exe: Image | None
    cwd: str | None
    root: str | None
    namespaces: tuple[Namespace, ...] | None
    cgroup: tuple[str, ...] | None
    """The lines of its cgroup file."""
    container: Container | None
    pod: Pod | None
    unit: str | None
    """The systemd unit."""
    fds: tuple[OpenFd, ...] | None
    fds_left_out: int
    """How many more it has."""
    fds_unread: int
    """How many of the first ones the kernel does not tell, each a gap."""
    sockets: tuple[InspectedSocket, ...]
    io: Io | None
    memory: StatusMemory | None
    statm: Statm | None
    rollup: Rollup | None
    maps: MapsSummary | None
    limits: tuple[Limit, ...] | None
    oom_score: int | None
    oom_score_adj: int | None
    wchan: str | None
    """The function of the kernel in which it waits, empty where it does not."""
    stack: tuple[str, ...] | None
    """The kernel's functions that it is in, the innermost first."""
    environ: tuple[str, ...] | None
    """Each NAME=VALUE as it began with, None where nobody asked."""
    environ_cut: bool
    memory_image: MemoryImage | None
    gaps: tuple[AlikeGaps, ...]
    forebears: tuple[Forebear, ...] | None = None
    """Whose child it was when it began, whose that one, and so on, as far as an agent has heard; None where none has.

    Beside `parents`, which are those that it has now: who has lost one was adopted.
    """

    @property
    def is_thread(self) -> bool:
        """Whether a thread was asked for, which is not the first of its process."""
        return self.asked != self.key.pid
