"""The table of `nsagent netns`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from nsagent.model.facts import Interface
from nsagent.model.ids import tell_netns
from nsagent.model.snapshot import Netns, Snapshot
from nsagent.report.context import HOST, INIT, Context, context_of, pod_text
from nsagent.report.csv import csv_records
from nsagent.report.layout import Column, number_column, pick_columns, sort_rows, text_column
from nsagent.report.text_table import render_text_table


def render_netns_table(
    snapshot: Snapshot,
    *,
    columns: Sequence[str] | None = None,
    headers: bool = True,
    width: int | None = None,
    colour: bool = False,
) -> Iterator[str]:
    """One line per netns; see table.render_table. `columns` None means NETNS_DEFAULT."""
    picked = pick_columns(NETNS_COLUMNS, NETNS_DEFAULT if columns is None else columns)
    context = context_of(snapshot)
    return render_text_table(snapshot.netns, picked, context, headers=headers, width=width, colour=colour)


def render_netns_csv(
    snapshot: Snapshot, *, columns: Sequence[str] | None = None, headers: bool = True
) -> Iterator[str]:
    """One record per netns; see csv.render_csv. `columns` None means NETNS_WIDE."""
    picked = pick_columns(NETNS_COLUMNS, NETNS_WIDE if columns is None else columns)
    return csv_records(snapshot.netns, picked, context_of(snapshot), headers=headers)


def sort_netns(snapshot: Snapshot, column_names: Sequence[str]) -> Snapshot:
    """The snapshot with its netns in the order of these columns, see columns.sort_sockets."""
    return replace(snapshot, netns=sort_rows(snapshot.netns, NETNS_COLUMNS, column_names, context_of(snapshot)))


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
    number_column("processes", lambda netns, _: netns.processes),
    number_column("sockets", _sockets),
    text_column("containers", _containers, free_text=True),
    text_column("pods", _pods, free_text=True),
    text_column("engine", lambda netns, _: netns.engine or ""),
    text_column("found_by", lambda netns, _: ",".join(netns.found_by)),
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
