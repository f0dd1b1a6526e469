"""Why a row has no owner. Pure.

Source: net/ipv4/inet_diag.c (which rows have no inode), include/net/inet_timewait_sock.h.
"""

from typing import Final

from nsagent.model.net import SocketRow, SocketState
from nsagent.model.snapshot import Verdict, VerdictKind

_REASONS: Final = {
    VerdictKind.TIME_WAIT: "closed by its process; the kernel keeps the address pair for a while",
    VerdictKind.SYN_RECV: "a handshake in progress; no socket has been made yet",
    VerdictKind.ACCEPT_QUEUE: "established, but not accepted by the listener's process yet",
    VerdictKind.ORPHAN: "closed by its process; the kernel still sends or waits for the other end",
    VerdictKind.HIDDEN: "no readable process holds it, and some processes could not be read",
    VerdictKind.UNKNOWN: "no process was seen to hold it",
}

VERDICTS: Final = {kind: Verdict(kind, None, reason) for kind, reason in _REASONS.items()}

_HALF_OPEN: Final = frozenset((SocketState.ESTABLISHED, SocketState.CLOSE_WAIT))


def judge_ownerless(row: SocketRow, *, denied: bool) -> Verdict:
    """The verdict on a row that nobody was seen to hold; `denied`: some process could not be read.

    A row without an inode tells by its state: the kernel gives every socket that a process can
    hold an inode, so that nobody holds this one.
    """
    if row.inode:
        return VERDICTS[VerdictKind.HIDDEN if denied else VerdictKind.UNKNOWN]
    if row.state is SocketState.SYN_RECV:
        return VERDICTS[VerdictKind.SYN_RECV]
    if row.uid is None:
        return VERDICTS[VerdictKind.TIME_WAIT]
    if row.state in _HALF_OPEN:
        return VERDICTS[VerdictKind.ACCEPT_QUEUE]
    return VERDICTS[VerdictKind.ORPHAN]
