"""The table of `nsagent netns`."""

from typing import Final

from nsagent.model.facts import Interface
from nsagent.model.ids import tell_netns
from nsagent.model.snapshot import Netns
from nsagent.report.context import HOST, INIT, Context, context_of, pod_text
from nsagent.report.layout import Column, Layout, number_column, text_column


def interface_text(interface: Interface, context: Context) -> str:
    """`eth0@if7[web](10.0.0.2/24,...)`: the peer of a veth, its netns and the addresses, each where known."""
    peer = "" if interface.peer_index is None else f"@if{interface.peer_index}"
    if interface.peer_netns is not None:
        peer += f"[{context.netns_labels[interface.peer_netns]}]"
    addresses = f"({','.join(interface.addresses)})" if interface.addresses else ""
    return f"{interface.name}{peer}{addresses}"


def _sockets(netns: Netns, context: Context) -> int | None:
    return None if netns.engine is None else context.sockets[netns.number]


def _names(netns: Netns, context: Context) -> str:
    own = (HOST,) if netns.is_host else (INIT,) if netns.is_init else ()
    return ",".join((*own, *netns.names))


def _containers(netns: Netns, context: Context) -> str:
    return ",".join([context.container_labels[each] for each in netns.containers])


def _pods(netns: Netns, context: Context) -> str:
    return ",".join(filter(None, map(pod_text, netns.pods)))


def _rows(netns: Netns, context: Context) -> str:
    return ",".join([f"{kind}:{rows}/{'?' if counted is None else counted}" for kind, rows, counted in netns.rows])


def _interfaces(netns: Netns, context: Context) -> str:
    return " ".join([interface_text(each, context) for each in netns.interfaces or ()])


NETNS_COLUMNS: Final[tuple[Column[Netns], ...]] = (
    text_column(
        "netns",
        lambda netns, _: tell_netns(netns.number),
        sort_key=lambda netns, _: (netns.inode is None, abs(netns.number)),
    ),
    text_column("names", _names, free_text=True),
    number_column("processes", lambda netns, _: netns.processes, spare=4),
    number_column("sockets", _sockets, spare=3),
    text_column("containers", _containers, free_text=True, spare=1),
    text_column("pods", _pods, free_text=True, spare=2),
    text_column("engine", lambda netns, _: netns.engine or "", spare=5),
    text_column("found_by", lambda netns, _: ",".join(netns.found_by), spare=6),
    number_column("cookie", lambda netns, _: netns.cookie),
    text_column("mounts", lambda netns, _: ",".join(netns.mounts), free_text=True),
    text_column("foreign_mounts", lambda netns, _: ",".join(netns.foreign_mounts), free_text=True),
    text_column("rows", _rows, free_text=True),
    text_column("interfaces", _interfaces, free_text=True),
)
"""Every column of a netns."""

NETNS_DEFAULT: Final = ("netns", "names", "processes", "sockets", "containers", "pods", "engine", "found_by")
"""What `-o table` shows."""

NETNS_WIDE: Final = (*NETNS_DEFAULT, "cookie", "mounts", "foreign_mounts", "rows", "interfaces")
"""What `-o wide` shows."""

NETNS: Final = Layout(
    NETNS_COLUMNS,
    lambda _: NETNS_DEFAULT,
    lambda _: NETNS_WIDE,
    lambda snapshot: snapshot.netns,
    lambda snapshot, rows: snapshot._replace(netns=rows),
    context_of,
)
"""The table itself."""
