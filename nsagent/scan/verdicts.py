"""Why a row has no owner. Pure.

Source: net/ipv4/inet_diag.c (which rows have no inode), include/net/inet_timewait_sock.h,
net/ipv4/udp_tunnel_core.c setup_udp_tunnel_sock() (multicast loop of the sockets of tunnels),
net/netlink/af_netlink.c netlink_autobind() (a process never has port id 0).
"""

from collections.abc import Collection, Set
from typing import Final, NamedTuple

from nsagent.model.facts import Flow, TunnelEnd
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol, SocketRow, SocketState
from nsagent.model.snapshot import VerdictKind

REASONS: Final = {
    VerdictKind.TIME_WAIT: "closed by its process; the kernel keeps the address pair for a while",
    VerdictKind.SYN_RECV: "a handshake in progress; no socket has been made yet",
    VerdictKind.ACCEPT_QUEUE: "established, but not accepted by the listener's process yet",
    VerdictKind.ORPHAN: "closed by its process; the kernel still sends or waits for the other end",
    VerdictKind.IN_FLIGHT: "nobody holds it, and descriptors are on their way over unix sockets",
    VerdictKind.KERNEL: "the kernel's own: its end of netlink, the socket of a tunnel, or its NFS client's connection",
    VerdictKind.HIDDEN: "no readable process holds it, and some that may could not be read",
    VerdictKind.VANISHED: "its holders changed faster than they could be read, or it could not be looked up again",
    VerdictKind.UNKNOWN: "no process was seen to hold it; the kernel may, or an io_uring without an fd",
}
"""A sentence for people for each kind."""

_ANY_ADDRESS: Final = ("0.0.0.0", "::")
_HALF_OPEN: Final = frozenset((SocketState.ESTABLISHED, SocketState.CLOSE_WAIT))


class Evidence(NamedTuple):
    """What a pass knows about those who could hold the rows of one netns.

    `hidden_here`: a process that lives in this netns could not be read, or processes are hidden as
    such; `hidden`: some process anywhere. `in_flight` counts descriptors in transit over unix
    sockets. `unsettled`, `tunnels` and `rpc_flows` are those of the NetnsReading.
    """

    hidden_here: bool = False
    hidden: bool = False
    in_flight: int = 0
    unsettled: Set[SocketInode] = frozenset()
    tunnels: Collection[TunnelEnd] = ()
    rpc_flows: Collection[Flow] = ()


def judge_ownerless(row: SocketRow, evidence: Evidence) -> VerdictKind:
    """The verdict on a row that nobody was seen to hold.

    A row without an inode tells by its state: the kernel gives every socket that a process can
    hold an inode, so that nobody holds this one. That no process was seen to hold it never makes a row
    the kernel's: an io_uring keeps files also when its own fd is closed, and shows them to nobody.
    """
    if _is_kernels(row, evidence):
        return VerdictKind.KERNEL
    return _judge_by_evidence(row, evidence) if row.inode else _judge_by_state(row)


def _is_kernels(row: SocketRow, evidence: Evidence) -> bool:
    """Whether that is proven: its own end of a netlink protocol, the socket of a tunnel, or an RPC connection.

    While the kernel has the socket of a tunnel, bound to any address and device, and shares no port, no other
    one of the same netns, family and port can be; while it has a connection, none of the same ends.
    """
    if row.protocol is Protocol.NETLINK:
        return not row.local.port
    if row.uid != 0 or row.interface:
        return False
    if row.protocol is Protocol.TCP:
        return bool(row.inode) and (row.family, row.local, row.remote) in evidence.rpc_flows
    if row.protocol is not Protocol.UDP or row.options is None:
        return False
    anywhere = row.local.address in _ANY_ADDRESS and not row.remote.port and not row.options.multicast_loop
    return anywhere and (row.family, row.local.port) in evidence.tunnels


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
    if evidence.in_flight:
        return VerdictKind.IN_FLIGHT
    if evidence.hidden:
        return VerdictKind.HIDDEN
    if row.inode in evidence.unsettled:
        return VerdictKind.VANISHED
    return VerdictKind.UNKNOWN
