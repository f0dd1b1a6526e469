"""What differs between two snapshots of one host."""

from enum import StrEnum
from typing import NamedTuple

from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId, Pid, SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Protocol, SocketState


class ChangeKind(StrEnum):
    """What has happened.

    `opened` and `closed` are of sockets that are no listener; `new_listener` and `listener_gone` of those
    that are. `new_peer`: a container, or a unit outside of all, has a connection to a remote address and port that
    nothing of it had before. `holder_changed`: other processes hold the socket.
    """

    OPENED = "opened"
    CLOSED = "closed"
    NEW_LISTENER = "new_listener"
    LISTENER_GONE = "listener_gone"
    NEW_PEER = "new_peer"
    HOLDER_CHANGED = "holder_changed"
    CONTAINER_COME = "container_come"
    CONTAINER_GONE = "container_gone"


class ChangedSocket(NamedTuple):
    """The socket that a change is about, as the later of the snapshots that have it shows it."""

    netns: int
    """The number of its netns."""
    netns_name: str | None
    """`host`, `init`, or the first name of `ip netns`."""
    protocol: Protocol
    state: SocketState
    local: Endpoint
    remote: Endpoint
    inode: SocketInode
    cookie: SocketCookie | None
    uid: int | None
    holders: tuple[tuple[Pid, int, str], ...]
    """Pid, start ticks and comm of each owner, none where nobody held it."""


class Change(NamedTuple):
    """One change; `at` is when the later snapshot was taken, RFC 3339 in UTC with ms."""

    at: str
    kind: ChangeKind
    socket: ChangedSocket | None
    """None for containers."""
    container_id: ContainerId | None
    container_name: str | None
    image: str | None
    pod: Pod | None
    before: tuple[tuple[Pid, int, str], ...] = ()
    """Who held it before, for `holder_changed`."""
