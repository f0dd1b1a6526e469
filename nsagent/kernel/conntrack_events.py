"""Notices of conntrack: flows that begin in a netns in which the kernel tracks them, and that it forgets there.

Needs CAP_NET_ADMIN. A flow of TCP is forgotten two minutes after its end, one of UDP half a minute after its last
packet. What the messages say is kernel.formats.conntrack's.

Source: net/netfilter/nfnetlink.c nfnetlink_bind(), nf_conntrack_ecache.c;
Documentation/networking/nf_conntrack-sysctl.rst (nf_conntrack_events, the timeouts).
"""

import sys
from typing import NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.conntrack import (
    NETLINK_NETFILTER,
    NFNLGRP_CONNTRACK_DESTROY,
    NFNLGRP_CONNTRACK_NEW,
    Flow,
    decode_flow,
)
from nsagent.kernel.multicast import Multicast, MulticastQueue, join_losses
from nsagent.kernel.proc_events import EventsLost


class Tracked(NamedTuple):
    """A flow, and the id of the netns in which it is tracked, None for that of the listener."""

    nsid: int | None
    flow: Flow


class FlowBatch(NamedTuple):
    """What has come since the last one."""

    flows: tuple[Tracked, ...]
    lost: EventsLost | None
    drained: bool
    """Whether nothing is left; else more waits already."""


def open_flow_groups(receive_bytes: int) -> Multicast:
    """Flows of the netns that the calling thread is in now, and of those with an id there. Raises EventsUnavailable."""
    groups = (NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_DESTROY)
    return Multicast(NETLINK_NETFILTER, groups, "conntrack events", receive_bytes, all_netns=True)


def read_flows(queue: MulticastQueue) -> FlowBatch:
    """The flows of TCP and UDP, of at most 4096 notices; never waits itself. Raises NotRead."""
    messages, lost, drained = queue.read()
    flows: list[Tracked] = []
    damaged = 0
    for message in messages:
        try:
            flow = decode_flow(message.data, sys.byteorder)
        except FormatError:
            damaged += 1
            continue
        if flow is not None:
            flows.append(Tracked(message.nsid, flow))
    return FlowBatch(tuple(flows), join_losses(lost, damaged), drained)
