"""Flows that the kernel tracks, as sockets that would have them: of those that pass through a host. Pure."""

from nsagent.kernel.formats.conntrack import Flow
from nsagent.kernel.formats.small_table import make_row
from nsagent.model.net import Protocol, SocketRow, SocketState
from nsagent.query.own_addresses import OwnAddresses


def has_socket(flow: Flow, own: OwnAddresses) -> bool:
    """Whether an end of it, before or behind NAT, is at an address of a netns that is seen: that end is a socket."""
    return any(own.find(end.address) for end in (*flow.original, *flow.reply))


def make_flow_row(flow: Flow) -> SocketRow:
    """A flow as whoever began it sees it."""
    tcp = flow.protocol is Protocol.TCP
    state = SocketState.CLOSE if flow.ended else SocketState.SYN_SENT if tcp else SocketState.ESTABLISHED
    return make_row(flow.family, flow.protocol, state, flow.original.source, flow.original.destination, 0)
