"""What sock_diag tells of a TCP or UDP socket that dies: a row as in a dump, with less in it.

It has no inode, no cgroup id and no options; after a reset no remote port, and of IPv6 no local address. A kernel
sends one message in a datagram.

Source: net/core/sock_diag.c sock_diag_broadcast_destroy_work(), net/ipv4/tcp_diag.c, udp_diag.c,
inet_diag.c inet_diag_handler_get_info().
"""

import struct
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.inet_diag import decode_table
from nsagent.kernel.formats.inet_diag_parts import ROW_BYTES
from nsagent.kernel.formats.inet_diag_request import SOCK_DIAG_BY_FAMILY
from nsagent.kernel.formats.small_table import ORDER_SIGNS, decode_attributes
from nsagent.kernel.formats.tcp_info import decode_tcp_info
from nsagent.model.net import ByteOrder, Protocol, SocketRow, SocketState, TcpInfo

SKNLGRP_INET_TCP_DESTROY: Final = 1
SKNLGRP_INET6_UDP_DESTROY: Final = 4
"""The first and the last of the groups: TCP and UDP of IPv4, then of IPv6, mapped addresses included."""

_INET_DIAG_INFO: Final = 2
_INET_DIAG_PROTOCOL: Final = 10
_PROTOCOLS: Final = {b"\x06": Protocol.TCP, b"\x11": Protocol.UDP}


class Destroyed(NamedTuple):
    """A socket that is no more."""

    row: SocketRow
    """Its uid is None, its inode 0. A TCP socket says CLOSE, whatever it was; a UDP socket what it was."""
    tcp_info: TcpInfo | None
    """What TCP had counted. `bytes_acked` may count a SYN and a FIN, `bytes_received` a FIN: one each."""


def decode_destroyed(messages: Sequence[bytes], byteorder: ByteOrder) -> list[Destroyed | FormatError]:
    """What each of these messages tells, in their order.

    Takes 10 us a message where many come at once, 150 us for one alone.
    """
    told: list[Destroyed | FormatError | None] = [None] * len(messages)
    infos: dict[int, TcpInfo | None] = {}
    alike: defaultdict[Protocol, list[int]] = defaultdict(list)
    for place, message in enumerate(messages):
        try:
            protocol, infos[place] = _decode_attributes(message, byteorder)
            alike[protocol].append(place)
        except FormatError as err:
            told[place] = err
    for protocol, places in alike.items():
        for place, row in zip(
            places, _decode_rows([messages[each] for each in places], protocol, byteorder), strict=True
        ):
            told[place] = row if isinstance(row, FormatError) else Destroyed(row, infos[place])
    return [each for each in told if each is not None]


def _decode_attributes(message: bytes, byteorder: ByteOrder) -> tuple[Protocol, TcpInfo | None]:
    """Of which protocol it is, and what TCP had counted; raises FormatError for what is no such message."""
    if len(message) < ROW_BYTES:
        raise FormatError("an inet_diag message", message)
    length, type_ = struct.unpack_from(ORDER_SIGNS[byteorder] + "IH", message)
    if length != len(message) or length % 4 or type_ != SOCK_DIAG_BY_FAMILY:
        raise FormatError("one inet_diag message", message)
    attributes = decode_attributes(message, ROW_BYTES, byteorder)
    protocol = _PROTOCOLS.get(attributes.get(_INET_DIAG_PROTOCOL, b""))
    if protocol is None:
        raise FormatError("the protocol of a socket", message)
    info = attributes.get(_INET_DIAG_INFO)
    return protocol, None if info is None or protocol is not Protocol.TCP else decode_tcp_info(info, byteorder)


def _decode_rows(messages: Sequence[bytes], protocol: Protocol, byteorder: ByteOrder) -> list[SocketRow | FormatError]:
    """A row, or an error, for each; all of them as one table, unless there is something wrong with it."""
    rows, errors = decode_table(b"".join(messages), protocol, byteorder)
    if errors or len(rows) != len(messages):
        if len(messages) > 1:
            return [_decode_rows([each], protocol, byteorder)[0] for each in messages]
        return [errors[0] if errors else FormatError("one inet_diag row", messages[0])]
    return [_leave_unknown(row) for row in rows]


def _leave_unknown(row: SocketRow) -> SocketRow:
    """Without what the kernel tells of no socket that dies, as uids, or what has lost its meaning by then."""
    state = SocketState.CLOSE if row.state is SocketState.BOUND_INACTIVE else row.state
    return row._replace(state=state, uid=None, rx_queue=None, tx_queue=None, timer=None)
