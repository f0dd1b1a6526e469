"""Sockets as the kernel's tables show them.

Source: include/net/tcp_states.h, include/uapi/linux/inet_diag.h, net/ipv4/tcp_ipv4.c.
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


class Protocol(StrEnum):
    """An MPTCP socket is `tcp`, marked."""

    TCP = "tcp"
    UDP = "udp"


class SocketState(StrEnum):
    """The kernel's TCP state in lower snake; a UDP socket is `established` when connected, else `close`."""

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
    """

    address: str
    port: int
    raw_address: str | None = None


class InetRow(NamedTuple):
    """One row of a TCP or UDP table: a tuple, because a node has 10^4 to 10^6 of them.

    `mapped`: an IPv6 socket with IPv4 addresses. `interface` is the ifindex it is bound to, 0 for
    none, None where the table does not say (/proc). `inode` is 0 where no fd can hold the row.
    `cookie` and `cgroup_id` are None where the table does not say; `uid` is None for the kernel's
    mini-sockets (TIME_WAIT, SYN_RECV, the late FIN_WAIT2), which have none. `rx_queue` and
    `tx_queue` are bytes; on a listener they are the accept queue in connections: waiting, and the
    limit (None from /proc, which always prints 0). `v6only` is None unless the kernel says.
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
    rx_queue: int
    tx_queue: int | None
    cgroup_id: int | None
    v6only: bool | None
