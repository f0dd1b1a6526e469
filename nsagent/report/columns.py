"""The columns of sockets: what `--columns` and `--sort-by` name, for table and csv alike."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from nsagent.model.container import Container
from nsagent.model.facts import HeldBy
from nsagent.model.ids import Fd, Pid
from nsagent.model.net import TcpInfo, is_unconnected
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.report.accept_queues import is_listener
from nsagent.report.addresses import endpoint_key, local_text, remote_text
from nsagent.report.context import Context, context_of, pod_text, short_image
from nsagent.report.layout import Column, Layout, number_column, text_column

SocketColumn = Column[OwnedSocket]

ARGV: Final = "argv"
"""The column of command lines, which are there only where they are asked for."""

UNCONNECTED: Final = "unconn"
"""What ss calls such a socket; its state is CLOSE."""

Join = Callable[[Sequence[str]], str]
"""Puts what the owners of a row say into one cell."""

_NAMED: Final = 3
"""How many owners of a row a table names, and how many fds of each."""

_LONGEST_ARGV: Final = 200
"""Of what a table shows, in characters."""

_GREEN = "32"
_DIM = "2"


def usual_columns(snapshot: Snapshot) -> tuple[str, ...]:
    """What `-o table` and `-o csv` show: DEFAULT_COLUMNS, and `argv` where it was asked for."""
    return DEFAULT_COLUMNS + (() if snapshot.command_lines is None else (ARGV,))


def wide_columns(snapshot: Snapshot) -> tuple[str, ...]:
    """What `-o wide` shows: WIDE_COLUMNS, TCP_INFO_COLUMNS where any row has a TCP_INFO, and `argv` if asked for."""
    tcp_info = TCP_INFO_COLUMNS if any(socket.row.tcp_info for socket in snapshot.sockets) else ()
    return WIDE_COLUMNS + tcp_info + (() if snapshot.command_lines is None else (ARGV,))


def _join_all(texts: Sequence[str]) -> str:
    return ",".join(texts)


def _join_first(texts: Sequence[str]) -> str:
    """Three of them, and how many more there are."""
    rest = len(texts) - _NAMED
    return ",".join(texts) if rest <= 0 else f"{','.join(texts[:_NAMED])} +{rest}"


def _join_least(texts: Sequence[str]) -> str:
    """The first one, and how many more there are."""
    return f"{texts[0]} +{len(texts) - 1}" if len(texts) > 1 else ",".join(texts)


def _netns(socket: OwnedSocket, context: Context) -> str:
    return context.netns_labels[socket.netns]


def _netns_key(socket: OwnedSocket, context: Context) -> tuple[bool, bool, int]:
    netns = context.netns.get(socket.netns)
    return netns is None or not netns.is_host, socket.netns < 0, abs(socket.netns)


def _protocol(socket: OwnedSocket, context: Context) -> str:
    return socket.row.protocol


def _state(socket: OwnedSocket, context: Context) -> str:
    return UNCONNECTED if is_unconnected(socket.row) else socket.row.state


def _local(socket: OwnedSocket, context: Context) -> str:
    return local_text(socket.row, socket.interface)


def _remote(socket: OwnedSocket, context: Context) -> str:
    return remote_text(socket.row)


def _pid(socket: OwnedSocket, context: Context, join: Join = _join_all) -> str:
    owners = socket.owners
    if len(owners) == 1:
        return str(owners[0].process.pid)
    return join([str(owner.process.pid) for owner in owners])


def _pid_key(socket: OwnedSocket, context: Context) -> list[Pid] | None:
    return [owner.process.pid for owner in socket.owners] or None


def _command(socket: OwnedSocket, context: Context, join: Join = _join_all) -> str:
    owners, verdict = socket.owners, socket.verdict
    if verdict is not None:
        return f"({verdict.kind})"
    if len(owners) == 1:
        return owners[0].process.comm
    return join([owner.process.comm for owner in owners])


def _argv(socket: OwnedSocket, context: Context, join: Join = _join_all) -> str:
    """The arguments of each owner as a shell would be given them; `...` behind those that are cut."""
    import shlex

    lines = [context.command_lines.get(owner.process.key) for owner in socket.owners]
    texts = ["-" if line is None else shlex.join(line.argv) + (" ..." if line.cut else "") for line in lines]
    return join(texts) if any(lines) else ""


def _brief_argv(socket: OwnedSocket, context: Context) -> str:
    text = _argv(socket, context, _join_first)
    return text if len(text) <= _LONGEST_ARGV else f"{text[:_LONGEST_ARGV]} ..."


def _container(socket: OwnedSocket, context: Context) -> str:
    return context.container_labels[socket.container_id]


def _pod(socket: OwnedSocket, context: Context) -> str:
    return context.pod_labels[socket.container_id] if socket.pod is None else pod_text(socket.pod)


def _unit(socket: OwnedSocket, context: Context, join: Join = _join_all) -> str:
    units = [owner.process.unit for owner in socket.owners]
    return join([unit or "-" for unit in units]) if any(units) else ""


def _fds(socket: OwnedSocket, context: Context, join: Join = _join_all) -> str:
    return join([_fds_text(owner.fds, owner.held_by) for owner in socket.owners])


def _fds_text(fds: tuple[Fd, ...], held_by: HeldBy) -> str:
    text = "+".join(map(str, fds))
    return text if held_by is HeldBy.FD else f"{held_by}:{text}"


def _brief_fds(socket: OwnedSocket, context: Context) -> str:
    """The first owners and of each the first fds: a process may have 10^6 on one socket."""
    texts = []
    for owner in socket.owners[:_NAMED]:
        rest = len(owner.fds) - _NAMED
        texts.append(_fds_text(owner.fds[:_NAMED], owner.held_by) + (f" +{rest}" if rest > 0 else ""))
    return _join_first([*texts, *[""] * (len(socket.owners) - len(texts))])


def _tid(socket: OwnedSocket, context: Context, join: Join = _join_all) -> str:
    return join([f"{owner.process.pid}/{owner.tid}" for owner in socket.owners if owner.tid is not None])


def _fds_key(socket: OwnedSocket, context: Context) -> list[tuple[Fd, ...]] | None:
    return [owner.fds for owner in socket.owners] or None


def _rx_queue(socket: OwnedSocket, context: Context) -> int | None:
    return None if is_listener(socket) else socket.row.rx_queue


def _tx_queue(socket: OwnedSocket, context: Context) -> int | None:
    return None if is_listener(socket) else socket.row.tx_queue


def _accept_queue(socket: OwnedSocket, context: Context) -> str:
    if not is_listener(socket):
        return ""
    used, limit = ("?" if count is None else count for count in (socket.row.rx_queue, socket.row.tx_queue))
    return f"{used}/{limit}"


def _accept_queue_key(socket: OwnedSocket, context: Context) -> tuple[int, int] | None:
    row = socket.row
    return (row.rx_queue or 0, row.tx_queue or 0) if is_listener(socket) else None


def _verdict(socket: OwnedSocket, context: Context) -> str:
    return "" if socket.verdict is None else socket.verdict.kind


def _charged(socket: OwnedSocket, context: Context) -> str:
    charged = socket.verdict and socket.verdict.charged_to
    if charged is None:
        return ""
    parts = ["" if charged.pid is None else f"pid:{charged.pid}"]
    if charged.container_id is not None:
        parts.append(f"container:{context.container_labels[charged.container_id]}")
    elif socket.pod is not None:
        parts.append(f"pod:{pod_text(socket.pod) or socket.pod.uid}")
    return " ".join(filter(None, parts))


def _timer(socket: OwnedSocket, context: Context) -> str:
    timer = socket.row.timer
    return "" if timer is None else f"{timer.kind}/{timer.expires_ms / 1000:.3f}/{timer.retransmits}"


def _rtt(socket: OwnedSocket, context: Context) -> str:
    told = socket.row.tcp_info
    return "" if told is None else f"{told.rtt_us / 1000:.3f}/{told.rtt_variation_us / 1000:.3f}"


def _retransmits(socket: OwnedSocket, context: Context) -> str:
    told = socket.row.tcp_info
    return "" if told is None else f"{told.retransmits}/{told.total_retransmits}"


def _of_tcp_info(value: Callable[[TcpInfo], Any]) -> Callable[[OwnedSocket, Context], Any]:
    """What `value` gives of the TCP_INFO of a row, None without one."""
    return lambda socket, _: None if socket.row.tcp_info is None else value(socket.row.tcp_info)


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
    text_column("netns", _netns, sort_key=_netns_key, free_text=True, spare=5),
    text_column("proto", _protocol, spare=3),
    text_column("state", _state, sgr=_state_sgr),
    text_column("local", _local, sort_key=lambda socket, _: endpoint_key(socket.row.family, socket.row.local)),
    text_column("remote", _remote, sort_key=lambda socket, _: endpoint_key(socket.row.family, socket.row.remote)),
    text_column(
        "pid", _pid, sort_key=_pid_key, brief=partial(_pid, join=_join_first), least=partial(_pid, join=_join_least)
    ),
    text_column(
        "command",
        _command,
        free_text=True,
        sgr=_verdict_sgr,
        brief=partial(_command, join=_join_first),
        least=partial(_command, join=_join_least),
        spare=4,
    ),
    text_column(ARGV, _argv, free_text=True, brief=_brief_argv),
    text_column("container", _container, free_text=True, spare=2),
    text_column("pod", _pod, free_text=True, spare=1),
    text_column(
        "unit",
        _unit,
        free_text=True,
        brief=partial(_unit, join=_join_first),
        least=partial(_unit, join=_join_least),
    ),
    number_column("uid", lambda socket, _: socket.row.uid),
    number_column("inode", lambda socket, _: socket.row.inode or None),
    number_column("cookie", lambda socket, _: socket.row.cookie),
    text_column("tid", _tid, free_text=True, brief=partial(_tid, join=_join_first)),
    text_column("fds", _fds, sort_key=_fds_key, free_text=True, brief=_brief_fds),
    number_column("rxq", _rx_queue),
    number_column("txq", _tx_queue),
    text_column("acceptq", _accept_queue, sort_key=_accept_queue_key),
    text_column("timer", _timer, sort_key=lambda socket, _: socket.row.timer),
    number_column("cgroup_id", lambda socket, _: socket.row.cgroup_id),
    text_column("verdict", _verdict, sgr=_verdict_sgr),
    text_column("charged", _charged, free_text=True),
    text_column("attribution", lambda socket, _: socket.attribution),
    text_column("confidence", lambda socket, _: socket.confidence),
    text_column("flags", lambda socket, _: ",".join(socket.flags)),
    text_column("runtime", _of_container(lambda container: container.runtime)),
    text_column(
        "image",
        _of_container(lambda container: container.image),
        free_text=True,
        brief=_of_container(lambda container: short_image(container.image)),
        spare=6,
    ),
    text_column("mptcp", lambda socket, _: "mptcp" if socket.row.mptcp else ""),
    text_column("rtt", _rtt, sort_key=_of_tcp_info(lambda told: (told.rtt_us, told.rtt_variation_us))),
    text_column(
        "retrans", _retransmits, sort_key=_of_tcp_info(lambda told: (told.retransmits, told.total_retransmits))
    ),
    number_column("cwnd", _of_tcp_info(lambda told: told.congestion_window)),
    number_column("sent", _of_tcp_info(lambda told: told.bytes_sent)),
    number_column("received", _of_tcp_info(lambda told: told.bytes_received)),
)
"""Every column of a socket."""

DEFAULT_COLUMNS: Final = ("netns", "proto", "state", "local", "remote", "pid", "command", "container", "pod")
"""What `-o table` and `-o csv` show."""

WIDE_COLUMNS: Final = (
    *DEFAULT_COLUMNS,
    "unit",
    "fds",
    "uid",
    "inode",
    "rxq",
    "txq",
    "acceptq",
    "timer",
    "cgroup_id",
    "charged",
    "attribution",
    "confidence",
    "flags",
)
"""What `-o wide` shows of any rows."""

TCP_INFO_COLUMNS: Final = ("rtt", "retrans", "cwnd", "sent", "received")
"""What TCP_INFO tells: the round trip and its variation in ms, segments sent again now and ever, segments, bytes."""

SOCKETS: Final = Layout(
    SOCKET_COLUMNS,
    usual_columns,
    wide_columns,
    lambda snapshot: snapshot.sockets,
    lambda snapshot, rows: snapshot._replace(sockets=rows),
    context_of,
)
"""The table of `nsagent scan`."""
