"""Events as whoever follows them is told: of processes with whose they are, and what was lost."""

from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.process_event import EventEngine, ProcessEvent, ProcessEventKind
from nsagent.model.socket_event import SocketEvent, SocketEventSource


class IdentitySource(StrEnum):
    """How it is known who a process is.

    `look`: it was read at the event. `parent`: it has what its parent had, for it had ended, or has run no other
    program; or what it had itself before it ran one and ended. `snapshot`: the last one that has it tells. `none`:
    nobody does, as where too many processes would have to be looked at.
    """

    LOOK = "look"
    PARENT = "parent"
    SNAPSHOT = "snapshot"
    NONE = "none"


class Identity(NamedTuple):
    """Who a process is; None for what nobody tells."""

    source: IdentitySource
    start_ticks: int | None = None
    """In clock ticks since boot."""
    comm: str | None = None
    """May hold any character; bytes that are not UTF-8 are surrogate escapes."""
    uid: int | None = None
    """The effective one."""
    netns: int | None = None
    """What rows of a snapshot call its netns."""
    container_id: ContainerId | None = None
    around: tuple[ContainerId, ...] = ()
    """The containers around that one, outermost first."""
    inner: tuple[ContainerId, ...] = ()
    """Those that its cgroup path shows below that one, outermost first."""
    unit: str | None = None
    """The systemd unit."""


class NamedProcessEvent(NamedTuple):
    """An event of a process, and who that is: of a fork the child."""

    at_seconds: float
    """When it happened, in seconds since the epoch."""
    event: ProcessEvent
    identity: Identity
    container_name: str | None = None
    """Of one in a pod the name inside it."""
    image: str | None = None
    pod: Pod | None = None
    """Without its labels."""

    @property
    def pid(self) -> Pid:
        """The process that it is about: of a fork the child."""
        return self.event.pid if self.event.child is None else self.event.child

    @property
    def parent(self) -> Pid | None:
        """Who has a new child; None for all but a fork."""
        return None if self.event.child is None else self.event.pid


class EventsOf(StrEnum):
    """What events are about."""

    PROCESS = "process"
    SOCKET = "socket"


class LostEvents(NamedTuple):
    """Events that nobody was told of, for they came faster than they were taken."""

    at_seconds: float
    """When that was seen, in seconds since the epoch."""
    of: EventsOf
    number: int
    """How many, as far as that is known by now; 0 where it is not."""


NamedEvent: TypeAlias = NamedProcessEvent | SocketEvent | LostEvents

LIFE: Final = (ProcessEventKind.FORK, ProcessEventKind.EXEC, ProcessEventKind.EXIT)
"""What is told of processes: how they come and go, and what they become."""


class EventsHead(NamedTuple):
    """Of what events are, and how they are known."""

    host: str
    since: str
    """From when on they are told, RFC 3339."""
    processes: EventEngine | None = None
    """None where nobody asked for those of processes."""
    process_reason: str | None = None
    """Why the kernel tells none of processes; None where it does."""
    sockets_seconds: float | None = None
    """How far apart the passes are whose difference tells of sockets; None where nobody asked for these."""
    sockets: tuple[SocketEventSource, ...] = ()
    """How those of sockets are known."""
    socket_reason: str | None = None
    """Why the kernel does not tell of the end of each; None where it does."""
    until: str | None = None
    """Up to when; None where there is no end yet."""
    missed: int = 0
    """Events that were not kept long enough to be told."""
