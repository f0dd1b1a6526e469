"""Through which listeners of its netns a row that no fd can hold may have come in. Pure.

A connection starts as a copy of its listener: where the row tells otherwise, that is not its listener,
even if it is the only one on the port.

Source: net/ipv4/inet_hashtables.c __inet_lookup_listener(), inet_connection_sock.c inet_csk_clone_lock().
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.model.facts import NetnsReading
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState
from nsagent.model.snapshot import Netns, OwnedSocket, VerdictKind
from nsagent.query.network import pack
from nsagent.scan.port_listeners import Common, PortListeners

_TIME_WAIT_MS: Final = 60_000
_TICK_MS: Final = 10
"""A tick of USER_HZ, in which the kernel tells when a process has started."""

_SERVERS: Final = frozenset((VerdictKind.ACCEPT_QUEUE, VerdictKind.SYN_RECV))
"""What is the server's end of a connection by its nature."""

_CLIENT_PORTS: Final = (32768, 60999)
"""Those that a kernel gives to clients unless it is told otherwise (Documentation/networking/ip-sysctl.rst)."""


class LocalEnds:
    """Which local ends of closed connections can only be a server's.

    Not those on a port that the netns gives to clients; where its ports are not known, on one that
    kernels give to them by default. Nor those on an address that is none of its own, which connections
    through a transparent proxy have; where its own are not known, none can.
    """

    def __init__(self, reading: NetnsReading | Netns) -> None:
        self._first, self._last = reading.client_ports or _CLIENT_PORTS
        self._own: dict[tuple[int, int], set[int]] = defaultdict(set)
        """The leading bits of addresses, by how long an address is and how many bits it has behind them."""
        for text in reading.own_addresses or ():
            address, _, length = text.partition("/")
            packed = pack(address)
            try:
                shift = len(packed) * 8 - parse_decimal(length, 8)
                self._own[len(packed), shift].add(int.from_bytes(packed, "big") >> shift)
            except ValueError:
                continue  # In a capture that was damaged.

    def is_server(self, local: Endpoint) -> bool:
        """Whether this is one of them."""
        packed = pack(local.address)
        number = int.from_bytes(packed, "big")
        return not self._first <= local.port <= self._last and any(
            len(packed) == size and number >> shift in own for (size, shift), own in self._own.items()
        )


class Listeners:
    """The TCP listeners of one netns, by port.

    `tells_uid`: rows that no fd can hold have the uid of whoever made the socket, as from Linux 6.17 on
    (before, net/core/sock.c sock_i_uid() gives 0 for each). `read_at_ticks` is that of the netns.
    """

    def __init__(
        self, sockets: Iterable[OwnedSocket], ends: LocalEnds, *, tells_uid: bool, read_at_ticks: int | None = None
    ) -> None:
        self._read_at_ticks = read_at_ticks
        self._ends = ends
        self._tells_uid = tells_uid
        self._by_port: defaultdict[tuple[int, bool], PortListeners] = defaultdict(PortListeners)
        """By port, and whether they are IPv6 sockets."""
        for socket in [one for one in sockets if one.row.state is SocketState.LISTEN]:  # Of 10^4 to 10^6: 0.1 us each.
            row = socket.row
            if row.protocol is Protocol.TCP:
                self._by_port[row.local.port, _is_ipv6(row)].add(socket)

    def find(self, row: SocketRow, kind: VerdictKind) -> list[OwnedSocket]:
        """Those that a row with this verdict may have come in by; several share a port by SO_REUSEPORT.

        None where it may be a client's, nor one whose first holder has started since the row was closed.
        A listener on the very address takes precedence over one on any, and then one on the very device.
        """
        on_port = self._find_on_port(row, kind)
        return [] if on_port is None else on_port.find(row, self._read_uid(row), date_close(row, self._read_at_ticks))

    def find_common(self, row: SocketRow, kind: VerdictKind) -> Common | None:
        """What those have in common; None where there are none. However many there are, it costs no more."""
        on_port = self._find_on_port(row, kind)
        if on_port is None:
            return None
        return on_port.find_common(row, self._read_uid(row), date_close(row, self._read_at_ticks))

    def _find_on_port(self, row: SocketRow, kind: VerdictKind) -> PortListeners | None:
        """Those of the row's port; None without any, and where the row may be a client's."""
        on_port = self._by_port.get((row.local.port, _is_ipv6(row)))
        return on_port if on_port and (kind in _SERVERS or self._ends.is_server(row.local)) else None

    def _read_uid(self, row: SocketRow) -> int | None:
        """The uid of whoever made the row's socket, as far as it tells."""
        return row.uid if self._tells_uid or row.uid else None


def date_close(row: SocketRow, read_at_ticks: int | None) -> int | None:
    """The tick since boot by which the socket of a row in TIME_WAIT was closed at the latest; None where none tells.

    The timer of that state starts at a minute, whatever net.ipv4.tcp_fin_timeout is, and again when the other
    end sends again. Source: net/ipv4/tcp_minisocks.c tcp_time_wait(), include/net/tcp.h TCP_TIMEWAIT_LEN.
    """
    if read_at_ticks is None or row.state is not SocketState.TIME_WAIT or row.timer is None:
        return None
    return read_at_ticks - max(0, _TIME_WAIT_MS - row.timer.expires_ms) // _TICK_MS


def _is_ipv6(row: SocketRow) -> bool:
    """Whether the row is one of an IPv6 socket, whatever address it shows."""
    return row.mapped or row.family is Family.IPV6
