"""Why a row has no owner."""

import pytest

from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol, SocketRow, SocketState
from nsagent.model.snapshot import VerdictKind
from nsagent.scan.verdicts import REASONS, Evidence, judge_ownerless
from tests.kernel.rows import CONNECTIONS, LATE_ORPHAN, LISTENERS, ORPHAN, USUAL, four, make_row

TIME_WAIT = next(row for row in CONNECTIONS if row.state is SocketState.TIME_WAIT)
SYN_RECV = next(row for row in CONNECTIONS if row.state is SocketState.SYN_RECV)
WAITING = next(row for row in CONNECTIONS if row.state is SocketState.ESTABLISHED and not row.inode)
LISTENER = LISTENERS[0]._replace(uid=0)
UDP = make_row(SocketState.CLOSE, four(4789), protocol=Protocol.UDP, inode=9, uid=0)
TUNNEL = UDP._replace(options=USUAL._replace(multicast_loop=False))
THOROUGH = Evidence(thorough=True)


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
@pytest.mark.parametrize("evidence", [THOROUGH, Evidence(hidden_here=True, hidden=True), Evidence(in_flight=3)])
def test_a_row_that_no_process_can_hold_tells_by_its_state_whatever_else_is_known(
    row: SocketRow, kind: VerdictKind, evidence: Evidence
) -> None:
    assert judge_ownerless(row, evidence) is kind


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        (Evidence(), VerdictKind.UNKNOWN),
        (THOROUGH, VerdictKind.KERNEL),
        (Evidence(thorough=True, in_flight=1), VerdictKind.IN_FLIGHT),
        (Evidence(hidden=True), VerdictKind.HIDDEN),
        (Evidence(hidden=True, in_flight=1), VerdictKind.IN_FLIGHT),
        (Evidence(hidden_here=True, hidden=True, in_flight=1), VerdictKind.HIDDEN),
        (Evidence(thorough=True, unsettled={SocketInode(9)}), VerdictKind.VANISHED),
        (Evidence(thorough=True, unsettled={SocketInode(8)}), VerdictKind.KERNEL),
    ],
)
def test_a_row_with_an_inode_is_judged_by_what_the_pass_could_see(evidence: Evidence, kind: VerdictKind) -> None:
    assert judge_ownerless(UDP, evidence) is kind


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        (Evidence(), VerdictKind.KERNEL),
        (Evidence(in_flight=1, hidden=True), VerdictKind.KERNEL),
        (Evidence(hidden_here=True), VerdictKind.HIDDEN),
    ],
)
def test_a_udp_socket_without_multicast_loop_is_a_tunnel_of_the_kernel(evidence: Evidence, kind: VerdictKind) -> None:
    assert judge_ownerless(TUNNEL, evidence) is kind


def test_a_socket_of_an_ordinary_user_is_not_taken_for_the_kernels() -> None:
    assert judge_ownerless(LISTENER._replace(uid=1000), THOROUGH) is VerdictKind.UNKNOWN


@pytest.mark.parametrize("kind", VerdictKind)
def test_every_kind_has_a_sentence_of_its_own(kind: VerdictKind) -> None:
    assert [other for other, reason in REASONS.items() if reason == REASONS[kind]] == [kind]
