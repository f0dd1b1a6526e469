"""Why a row has no owner. Pure.

Source: net/ipv4/inet_diag.c (which rows have no inode), include/net/inet_timewait_sock.h,
net/ipv4/udp_tunnel_core.c setup_udp_tunnel_sock() (multicast loop of the kernel's own sockets).
"""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol, SocketRow, SocketState
from nsagent.model.snapshot import VerdictKind

REASONS: Final = {
    VerdictKind.TIME_WAIT: "closed by its process; the kernel keeps the address pair for a while",
    VerdictKind.SYN_RECV: "a handshake in progress; no socket has been made yet",
    VerdictKind.ACCEPT_QUEUE: "established, but not accepted by the listener's process yet",
    VerdictKind.ORPHAN: "closed by its process; the kernel still sends or waits for the other end",
    VerdictKind.IN_FLIGHT: "nobody holds it, and descriptors are on their way over unix sockets",
    VerdictKind.KERNEL: "the kernel's own: no process and no thread holds it",
    VerdictKind.HIDDEN: "no readable process holds it, and some that may could not be read",
    VerdictKind.VANISHED: "its holders changed faster than they could be read, or it could not be looked up again",
    VerdictKind.UNKNOWN: "no process was seen to hold it",
}
"""A sentence for people for each kind."""

_HALF_OPEN: Final = frozenset((SocketState.ESTABLISHED, SocketState.CLOSE_WAIT))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a pass knows about those who could hold the rows of one netns.

    `hidden_here`: a process that lives in this netns could not be read, or processes are hidden as
    such; `hidden`: some process anywhere. `in_flight` counts descriptors in transit over unix
    sockets. `thorough`: all processes of the host were walked again for these rows, with every thread, and
    nothing failed. `unsettled` is that of the NetnsReading.
    """

    hidden_here: bool = False
    hidden: bool = False
    in_flight: int = 0
    thorough: bool = False
    unsettled: Set[SocketInode] = frozenset()


def judge_ownerless(row: SocketRow, evidence: Evidence) -> VerdictKind:
    """The verdict on a row that nobody was seen to hold.

    A row without an inode tells by its state: the kernel gives every socket that a process can
    hold an inode, so that nobody holds this one. Netlink sockets with port id 0 are the kernel's.
    """
    if row.protocol is Protocol.NETLINK and not row.local.port:
        return VerdictKind.KERNEL
    return _judge_by_evidence(row, evidence) if row.inode else _judge_by_state(row)


def _judge_by_state(row: SocketRow) -> VerdictKind:
    if row.state is SocketState.SYN_RECV:
        return VerdictKind.SYN_RECV
    if row.state is SocketState.TIME_WAIT or (row.uid is None and row.protocol is Protocol.TCP):
        return VerdictKind.TIME_WAIT
    if row.state in _HALF_OPEN:
        return VerdictKind.ACCEPT_QUEUE
    return VerdictKind.ORPHAN


def _judge_by_evidence(row: SocketRow, evidence: Evidence) -> VerdictKind:
    """From what is sure to what is only not excluded: a process that cannot be read may hold anything."""
    if evidence.hidden_here:
        return VerdictKind.HIDDEN
    if row.protocol is Protocol.UDP and row.options is not None and not row.options.multicast_loop:
        return VerdictKind.KERNEL  # For its tunnels: what user programs open loops back, unless they say otherwise.
    if evidence.in_flight:
        return VerdictKind.IN_FLIGHT
    if evidence.hidden:
        return VerdictKind.HIDDEN
    if row.inode in evidence.unsettled:
        return VerdictKind.VANISHED
    if evidence.thorough and row.uid == 0:
        return VerdictKind.KERNEL
    return VerdictKind.UNKNOWN
