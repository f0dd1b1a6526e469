"""Whom a row without an owner is charged to. Pure.

A charge is an inference and says so: a listener takes the connections that come in on its port, a
cookie tells who held a socket before, a cgroup where it was made.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from nsagent.model.ids import Pid
from nsagent.model.net import Family, Protocol, SocketRow, SocketState
from nsagent.model.snapshot import Attribution, ChargedTo, Confidence, OwnedSocket, VerdictKind
from nsagent.scan.creators import Creators
from nsagent.scan.memory import Memory

_ANY: Final = ("0.0.0.0", "::")

_ORDER: Final = {
    VerdictKind.ACCEPT_QUEUE: (Attribution.LISTENER, Attribution.CGROUP),
    VerdictKind.SYN_RECV: (Attribution.LISTENER,),
    VerdictKind.TIME_WAIT: (Attribution.MEMORY, Attribution.LISTENER),
    VerdictKind.ORPHAN: (Attribution.MEMORY, Attribution.CGROUP, Attribution.LISTENER),
}
"""What is asked first, by verdict; the others have the cgroup alone."""

_CONFIDENCE: Final = {
    Attribution.CGROUP: Confidence.HIGH,
    Attribution.LISTENER: Confidence.INFERRED,
    Attribution.MEMORY: Confidence.INFERRED,
}


class Charge(NamedTuple):
    """Who answers for a row, and what says so; `attribution` names the container, so it is none without one."""

    charged_to: ChargedTo | None
    attribution: Attribution
    confidence: Confidence


NO_CHARGE: Final = Charge(None, Attribution.NONE, Confidence.NONE)


class Listeners:
    """The TCP listeners of one netns, by port."""

    def __init__(self, sockets: Iterable[OwnedSocket]) -> None:
        self._by_port: defaultdict[int, list[OwnedSocket]] = defaultdict(list)
        for socket in [one for one in sockets if one.row.state is SocketState.LISTEN]:  # Of 10^4 to 10^6: 0.1 us each.
            if socket.row.protocol is Protocol.TCP:
                self._by_port[socket.row.local.port].append(socket)

    def find(self, row: SocketRow) -> list[OwnedSocket]:
        """Those through which a connection with this row's local end came in; several share a port by SO_REUSEPORT.

        A socket has the address family of its listener, and one bound to the very address takes
        precedence over one bound to any. Where both tell, a connection that was not accepted yet has
        the listener's uid and cgroup.
        """
        alike = [one for one in self._by_port.get(row.local.port, ()) if _is_ipv6(one.row) == _is_ipv6(row)]
        exact = [one for one in alike if one.row.local.address == row.local.address]
        found = exact or [one for one in alike if one.row.local.address in _ANY]
        same = [one for one in found if (one.row.uid, one.row.cgroup_id) == (row.uid, row.cgroup_id)]
        return same if row.uid is not None and same else found


class Charger:
    """Charges rows of one netns. `start_ticks` are those of the processes that live now, by PID."""

    def __init__(
        self, listeners: Listeners, memory: Memory, creators: Creators, start_ticks: Mapping[Pid, Collection[int]]
    ) -> None:
        self._listeners = listeners
        self._memory = memory
        self._creators = creators
        self._start_ticks = start_ticks

    def charge(self, row: SocketRow, kind: VerdictKind) -> Charge:
        """The first of what may be asked for this verdict that knows an answer."""
        for attribution in _ORDER.get(kind, (Attribution.CGROUP,)):
            charged = self._ask(attribution, row)
            if charged is not None:
                if charged.container_id is None:
                    return Charge(charged, Attribution.NONE, Confidence.NONE)
                return Charge(charged, attribution, _CONFIDENCE[attribution])
        return NO_CHARGE

    def _ask(self, attribution: Attribution, row: SocketRow) -> ChargedTo | None:
        if attribution is Attribution.LISTENER:
            return self._ask_listeners(row)
        if attribution is Attribution.MEMORY:
            return self._ask_memory(row)
        container_id = self._creators.get(row.cgroup_id) if row.cgroup_id is not None else None
        return None if container_id is None else ChargedTo(None, container_id)

    def _ask_listeners(self, row: SocketRow) -> ChargedTo | None:
        """The listener's first owner; of several listeners no PID, and the container that all agree on."""
        found = self._listeners.find(row)
        containers = {one.container_id for one in found}
        container_id = containers.pop() if len(containers) == 1 else None
        owners = found[0].owners if len(found) == 1 else ()
        pid = owners[0].process.pid if owners else None
        return None if pid is None and container_id is None and len(found) < 2 else ChargedTo(pid, container_id)

    def _ask_memory(self, row: SocketRow) -> ChargedTo | None:
        """The holder of that pass; without its PID where that is another process's by now."""
        holder = self._memory.holders.get(row.cookie) if row.cookie is not None else None
        if holder is None:
            return None
        now = self._start_ticks.get(holder.pid)
        gone = now is not None and holder.start_ticks not in now
        return ChargedTo(None if gone else holder.pid, holder.container_id)


def _is_ipv6(row: SocketRow) -> bool:
    """Whether the row is one of an IPv6 socket, whatever address it shows."""
    return row.mapped or row.family is Family.IPV6
