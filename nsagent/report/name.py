"""`-o name`: one name per line, to hand to another command."""

from collections.abc import Iterable, Iterator

from nsagent.model.container import Container
from nsagent.model.ids import tell_netns
from nsagent.model.snapshot import Netns, OwnedSocket, Snapshot
from nsagent.report.addresses import local_text, remote_text
from nsagent.report.chunks import chunks
from nsagent.report.escape import escape


def render_socket_names(snapshot: Snapshot) -> Iterator[str]:
    """`socket/COOKIE`, in chunks of lines.

    Where the table tells no cookie (/proc): `socket/inode:N`, and for a row without an inode
    `socket/NETNS:PROTOCOL:LOCAL,REMOTE`.
    """
    return _lines(map(_socket_name, snapshot.sockets))


def render_netns_names(snapshot: Snapshot) -> Iterator[str]:
    """`netns/INODE`, in chunks of lines; `netns/key:N` where the inode may not be read."""
    return _lines(map(_netns_name, snapshot.netns))


def render_container_names(snapshot: Snapshot) -> Iterator[str]:
    """`container/NAME`, of one in a pod `container/KUBE_NAMESPACE/POD/NAME`, in chunks of lines.

    `container/ID` where the name is not known.
    """
    return _lines(map(_container_name, snapshot.containers))


def _socket_name(socket: OwnedSocket) -> str:
    row = socket.row
    if row.cookie is not None:
        return f"socket/{row.cookie}"
    if row.inode:
        return f"socket/inode:{row.inode}"
    return f"socket/{tell_netns(socket.netns)}:{row.protocol}:{local_text(row, None)},{remote_text(row)}"


def _netns_name(netns: Netns) -> str:
    return f"netns/{tell_netns(netns.number)}"


def _container_name(container: Container) -> str:
    pod = container.pod
    if pod is not None and pod.name and pod.kube_namespace and container.container_name:
        return f"container/{pod.kube_namespace}/{pod.name}/{container.container_name}"
    return f"container/{container.name or container.id}"


def _lines(names: Iterable[str]) -> Iterator[str]:
    for batch in chunks(map(escape, names)):
        yield "\n".join(batch) + "\n"
