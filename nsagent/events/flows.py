"""Flows that the kernel tracks, as sockets that would have them: of those that pass through a host. Pure."""

from nsagent.kernel.formats.conntrack import Flow
from nsagent.kernel.formats.small_table import make_row
from nsagent.model.net import Protocol, SocketRow, SocketState
from nsagent.query.own_addresses import OwnAddresses
from nsagent.query.reach import Reach


def has_socket(flow: Flow, netns: int | None, own: OwnAddresses, reach: Reach) -> bool:
    """Whether an end of it, before or behind NAT, is at an address of a netns that is seen: that end is a socket.

    That is an own one of the netns in which it is tracked, None where that is not known, or one to which the host
    sends packets: what else a netns calls its own hides no flow.
    """
    addresses = {end.address for end in (*flow.original, *flow.reply)}
    return any(reach.find(one) or netns in own.find(one) for one in addresses)


def make_flow_row(flow: Flow) -> SocketRow:
    """A flow as whoever began it sees it."""
    tcp = flow.protocol is Protocol.TCP
    state = SocketState.CLOSE if flow.ended else SocketState.SYN_SENT if tcp else SocketState.ESTABLISHED
    return make_row(flow.family, flow.protocol, state, flow.original.source, flow.original.destination, 0)
