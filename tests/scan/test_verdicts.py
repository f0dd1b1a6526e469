"""Why a row has no owner."""

import pytest

from nsagent.model.net import Protocol, SocketRow, SocketState
from nsagent.model.snapshot import VerdictKind
from nsagent.scan.verdicts import VERDICTS, judge_ownerless
from tests.kernel.rows import CONNECTIONS, LATE_ORPHAN, LISTENERS, ORPHAN, four, make_row

TIME_WAIT = next(row for row in CONNECTIONS if row.state is SocketState.TIME_WAIT)
SYN_RECV = next(row for row in CONNECTIONS if row.state is SocketState.SYN_RECV)
WAITING = next(row for row in CONNECTIONS if row.state is SocketState.ESTABLISHED and not row.inode)


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
    ],
)
@pytest.mark.parametrize("denied", [False, True])
def test_a_row_without_inode_tells_by_its_state_whoever_was_denied(
    row: SocketRow, kind: VerdictKind, denied: bool
) -> None:
    assert judge_ownerless(row, denied=denied) == VERDICTS[kind]


@pytest.mark.parametrize(
    "row", [LISTENERS[0], make_row(SocketState.CLOSE, four(53), protocol=Protocol.UDP, inode=9, uid=1000)]
)
@pytest.mark.parametrize(("denied", "kind"), [(False, VerdictKind.UNKNOWN), (True, VerdictKind.HIDDEN)])
def test_a_row_with_an_inode_is_hidden_where_processes_were_denied(
    row: SocketRow, denied: bool, kind: VerdictKind
) -> None:
    assert judge_ownerless(row, denied=denied) == VERDICTS[kind]


@pytest.mark.parametrize("kind", VerdictKind)
def test_every_kind_has_a_sentence_of_its_own_and_charges_nobody(kind: VerdictKind) -> None:
    verdict = VERDICTS[kind]
    assert (verdict.kind, verdict.charged_to) == (kind, None)
    assert [other for other in VERDICTS.values() if other.reason == verdict.reason] == [verdict]
