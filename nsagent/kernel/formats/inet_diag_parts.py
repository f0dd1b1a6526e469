"""The parts of inet_diag rows that most rows have in common with others: each is decoded once for all of them.

Source: include/uapi/linux/inet_diag.h, net/ipv4/inet_diag.c inet_sk_diag_fill().
"""

import struct
from socket import AF_INET, AF_INET6
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.small_table import ORDER_SIGNS, decode_attributes
from nsagent.kernel.formats.socket_options import OptionsByByte
from nsagent.kernel.formats.socket_state import SCTP_ASSOCIATION_STATES, SOCKET_STATES, TIMERS, is_mini_socket
from nsagent.kernel.formats.tcp_info import decode_tcp_info
from nsagent.model.net import ByteOrder, Family, Protocol, SocketOptions, SocketState, TcpInfo, TimerKind

ROW_BYTES: Final = 16 + 72
"""A netlink header and struct inet_diag_msg: a row without its attributes."""

CGROUP_ID: Final = 21
"""INET_DIAG_CGROUP_ID."""

_INFO: Final = 2
_SKV6ONLY: Final = 11
_PEERS: Final = 13
_SOCKOPT: Final = 22


class Layouts(dict[int, struct.Struct]):
    """How messages are unpacked, by their length: the fields of InetDecoder.decode(), and what pads them."""

    def __init__(self, byteorder: ByteOrder) -> None:
        super().__init__()
        self._order = ORDER_SIGNS[byteorder]

    def __missing__(self, length: int) -> struct.Struct:
        layout = self[length] = struct.Struct(
            f"{self._order}I12x4sBBBB16s16sIIIIIIII{length - ROW_BYTES}s{-length % 4}x"
        )
        return layout


class Kind(NamedTuple):
    """What the first four bytes of a row say; `mini`: the zeros of a mini-socket mean nothing."""

    family: Family
    state: SocketState
    mini: bool
    timer: TimerKind | None


class Kinds(dict[bytes, Kind]):
    """Kinds by those four bytes: family, state, timer, retransmits; raises FormatError for what no kernel prints."""

    def __init__(self, *, association: bool = False, timers: bool = False) -> None:
        super().__init__()
        self._association = association
        self._timers = TIMERS if timers else {}

    def __missing__(self, head: bytes) -> Kind:
        family, number, timer, _ = head
        state = (SCTP_ASSOCIATION_STATES if self._association else SOCKET_STATES).get(number)
        if state is None or family not in (AF_INET, AF_INET6):
            raise FormatError("a known family and state", head)
        mini = not self._association and is_mini_socket(state, timer)
        shown = Family.IPV4 if family == AF_INET else Family.IPV6
        kind = self[head] = Kind(shown, state, mini, self._timers.get(timer))
        return kind


class Attributes(NamedTuple):
    """What the attributes of a row tell; None for what they do not.

    `association`: only the row of an SCTP association has its peer's addresses.
    """

    cgroup_id: int | None
    v6only: bool | None
    options: SocketOptions | None
    tcp_info: TcpInfo | None
    association: bool


class AttributesByBytes(dict[bytes, Attributes]):
    """Attributes of rows of one protocol by their bytes; raises FormatError for damaged ones.

    A struct tcp_info is like nobody else's: no such row is kept. The kernel puts it last, and what
    stands before it is looked up.
    """

    def __init__(self, protocol: Protocol, byteorder: ByteOrder) -> None:
        super().__init__()
        self._protocol = protocol
        self._byteorder = byteorder
        self._options = OptionsByByte(byteorder)
        self._info_header = b""
        """That of the last attribute with a struct tcp_info, as long as this kernel has it."""
        self._info_bytes = 0

    def __missing__(self, data: bytes) -> Attributes:
        place = len(data) - self._info_bytes
        if self._info_bytes and place >= 0 and place % 4 == 0 and data.startswith(self._info_header, place):
            rest = data[:place]
            try:
                cgroup_id, v6only, options, _, association = self.get(rest) or self._decode(rest)
            except FormatError:  # What looks like one is a part of another attribute.
                return self._decode(data)
            tcp_info = decode_tcp_info(data[place + 4 :], self._byteorder)
            return Attributes(cgroup_id, v6only, options, tcp_info, association)
        return self._decode(data)

    def _decode(self, data: bytes) -> Attributes:
        found = decode_attributes(data, 0, self._byteorder)
        cgroup_id, v6only, options = (found.get(each, b"") for each in (CGROUP_ID, _SKV6ONLY, _SOCKOPT))
        protocol = self._protocol
        attributes = Attributes(
            cgroup_id=int.from_bytes(cgroup_id, self._byteorder) if len(cgroup_id) == 8 else None,
            # Raw sockets have no port that both families could share: the option is there, and does nothing.
            v6only=bool(v6only[0]) if len(v6only) == 1 and protocol is not Protocol.RAW else None,
            options=self._options[options[0]] if len(options) == 2 else None,
            tcp_info=decode_tcp_info(found.get(_INFO, b""), self._byteorder) if protocol is Protocol.TCP else None,
            association=_PEERS in found and protocol is Protocol.SCTP,
        )
        if attributes.tcp_info is None:
            self[data] = attributes
        else:
            self._info_bytes = 4 + len(found[_INFO])
            self._info_header = struct.pack(f"{ORDER_SIGNS[self._byteorder]}HH", self._info_bytes, _INFO)
        return attributes
