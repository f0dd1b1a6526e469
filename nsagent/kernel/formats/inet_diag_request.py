"""NETLINK_SOCK_DIAG for inet sockets: what is asked. What comes back is kernel.formats.inet_diag's.

Source: sock_diag(7), include/uapi/linux/inet_diag.h, net/ipv4/inet_diag.c inet_diag_dump_compat().
"""

import struct
from socket import AF_INET, IPPROTO_RAW, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from typing import Final

from nsagent.kernel.formats.row_place import RowPlace
from nsagent.model.net import Protocol

TCPDIAG_GETSOCK: Final = 18
SOCK_DIAG_BY_FAMILY: Final = 20

ALL_STATES: Final = 0x1FFF
"""Every state of include/net/tcp_states.h but bound_inactive, which makes the kernel walk one more table."""
LISTEN_ONLY: Final = 1 << 10
BOUND_ONLY: Final = 1 << 13
"""Sockets that are bound, and neither listen nor are connected; their rows say CLOSE."""

NUMBERS: Final = {
    Protocol.TCP: IPPROTO_TCP,
    Protocol.UDP: IPPROTO_UDP,
    Protocol.UDPLITE: IPPROTO_UDPLITE,
    Protocol.RAW: IPPROTO_RAW,
    Protocol.SCTP: IPPROTO_SCTP,
}
"""The IPPROTO numbers by which tables are dumped; that of raw stands for raw sockets of every protocol."""
IPPROTO_MPTCP: Final = 262

WITH_INFO: Final = 1 << 1
"""The extension that adds struct tcp_info to each row: bit INET_DIAG_INFO - 1."""

WITH_SKMEMINFO: Final = 1 << 6
"""The extension that adds to each row what the memory of its socket is: bit INET_DIAG_SKMEMINFO - 1."""

_REQUEST_PROTOCOL = 3


def encode_dump_both(protocol: int, states: int = ALL_STATES, extensions: int = 0) -> bytes:
    """Payload of the TCPDIAG_GETSOCK that dumps IPv4 and IPv6 in one walk of the kernel's tables.

    The header's family is ignored there. Kernels before 5.9 do not know the protocol attribute
    and answer with TCP rows, before 5.7 with EINVAL.
    """
    request = struct.pack("=BBBB48xII", AF_INET, 0, 0, extensions, states, 0)
    if protocol != IPPROTO_TCP:
        request += struct.pack("=HHI", 8, _REQUEST_PROTOCOL, protocol)
    return request


def encode_dump_family(family: int, protocol: int, states: int = ALL_STATES, extensions: int = 0) -> bytes:
    """Payload of the SOCK_DIAG_BY_FAMILY that dumps one family: for kernels before 5.9, and for raw and SCTP.

    The same bytes are a struct inet_diag_req_raw, whose own protocol field a dump does not look at.
    """
    return struct.pack("=BBBBI48x", family, protocol, extensions, 0, states)


def encode_lookup(data: bytes, place: RowPlace, protocol: int) -> bytes:
    """Payload of the SOCK_DIAG_BY_FAMILY that asks for the very socket of a TCP row, by tuple and cookie.

    The kernel answers with the row, or ENOENT when the socket is gone. Not for listeners that
    share their port: it may find another of the group.
    """
    message = place.offset + 16
    return struct.pack("=BBBBI", data[message], protocol, 0, 0, ALL_STATES) + data[message + 4 : message + 52]
