"""Flows, as the groups of conntrack tell of them."""

import pytest

from nsagent.errors import EventsUnavailable, Reason
from nsagent.kernel.capabilities import Capability as Right
from nsagent.kernel.capabilities import give_back_capabilities
from nsagent.kernel.conntrack_events import FlowBatch, Tracked, open_flow_groups, read_flows
from nsagent.kernel.proc_events import EventsLost
from tests.kernel.apart import run_apart
from tests.kernel.formats.test_conntrack import RECORDED, TCP, UDP
from tests.kernel.test_multicast import OVERRUN, of_netns, queue_of
from tests.live.capabilities import Capability, require

ICMP = RECORDED[0].replace(b"\x05\0\x01\0\x06", b"\x05\0\x01\0\x01")


def test_flows_are_told_in_order_with_the_id_of_their_netns_and_others_passed_over() -> None:
    queue = queue_of(RECORDED[0], ICMP, of_netns(RECORDED[1], 7))
    assert read_flows(queue) == FlowBatch((Tracked(None, TCP), Tracked(7, UDP)), None, True)


def test_what_is_damaged_is_one_loss_more() -> None:
    queue = queue_of(OVERRUN, RECORDED[0], b"short", drops=(10,))
    assert read_flows(queue) == FlowBatch((Tracked(None, TCP),), EventsLost(11, True), True)


def test_without_net_admin_it_is_said_that_none_are_told(same_fds: None) -> None:
    require(Capability.ROOT)

    def listen() -> None:
        give_back_capabilities((Right.SYS_PTRACE, Right.NET_BROADCAST))
        with pytest.raises(EventsUnavailable, match="conntrack events: EPERM") as caught:
            open_flow_groups(1 << 16)
        assert caught.value.reason is Reason.DENIED

    run_apart(listen)
