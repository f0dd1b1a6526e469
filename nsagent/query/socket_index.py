"""The sockets of a snapshot by their ends: what holds an end, or one end of a connection. Pure.

What is connected comes before what waits, as in the kernel; what waits gets what comes for an address that is an own
one of its netns (query.receivers). A UDP socket that is connected waits for nobody else.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from nsagent.model.net import Protocol, SocketState, is_listening
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.query.endpoint import AskedEnd
from nsagent.query.own_addresses import OwnAddresses, is_group
from nsagent.query.reach import Reach
from nsagent.query.receivers import ANY_ADDRESSES, Receivers, fits, pick_receivers, takes_from

WITH_ENDS: Final = (Protocol.TCP, Protocol.UDP, Protocol.UDPLITE, Protocol.SCTP)
"""Those whose sockets have an address with a port at each end, in the order in which they are told."""

_CONNECTING: Final = frozenset((Protocol.TCP, Protocol.SCTP))

_Flow = tuple[Protocol, str, int, str, int]
"""A connection as one of its ends has it: protocol, local address and port, remote address and port."""


class Held(NamedTuple):
    """What holds one end for one protocol."""

    netns: tuple[int, ...]
    """Those of which the address is an own one, or may be, ascending; not told of a connection that was found."""
    connected: tuple[OwnedSocket, ...]
    waiting: tuple[OwnedSocket, ...] = ()
    """None where that very connection was found, and, of what has to connect, none where its other end was found: who
    holds this end is behind NAT, or gone."""
    shadowed: tuple[OwnedSocket, ...] = ()
    """Those that would wait for it if others did not."""
    unrouted: tuple[OwnedSocket, ...] = ()
    """Those bound to the address where it is no own one: by IP_FREEBIND, or before it was taken away. Nothing comes to
    them, but what a proxy or a route leads there."""


class _Port(NamedTuple):
    """The sockets with one local port."""

    waiting: dict[Protocol, list[OwnedSocket]]
    connected: dict[Protocol, list[OwnedSocket]]
    """What does not wait, in whatever state."""


_NO_SOCKETS: Final = _Port({}, {})


class SocketIndex:
    """All sockets of one snapshot that have such ends; several threads may ask it."""

    def __init__(self, snapshot: Snapshot, *, flows: bool = False) -> None:
        """Takes 0.2 us a row, with `flows` 1 us more; else connections are indexed when one is first asked for."""
        self.own = OwnAddresses(snapshot.netns)
        self.reach = Reach(snapshot.netns, self.own)
        self._sockets = snapshot.sockets
        self._flows: dict[_Flow, tuple[OwnedSocket, ...]] | None = None
        self._by_port: dict[int, list[OwnedSocket]] = {}
        by_port = self._by_port
        for socket in snapshot.sockets:
            port = socket.row.local.port
            if port in by_port:
                by_port[port].append(socket)
            else:
                by_port[port] = [socket]
        self._ports: dict[int, _Port] = {}
        if flows:
            self._index_flows()

    def hold(
        self, protocol: Protocol, end: AskedEnd, other: AskedEnd | None = None, netns: frozenset[int] | None = None
    ) -> Held:
        """What holds an end whose other end is this one, or, where that is None, any; in these netns, or in all.

        `other` has an address. A netns of which the own addresses are not known may have any.
        """
        address = end.address
        if other is not None:
            flows = self._index_flows() if self._flows is None else self._flows
            found = flows.get((protocol, address or "", end.port, other.address or "", other.port))
            if found and (connected := _narrow(found, end, netns)):
                return Held((), connected)
            if protocol in _CONNECTING:
                reverse = flows.get((protocol, other.address or "", other.port, address or "", end.port), ())
                if any(one.row.state is not SocketState.SYN_SENT for one in reverse):
                    return Held(self._list_places(end, netns), ())
        port = self._find_port(end.port)
        connected = ()
        if other is None:
            at_port = port.connected.get(protocol, ())
            connected = _narrow(at_port if address is None else _at(at_port, address), end, netns)
        places = self._list_places(end, netns)
        waiting = _narrow(port.waiting.get(protocol, ()), end, netns)
        if address is None:
            return Held(places, connected, waiting)
        if address in ANY_ADDRESSES:
            return Held(places, connected, _at(waiting, address))
        joined = self._list_joined(protocol, waiting, address)
        if is_group(address):
            return Held(places, connected, joined)
        single = [number for number in places if not self.own.is_for_all(address, number)]
        first, shadowed = _pick_in_each(single, waiting, address, end.interface)
        places = tuple(sorted({*places, *(one.netns for one in joined)}))
        unrouted = tuple(one for one in _at(waiting, address) if one.netns not in places)
        return Held(places, connected, (*first, *joined), shadowed, unrouted)

    def list_near(self, port: int, distance: int) -> list[OwnedSocket]:
        """What waits at ports that are at most so far from this one."""
        near = [each for each in self._by_port if abs(each - port) <= distance]
        return [one for each in near for waiting in self._find_port(each).waiting.values() for one in waiting]

    def _list_joined(self, protocol: Protocol, waiting: Sequence[OwnedSocket], address: str) -> tuple[OwnedSocket, ...]:
        """Those that get what is sent to all of a group, or of a network, each of them: what connects gets nothing."""
        if protocol in _CONNECTING:
            return ()
        return tuple(one for one in waiting if self.own.is_for_all(address, one.netns) and fits(one.row, address))

    def _list_places(self, end: AskedEnd, netns: frozenset[int] | None) -> tuple[int, ...]:
        if end.address is None or end.address in ANY_ADDRESSES:
            return ()
        places = self.own.find(end.address) | self.own.unknown
        return tuple(sorted(places if netns is None else places & netns))

    def _find_port(self, number: int) -> _Port:
        """The sockets with a local port, told apart; two threads that do so at once do the same."""
        known = self._ports.get(number)
        if known is not None:
            return known
        if number not in self._by_port:
            return _NO_SOCKETS
        waiting: defaultdict[Protocol, list[OwnedSocket]] = defaultdict(list)
        connected: defaultdict[Protocol, list[OwnedSocket]] = defaultdict(list)
        for socket in self._by_port[number]:
            row = socket.row
            if row.protocol not in WITH_ENDS:
                continue
            (waiting if is_listening(row) else connected)[row.protocol].append(socket)
        port = self._ports[number] = _Port(dict(waiting), dict(connected))
        return port

    def _index_flows(self) -> dict[_Flow, tuple[OwnedSocket, ...]]:
        """All connections, by both ends; two threads that do so at once do the same. Takes 1 us a row.

        However many have the same ends: with SO_REUSEPORT, anybody can make thousands of UDP sockets that do.
        """
        flows: dict[_Flow, tuple[OwnedSocket, ...]] = {}
        others: defaultdict[_Flow, list[OwnedSocket]] = defaultdict(list)
        for socket in self._sockets:
            row = socket.row
            if row.protocol in WITH_ENDS and not is_listening(row):
                local, remote = row.local, row.remote
                flow = row.protocol, local.address, local.port, remote.address, remote.port
                if flow in flows:
                    others[flow].append(socket)
                else:
                    flows[flow] = (socket,)
        for ends, sockets in others.items():
            flows[ends] += tuple(sockets)
        self._flows = flows
        return flows


def _narrow(sockets: Sequence[OwnedSocket], end: AskedEnd, netns: frozenset[int] | None) -> tuple[OwnedSocket, ...]:
    """Those in these netns, and not bound to another interface than that of the end."""
    if netns is None and end.interface is None:
        return tuple(sockets)  # The same one, if it is one.
    return tuple(
        one
        for one in sockets
        if (netns is None or one.netns in netns) and (end.interface is None or takes_from(one, end.interface))
    )


def _at(sockets: Iterable[OwnedSocket], address: str) -> tuple[OwnedSocket, ...]:
    return tuple(one for one in sockets if one.row.local.address == address)


def _pick_in_each(
    netns: Iterable[int], waiting: Sequence[OwnedSocket], address: str, interface: str | None
) -> Receivers:
    """Those that get what comes for the address, of each of these netns."""
    by_netns: dict[int, list[OwnedSocket]] = {}
    for one in waiting:
        by_netns.setdefault(one.netns, []).append(one)
    picked = [pick_receivers(by_netns[number], address, interface) for number in netns if number in by_netns]
    return Receivers(
        tuple(socket for each in picked for socket in each.first),
        tuple(socket for each in picked for socket in each.shadowed),
    )
