"""What differs between two snapshots of one host."""

from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId, Pid, SocketCookie, SocketInode
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState

Holders: TypeAlias = tuple[tuple[Pid, int, str], ...]
"""Pid, start ticks and comm of each process that holds a socket, by ascending (start ticks, pid)."""

Place: TypeAlias = tuple[str | None, ...]
"""Where a socket is, in words that outlive its netns, its container and its processes; see tell_place."""


HOST: Final = "host"
INIT: Final = "init"
"""What no netns but the host's, and where that is not known that of PID 1, is called here."""

UNKNOWN_NETNS: Final = 0
"""The number of no netns."""

_FAMILIES: Final = {
    Protocol.PACKET: Family.PACKET,
    Protocol.NETLINK: Family.NETLINK,
    Protocol.VSOCK: Family.VSOCK,
}


class ChangeKind(StrEnum):
    """What has happened.

    `opened` and `closed` are of sockets that are no listener; `new_listener` and `listener_gone` of those
    that are. `new_peer`: a container, or a unit outside of all, has a connection to a remote address and port that
    nothing of it had before. `holder_changed`: other processes hold the socket. `state_changed`: one that is no
    listener, neither before nor now, is in another state.
    """

    OPENED = "opened"
    CLOSED = "closed"
    NEW_LISTENER = "new_listener"
    LISTENER_GONE = "listener_gone"
    NEW_PEER = "new_peer"
    HOLDER_CHANGED = "holder_changed"
    STATE_CHANGED = "state_changed"
    CONTAINER_COME = "container_come"
    CONTAINER_GONE = "container_gone"


class ChangedSocket(NamedTuple):
    """The socket that a change is about, as the later of the snapshots that have it shows it."""

    netns: int
    """The number of its netns; UNKNOWN_NETNS of a socket that no pass saw, in a netns that none did."""
    netns_name: str | None
    """HOST, INIT, or the first name of `ip netns`."""
    protocol: Protocol
    state: SocketState
    local: Endpoint
    remote: Endpoint
    inode: SocketInode
    cookie: SocketCookie | None
    uid: int | None
    holders: Holders
    """None where nobody held it; of a listener those of all sockets that share its endpoint."""
    interface: str | None = None
    """That it is bound to."""
    v6only: bool | None = None


class Change(NamedTuple):
    """One change."""

    at: str
    """When the later snapshot was taken, RFC 3339 in UTC with ms."""
    kind: ChangeKind
    socket: ChangedSocket | None
    """None for containers."""
    container_id: ContainerId | None
    container_name: str | None
    """Of one in a pod the name inside it."""
    image: str | None
    pod: Pod | None
    """Without its labels."""
    before: Holders = ()
    """Who held it before, for `holder_changed`, and for `state_changed` where nobody is seen to hold it now."""
    unit: str | None = None
    """The systemd unit of the first holder."""
    state_before: SocketState | None = None
    """The state that it had, for `state_changed`."""

    @property
    def place(self) -> Place:
        """Where its socket is; () for containers."""
        if self.socket is None:
            return ()
        name = self.container_name or self.container_id
        return tell_place(self.socket.netns_name, self.socket.netns, name, self.pod, self.unit)


def tell_place(netns_name: str | None, netns: int, container: str | None, pod: Pod | None, unit: str | None) -> Place:
    """What makes a listener the same one after a restart of whatever it runs in.

    The host's netns is one place for all that listens in it. Elsewhere it is the Kubernetes namespace and the
    container's name inside the pod, whatever the pod is called this time; the container's name; the name of the
    netns; the unit; and for want of them the number of the netns, which means nothing after that is gone.
    """
    if netns_name in (HOST, INIT):
        return ("netns", netns_name)
    if pod is not None:
        return ("pod", pod.kube_namespace, container or pod.name)
    if container is not None:
        return ("container", container)
    if netns_name is not None:
        return ("netns", netns_name)
    return ("unit", unit) if unit is not None else ("number", str(netns))


class ChangesHead(NamedTuple):
    """Of what changes are."""

    host: str | None
    since: str | None
    """When the earlier snapshot was taken, or from when on there may be changes; RFC 3339, None where nobody says."""
    until: str | None
    """When the later one was, or up to when there may be some."""


def make_row(socket: ChangedSocket) -> SocketRow:
    """As much of its row as its ends need to be written, and to be selected by, like those of a snapshot."""
    family = _FAMILIES.get(socket.protocol, Family.IPV6 if ":" in socket.local.address else Family.IPV4)
    return SocketRow(
        protocol=socket.protocol,
        family=family,
        mapped=False,
        state=socket.state,
        local=socket.local,
        remote=socket.remote,
        interface=None,
        inode=socket.inode,
        cookie=socket.cookie,
        uid=socket.uid,
        rx_queue=None,
        tx_queue=None,
        cgroup_id=None,
        v6only=socket.v6only,
    )
