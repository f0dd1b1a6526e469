"""A row as a change tells of it: with what names it takes from its snapshot, which may be gone by then. Pure."""

from nsagent.model.change import HOST, INIT, Change, ChangedSocket, ChangeKind, Holders
from nsagent.model.container import Container, Pod
from nsagent.model.net import SocketState
from nsagent.model.snapshot import Netns, OwnedSocket, Snapshot


class Telling:
    """What is known of the rows of one snapshot besides what stands in them; of no snapshot nothing."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.containers = {one.id: one for one in (*snapshot.folded, *snapshot.containers)} if snapshot else {}
        self.netns = {one.number: one for one in snapshot.netns} if snapshot else {}

    def name_netns(self, number: int) -> str | None:
        """As ChangedSocket has it."""
        netns = self.netns.get(number)
        return None if netns is None else _name_netns(netns)

    def list_context(self, socket: OwnedSocket) -> tuple[Container | None, Pod | None, str | None]:
        """The container of a row, as far as anything is known of it, its pod, and the unit of its first holder."""
        container = None if socket.container_id is None else self.containers.get(socket.container_id)
        pod = socket.pod or (container.pod if container is not None else None)
        return container, pod, socket.owners[0].process.unit if socket.owners else None

    def tell(
        self,
        at: str,
        kind: ChangeKind,
        socket: OwnedSocket,
        holders: Holders,
        before: Holders = (),
        state_before: SocketState | None = None,
    ) -> Change:
        """The change that is about this row."""
        container, pod, unit = self.list_context(socket)
        return Change(
            at=at,
            kind=kind,
            socket=_tell_socket(socket, self.name_netns(socket.netns), holders),
            container_id=socket.container_id,
            container_name=name_container(container),
            image=None if container is None else container.image,
            pod=without_labels(pod),
            before=before,
            unit=unit,
            state_before=state_before,
        )


def list_holders(socket: OwnedSocket) -> Holders:
    """Who holds a row."""
    return tuple((one.process.pid, one.process.start_ticks, one.process.comm) for one in socket.owners)


def name_container(container: Container | None) -> str | None:
    """Of one in a pod the name inside it."""
    return None if container is None else container.container_name or container.name


def without_labels(pod: Pod | None) -> Pod | None:
    """A pod as changes have it."""
    return None if pod is None else Pod(pod.uid, pod.name, pod.kube_namespace)


def _tell_socket(socket: OwnedSocket, netns_name: str | None, holders: Holders) -> ChangedSocket:
    row = socket.row
    return ChangedSocket(
        netns=socket.netns,
        netns_name=netns_name,
        protocol=row.protocol,
        state=row.state,
        local=row.local,
        remote=row.remote,
        inode=row.inode,
        cookie=row.cookie,
        uid=row.uid,
        holders=holders,
        interface=socket.interface,
        v6only=row.v6only,
    )


def _name_netns(netns: Netns) -> str | None:
    if netns.is_host or netns.is_init:
        return HOST if netns.is_host else INIT
    # Anyone may call a netns so.
    return next((name for name in netns.names if name not in (HOST, INIT)), None)
