"""Why a row has no owner."""

import pytest

from nsagent.model.facts import Flow, TunnelEnd
from nsagent.model.ids import SocketInode
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState
from nsagent.model.snapshot import VerdictKind
from nsagent.scan.verdicts import REASONS, Evidence, judge_ownerless
from tests.kernel.rows import CONNECTIONS, LATE_ORPHAN, ORPHAN, USUAL, four, make_row

TIME_WAIT = next(row for row in CONNECTIONS if row.state is SocketState.TIME_WAIT)
SYN_RECV = next(row for row in CONNECTIONS if row.state is SocketState.SYN_RECV)
WAITING = next(row for row in CONNECTIONS if row.state is SocketState.ESTABLISHED and not row.inode)
UDP = make_row(SocketState.CLOSE, four(4789), protocol=Protocol.UDP, inode=9, uid=0)
TUNNEL = UDP._replace(local=four(4789, "0.0.0.0"), options=USUAL._replace(multicast_loop=False))
ENDS = (TunnelEnd(Family.IPV4, 4789),)
RPC = make_row(SocketState.ESTABLISHED, four(805), four(2049), inode=9, uid=0)
FLOWS = {Flow(Family.IPV4, four(805), four(2049))}
SEEN = Evidence()


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (TIME_WAIT, VerdictKind.TIME_WAIT),
        (LATE_ORPHAN, VerdictKind.TIME_WAIT),
        (SYN_RECV, VerdictKind.SYN_RECV),
        (WAITING, VerdictKind.ACCEPT_QUEUE),
        (WAITING._replace(state=SocketState.CLOSE_WAIT), VerdictKind.ACCEPT_QUEUE),
        (ORPHAN, VerdictKind.ORPHAN),
        (ORPHAN._replace(state=SocketState.FIN_WAIT2), VerdictKind.ORPHAN),
        (ORPHAN._replace(state=SocketState.LAST_ACK), VerdictKind.ORPHAN),
        (ORPHAN._replace(state=SocketState.CLOSING), VerdictKind.ORPHAN),
        (make_row(SocketState.CLOSE, four(0, "route"), protocol=Protocol.NETLINK, inode=9), VerdictKind.KERNEL),
    ],
)
@pytest.mark.parametrize("evidence", [SEEN, Evidence(hidden_here=True, hidden=True), Evidence(in_flight=3)])
def test_a_row_that_no_process_can_hold_tells_by_its_state_whatever_else_is_known(
    row: SocketRow, kind: VerdictKind, evidence: Evidence
) -> None:
    assert judge_ownerless(row, evidence) is kind


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        (SEEN, VerdictKind.UNKNOWN),
        (Evidence(in_flight=1), VerdictKind.IN_FLIGHT),
        (Evidence(hidden=True), VerdictKind.HIDDEN),
        (Evidence(hidden=True, in_flight=1), VerdictKind.IN_FLIGHT),
        (Evidence(hidden_here=True, hidden=True, in_flight=1), VerdictKind.HIDDEN),
        (Evidence(unsettled={SocketInode(9)}), VerdictKind.VANISHED),
        (Evidence(unsettled={SocketInode(8)}), VerdictKind.UNKNOWN),
    ],
)
def test_a_row_with_an_inode_is_judged_by_what_the_pass_could_see(evidence: Evidence, kind: VerdictKind) -> None:
    assert judge_ownerless(UDP, evidence) is kind


@pytest.mark.parametrize("evidence", [SEEN, Evidence(hidden_here=True, hidden=True), Evidence(in_flight=3)])
def test_the_socket_of_a_tunnel_is_the_kernels_whatever_else_is_not_known(evidence: Evidence) -> None:
    assert judge_ownerless(TUNNEL, evidence._replace(tunnels=ENDS)) is VerdictKind.KERNEL


@pytest.mark.parametrize(
    "row",
    [
        TUNNEL._replace(uid=1000),
        TUNNEL._replace(local=four(4790, "0.0.0.0")),
        TUNNEL._replace(local=four(4789)),
        TUNNEL._replace(remote=four(53)),
        TUNNEL._replace(interface=2),
        TUNNEL._replace(options=USUAL),
        TUNNEL._replace(options=None),
        TUNNEL._replace(family=Family.IPV6, local=Endpoint("::", 4789)),
        TUNNEL._replace(protocol=Protocol.TCP),
    ],
    ids=["user", "port", "address", "connected", "device", "loop", "options", "family", "protocol"],
)
def test_a_row_that_differs_from_a_tunnels_socket_in_anything_is_not_the_kernels(row: SocketRow) -> None:
    assert judge_ownerless(row, Evidence(tunnels=ENDS)) is VerdictKind.UNKNOWN


@pytest.mark.parametrize("evidence", [SEEN, Evidence(hidden_here=True, hidden=True), Evidence(in_flight=3)])
def test_a_connection_of_the_rpc_client_is_the_kernels_whatever_else_is_not_known(evidence: Evidence) -> None:
    assert judge_ownerless(RPC, evidence._replace(rpc_flows=FLOWS)) is VerdictKind.KERNEL


@pytest.mark.parametrize(
    "row",
    [
        RPC._replace(uid=1000),
        RPC._replace(local=four(806)),
        RPC._replace(remote=four(2050)),
        RPC._replace(local=four(2049), remote=four(805)),
        RPC._replace(interface=2),
        RPC._replace(family=Family.IPV6),
        RPC._replace(protocol=Protocol.UDP),
    ],
    ids=["user", "local", "remote", "other end", "device", "family", "protocol"],
)
def test_a_connection_that_differs_from_the_rpc_clients_in_anything_is_not_the_kernels(row: SocketRow) -> None:
    assert judge_ownerless(row, Evidence(rpc_flows=FLOWS)) is VerdictKind.UNKNOWN


def test_what_is_left_of_a_connection_of_the_rpc_client_is_an_orphan() -> None:
    left = RPC._replace(inode=SocketInode(0), state=SocketState.FIN_WAIT1)
    assert judge_ownerless(left, Evidence(rpc_flows=FLOWS)) is VerdictKind.ORPHAN


@pytest.mark.parametrize("kind", VerdictKind)
def test_every_kind_has_a_sentence_of_its_own(kind: VerdictKind) -> None:
    assert [other for other, reason in REASONS.items() if reason == REASONS[kind]] == [kind]
