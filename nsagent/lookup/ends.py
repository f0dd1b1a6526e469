"""Both ends of a connection in one sight of the host, with the processes that hold them. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from nsagent.errors import UsageError
from nsagent.lookup.monitored import Aliases, Program
from nsagent.lookup.records import End, Holder
from nsagent.lookup.sight import Running, Sight
from nsagent.model.container import Container
from nsagent.model.ids import ContainerId
from nsagent.model.net import Protocol
from nsagent.model.process import Process, ProcessKey
from nsagent.model.snapshot import OwnedSocket, Owner, VerdictKind
from nsagent.query.endpoint import AskedEnd, make_end
from nsagent.query.filter import MAX_PORT
from nsagent.query.own_addresses import is_group
from nsagent.query.receivers import ANY_ADDRESSES
from nsagent.query.socket_index import SocketIndex
from nsagent.scan.listeners import Listeners, LocalEnds

Address = tuple[str, int] | tuple[str, int, int, int]
"""The text of an IPv4 or IPv6 address, without brackets, and a port; what the `socket` module has of an IPv6 one goes
on with its flow and the index of its interface, 0 for none."""

_PROTOCOLS: Final = {"tcp": Protocol.TCP, "udp": Protocol.UDP}

_IPV6_REST: Final = 2
"""So much stands behind the port of an IPv6 address: flow and scope."""

_TO_BE_ACCEPTED: Final = frozenset((VerdictKind.ACCEPT_QUEUE, VerdictKind.SYN_RECV))


class Tuple(NamedTuple):
    """A connection that is asked about."""

    protocol: Protocol
    source: AskedEnd
    destination: AskedEnd


def make_tuple(protocol: str, source: Address, destination: Address) -> Tuple:
    """The connection of these ends; raises UsageError for a protocol, an address or a port that there is not."""
    if protocol not in _PROTOCOLS:
        raise UsageError(f"expected tcp or udp, got {protocol!r}")
    return Tuple(_PROTOCOLS[protocol], _make_end(source), _make_end(destination))


def _make_end(address: Address) -> AskedEnd:
    text, port, *rest = address
    if not 0 <= port <= MAX_PORT:
        raise UsageError(f"expected a port from 0 to {MAX_PORT}, got {port}")
    end = make_end(text, port)
    scope = rest[1] if len(rest) == _IPV6_REST else 0
    return end._replace(interface=str(scope)) if scope and end.interface is None else end


class Ends:
    """What holds the ends of connections, as one sight shows it. For several threads."""

    def __init__(self, sight: Sight, aliases: Aliases) -> None:
        self._index = SocketIndex(sight.snapshot, flows=True)
        self._running = sight.running
        self._aliases = aliases
        snapshot = sight.snapshot
        self._containers: dict[ContainerId, Container] = {
            one.id: one for one in (*snapshot.containers, *snapshot.folded)
        }
        self._netns = {one.number: one for one in snapshot.netns}
        self._holders: dict[ProcessKey, Holder] = {}
        self._listeners: dict[tuple[int, Protocol, int], Listeners] = {}
        """By netns, protocol and port."""

    def find(self, asked: Tuple) -> tuple[End | None, End | None]:
        """Both ends, None of an address that is none of this host's; one that nobody holds has no holders."""
        protocol, source, destination = asked
        return self._find_end(protocol, source, destination), self._find_end(protocol, destination, source)

    def _find_end(self, protocol: Protocol, end: AskedEnd, other: AskedEnd) -> End | None:
        held = self._index.hold(protocol, end, other)
        address, other_address = end.address or "", other.address or ""
        reached = self._index.reach.find(address, other_address)
        sockets = held.connected
        if sockets:
            sockets = tuple(one for one in sockets if self._index.reach.may_hold(one.netns, address, other_address))
        elif address in ANY_ADDRESSES or is_group(address):
            sockets = held.waiting
        else:
            sockets = tuple(one for one in held.waiting if one.netns in reached)
        if not sockets:
            return End((), None, tuple(sorted(reached)), ()) if reached else None
        if len(sockets) == 1:
            socket = sockets[0]
            owners = socket.owners or self._list_listening(socket)
            holders = tuple([self._find_holder(owner.process) for owner in owners])
            return End(holders, self._find_container(socket.container_id), (socket.netns,), sockets)
        owners = [owner for socket in sockets for owner in socket.owners or self._list_listening(socket)]
        processes = {owner.process.key: owner.process for owner in owners}
        ordered = sorted(processes.values(), key=lambda one: (one.start_ticks, one.pid))
        netns = tuple(sorted({socket.netns for socket in sockets}))
        return End(tuple(map(self._find_holder, ordered)), self._find_first_container(sockets), netns, sockets)

    def _list_listening(self, socket: OwnedSocket) -> Sequence[Owner]:
        """The owners of the listeners to which a connection is charged that nobody has accepted yet.

        Not of whichever gets what comes for that end: it may have come in by another device.
        """
        verdict = socket.verdict
        if verdict is None or verdict.charged_to is None or verdict.kind not in _TO_BE_ACCEPTED:
            return ()
        pid, container_id = verdict.charged_to
        listeners = self._find_listeners(socket.netns, socket.row.protocol, socket.row.local.port)
        owners = [owner for one in listeners.find(socket.row, verdict.kind) for owner in one.owners]
        if pid is not None:
            return [owner for owner in owners if owner.process.pid == pid]
        return [owner for owner in owners if container_id in (None, owner.process.container_id)]

    def _find_listeners(self, netns: int, protocol: Protocol, port: int) -> Listeners:
        key = (netns, protocol, port)
        listeners = self._listeners.get(key)
        if listeners is None:
            waiting = self._index.hold(protocol, AskedEnd(None, port), netns=frozenset((netns,))).waiting
            listeners = Listeners(waiting, LocalEnds(self._netns[netns]), tells_uid=False)
            self._listeners[key] = listeners
        return listeners

    def _find_holder(self, process: Process) -> Holder:
        key = process.key
        known = self._holders.get(key)
        if known is None:
            known = self._holders[key] = self._make_holder(process, self._running[key])
        return known

    def _make_holder(self, process: Process, running: Running) -> Holder:
        line = running.command_line
        argv = None if line is None else line.argv
        return Holder(
            pid=process.pid,
            start_ticks=process.start_ticks,
            started_at=running.started_at,
            ppid=running.ppid,
            name=process.comm,
            exe=running.exe,
            cwd=running.cwd,
            argv=argv,
            argv_cut=line is not None and line.cut,
            container=self._find_container(process.container_id),
            aliases=self._aliases.find(Program(running.exe, argv)),
        )

    def _find_container(self, id_: ContainerId | None) -> Container | None:
        return None if id_ is None else self._containers.get(id_)

    def _find_first_container(self, sockets: Iterable[OwnedSocket]) -> Container | None:
        ids = (socket.container_id for socket in sockets)
        return next((self._containers[id_] for id_ in ids if id_ in self._containers), None)
