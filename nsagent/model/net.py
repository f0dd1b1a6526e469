"""Sockets as the kernel's tables show them.

Source: include/net/tcp_states.h, include/uapi/linux/inet_diag.h, packet_diag.h, netlink_diag.h,
vm_sockets_diag.h, net/ipv4/tcp_ipv4.c.
"""

from enum import StrEnum
from typing import Final, Literal, NamedTuple

from nsagent.model.ids import SocketCookie, SocketInode

ByteOrder = Literal["little", "big"]
"""Of the machine whose kernel wrote a table: it is part of the table's format."""


class Family(StrEnum):
    """The family of the address shown: an IPv4 address of an IPv6 socket is `ipv4`, `mapped`."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    PACKET = "packet"
    NETLINK = "netlink"
    VSOCK = "vsock"


class Protocol(StrEnum):
    """Which table a row stands in. An MPTCP socket is `tcp`, marked; ping sockets are `icmp`."""

    TCP = "tcp"
    UDP = "udp"
    UDPLITE = "udplite"
    RAW = "raw"
    ICMP = "icmp"
    SCTP = "sctp"
    PACKET = "packet"
    NETLINK = "netlink"
    VSOCK = "vsock"


class SocketState(StrEnum):
    """The kernel's TCP state in lower snake; without TCP's states a connected socket is `established`, else `close`.

    An SCTP association in shutdown is shown as the TCP state nearest to its own.
    """

    ESTABLISHED = "established"
    SYN_SENT = "syn_sent"
    SYN_RECV = "syn_recv"
    FIN_WAIT1 = "fin_wait1"
    FIN_WAIT2 = "fin_wait2"
    TIME_WAIT = "time_wait"
    CLOSE = "close"
    CLOSE_WAIT = "close_wait"
    LAST_ACK = "last_ack"
    LISTEN = "listen"
    CLOSING = "closing"
    BOUND_INACTIVE = "bound_inactive"


class Endpoint(NamedTuple):
    """Address and port as the socket sees them.

    `address` is in the usual text form without a scope; `port` is in host order, 0 for any.
    `raw_address` is the IPv6 text of an address that is shown as IPv4, else None.

    Elsewhere the two are: raw, an address and the IP protocol's number; icmp, an address and the
    echo identifier; packet, the EtherType as four hex digits (`0003` takes all) and 0; netlink, the
    name of its netlink protocol (`route`) and the port id, 0 for the kernel; vsock, the context id
    (`*` for any) and the port.
    """

    address: str
    port: int
    raw_address: str | None = None


class TcpInfo(NamedTuple):
    """What the kernel knows about a TCP connection (struct tcp_info of include/uapi/linux/tcp.h).

    None where this kernel's struct is too short. What is in bytes counts from the start of the connection.
    """

    rtt_us: int
    rtt_variation_us: int
    min_rtt_us: int | None
    retransmits: int
    """Of the segment that is unacknowledged now."""
    total_retransmits: int
    """Segments that were ever sent again."""
    lost: int
    congestion_window: int
    """In segments of `mss` bytes."""
    mss: int
    bytes_sent: int | None
    bytes_acked: int | None
    bytes_received: int | None
    bytes_retransmitted: int | None
    delivery_rate_bytes_per_second: int | None


class TimerKind(StrEnum):
    """What a timer of TCP waits for, as `ss -o` calls it: to send again, to probe an idle or a full peer, to forget."""

    ON = "on"
    KEEPALIVE = "keepalive"
    TIMEWAIT = "timewait"
    PERSIST = "persist"


class Timer(NamedTuple):
    """The timer that runs on a TCP socket."""

    kind: TimerKind
    expires_ms: int
    retransmits: int
    """Segments sent again, or probes sent, without an answer so far."""


class SocketOptions(NamedTuple):
    """Options of a socket (struct inet_diag_sockopt); one that is accepted starts with its listener's."""

    transparent: bool
    freebind: bool
    multicast_loop: bool


class SocketRow(NamedTuple):
    """One row of a socket table: a tuple, because a node has 10^4 to 10^6 of them.

    None where the table does not tell.
    """

    protocol: Protocol
    family: Family
    mapped: bool
    """An IPv6 socket with IPv4 addresses."""
    state: SocketState
    local: Endpoint
    remote: Endpoint
    interface: int | None
    """The ifindex that it is bound to, 0 for none."""
    inode: SocketInode
    """0 where no fd can hold the row."""
    cookie: SocketCookie | None
    uid: int | None
    """None for the kernel's mini-sockets too (TIME_WAIT, SYN_RECV, the late FIN_WAIT2), which have none.

    Before Linux 6.17 the kernel gives 0 for every row that no fd can hold: a snapshot has None there.
    """
    rx_queue: int | None
    """Bytes; on a listener, connections that wait to be accepted."""
    tx_queue: int | None
    """Bytes; on a listener, the limit of those that may wait (/proc always prints 0: None)."""
    cgroup_id: int | None
    v6only: bool | None
    mptcp: bool | None = None
    """None where the MPTCP table was not looked at, and for what is not TCP."""
    tcp_info: TcpInfo | None = None
    """None unless it was asked for, and for what is no connection."""
    timer: Timer | None = None
    """None where none runs, and for what is not TCP."""
    options: SocketOptions | None = None
    """None for mini-sockets too, and before Linux 5.10."""


_NOBODY: Final = frozenset(("0.0.0.0", "::", "*"))
_THAT_LISTEN: Final = frozenset((Protocol.TCP, Protocol.SCTP, Protocol.VSOCK))
_LISTEN: Final = SocketState.LISTEN
_CLOSE: Final = SocketState.CLOSE


def is_unconnected(row: SocketRow) -> bool:
    """Whether it has no remote, in a protocol that knows no listening: it takes what comes from anyone."""
    return row.state is _CLOSE and row.protocol not in _THAT_LISTEN


def is_listening(row: SocketRow) -> bool:
    """What `ss -l` shows: what listens, and of protocols that know no listening what is not connected."""
    return row.state is _LISTEN or is_unconnected(row)


def has_remote(row: SocketRow) -> bool:
    """Whether it is an end of a connection, or takes what comes from one address only."""
    return row.remote.address not in _NOBODY
