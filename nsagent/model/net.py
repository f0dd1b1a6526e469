"""Sockets as the kernel's tables show them.

Source: include/net/tcp_states.h, include/uapi/linux/inet_diag.h, packet_diag.h, netlink_diag.h,
vm_sockets_diag.h, net/ipv4/tcp_ipv4.c.
"""

from enum import StrEnum
from typing import Literal, NamedTuple

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

    Times are in microseconds. `congestion_window` is in segments of `mss` bytes. `bytes_*` count
    from the start of the connection; `retransmits` are those of the unacknowledged segment now,
    `total_retransmits` all segments ever sent again. None where this kernel's struct is too short.
    """

    rtt_us: int
    rtt_variation_us: int
    min_rtt_us: int | None
    retransmits: int
    total_retransmits: int
    lost: int
    congestion_window: int
    mss: int
    bytes_sent: int | None
    bytes_acked: int | None
    bytes_received: int | None
    bytes_retransmitted: int | None
    delivery_rate_bytes_per_second: int | None


class SocketRow(NamedTuple):
    """One row of a socket table: a tuple, because a node has 10^4 to 10^6 of them.

    `mapped`: an IPv6 socket with IPv4 addresses. `interface` is the ifindex it is bound to, 0 for
    none, None where the table does not say (/proc). `inode` is 0 where no fd can hold the row.
    `cookie` and `cgroup_id` are None where the table does not say; `uid` is None for the kernel's
    mini-sockets (TIME_WAIT, SYN_RECV, the late FIN_WAIT2), which have none. `rx_queue` and
    `tx_queue` are bytes; on a listener they are the accept queue in connections: waiting, and the
    limit (None from /proc, which always prints 0). Either is None where the table does not tell.
    `v6only` is None unless the kernel says.
    `mptcp` is None where the MPTCP table was not looked at, and for what is not TCP. `tcp_info` is
    None unless it was asked for, and for what is no connection.
    """

    protocol: Protocol
    family: Family
    mapped: bool
    state: SocketState
    local: Endpoint
    remote: Endpoint
    interface: int | None
    inode: SocketInode
    cookie: SocketCookie | None
    uid: int | None
    rx_queue: int | None
    tx_queue: int | None
    cgroup_id: int | None
    v6only: bool | None
    mptcp: bool | None = None
    tcp_info: TcpInfo | None = None
