"""The columns of sockets: what `--columns` and `--sort-by` name, for table and csv alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from nsagent.model.container import Container
from nsagent.model.ids import Fd, Pid
from nsagent.model.net import Protocol, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.report.addresses import endpoint_key, endpoint_text
from nsagent.report.context import Context, context_of
from nsagent.report.layout import Column, number_column, sort_rows, text_column

SocketColumn = Column[OwnedSocket]

_GREEN = "32"
_DIM = "2"


def sort_sockets(snapshot: Snapshot, column_names: Sequence[str]) -> Snapshot:
    """The snapshot with its sockets in the order of these columns; `-name` descends, equal rows keep their order.

    Numbers sort as numbers, addresses by family and value, absent values are last either way. Raises UsageError.
    """
    return replace(snapshot, sockets=sort_rows(snapshot.sockets, SOCKET_COLUMNS, column_names, context_of(snapshot)))


def is_listener(socket: OwnedSocket) -> bool:
    """Whether the queues of this row are an accept queue."""
    row = socket.row
    return row.state is SocketState.LISTEN and row.protocol is Protocol.TCP


def _netns(socket: OwnedSocket, context: Context) -> str:
    return context.netns_labels[socket[0]]


def _netns_key(socket: OwnedSocket, context: Context) -> tuple[bool, int]:
    netns = context.netns.get(socket.netns)
    return netns is None or not netns.is_host, socket.netns


def _protocol(socket: OwnedSocket, context: Context) -> str:
    return socket[1][0]


def _state(socket: OwnedSocket, context: Context) -> str:
    return socket[1][3]


def _local(socket: OwnedSocket, context: Context) -> str:
    row = socket[1]
    return endpoint_text(row[4], v6only=row[13], interface=socket[2])


def _remote(socket: OwnedSocket, context: Context) -> str:
    row = socket[1]
    return endpoint_text(row[5], v6only=row[13])


def _pid(socket: OwnedSocket, context: Context) -> str:
    owners = socket[3]
    if len(owners) == 1:
        return str(owners[0][0].pid)
    return ",".join([str(owner[0].pid) for owner in owners])


def _pid_key(socket: OwnedSocket, context: Context) -> list[Pid] | None:
    return [owner.process.pid for owner in socket.owners] or None


def _command(socket: OwnedSocket, context: Context) -> str:
    owners, verdict = socket[3], socket[8]
    if verdict is not None:
        return f"({verdict[0]})"
    if len(owners) == 1:
        return owners[0][0].comm
    return ",".join([owner[0].comm for owner in owners])


def _container(socket: OwnedSocket, context: Context) -> str:
    return context.container_labels[socket[4]]


def _pod(socket: OwnedSocket, context: Context) -> str:
    return context.pod_labels[socket[4]]


def _fds(socket: OwnedSocket, context: Context) -> str:
    return ",".join(["+".join(map(str, fds)) for _, fds, _, _ in socket[3]])


def _fds_key(socket: OwnedSocket, context: Context) -> list[tuple[Fd, ...]] | None:
    return [owner.fds for owner in socket.owners] or None


def _rx_queue(socket: OwnedSocket, context: Context) -> int | None:
    return None if is_listener(socket) else socket.row.rx_queue


def _tx_queue(socket: OwnedSocket, context: Context) -> int | None:
    return None if is_listener(socket) else socket.row.tx_queue


def _accept_queue(socket: OwnedSocket, context: Context) -> str:
    if not is_listener(socket):
        return ""
    limit = socket.row.tx_queue
    return f"{socket.row.rx_queue}/{'?' if limit is None else limit}"


def _accept_queue_key(socket: OwnedSocket, context: Context) -> tuple[int, int] | None:
    row = socket.row
    return (row.rx_queue, row.tx_queue or 0) if is_listener(socket) else None


def _verdict(socket: OwnedSocket, context: Context) -> str:
    return "" if socket.verdict is None else socket.verdict.kind


def _state_sgr(socket: OwnedSocket) -> str:
    return _GREEN if is_listener(socket) else ""


def _verdict_sgr(socket: OwnedSocket) -> str:
    return "" if socket.verdict is None else _DIM


def _of_container(value: Callable[[Container], str | None]) -> Callable[[OwnedSocket, Context], str]:
    def cell(socket: OwnedSocket, context: Context) -> str:
        container = None if socket.container_id is None else context.containers.get(socket.container_id)
        return (container and value(container)) or ""

    return cell


SOCKET_COLUMNS: Final[tuple[SocketColumn, ...]] = (
    text_column("netns", _netns, sort_key=_netns_key, free_text=True),
    text_column("proto", _protocol),
    text_column("state", _state, sgr=_state_sgr),
    text_column("local", _local, sort_key=lambda socket, _: endpoint_key(socket.row.local)),
    text_column("remote", _remote, sort_key=lambda socket, _: endpoint_key(socket.row.remote)),
    text_column("pid", _pid, sort_key=_pid_key, free_text=True),
    text_column("command", _command, free_text=True, sgr=_verdict_sgr),
    text_column("container", _container, free_text=True),
    text_column("pod", _pod, free_text=True),
    number_column("uid", lambda socket, _: socket.row.uid),
    number_column("inode", lambda socket, _: socket.row.inode or None),
    number_column("cookie", lambda socket, _: socket.row.cookie),
    text_column("fds", _fds, sort_key=_fds_key, free_text=True),
    number_column("rxq", _rx_queue),
    number_column("txq", _tx_queue),
    text_column("acceptq", _accept_queue, sort_key=_accept_queue_key),
    number_column("cgroup_id", lambda socket, _: socket.row.cgroup_id),
    text_column("verdict", _verdict, sgr=_verdict_sgr),
    text_column("confidence", lambda socket, _: socket.confidence),
    text_column("flags", lambda socket, _: ",".join(socket.flags)),
    text_column("runtime", _of_container(lambda container: container.runtime)),
    text_column("image", _of_container(lambda container: container.image), free_text=True),
)
"""Every column of a socket."""

DEFAULT_COLUMNS: Final = ("netns", "proto", "state", "local", "remote", "pid", "command", "container", "pod")
"""What `-o table` and `-o csv` show."""

WIDE_COLUMNS: Final = (
    *DEFAULT_COLUMNS,
    "fds",
    "uid",
    "inode",
    "rxq",
    "txq",
    "acceptq",
    "cgroup_id",
    "confidence",
    "flags",
)
"""What `-o wide` shows."""
