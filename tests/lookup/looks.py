"""Looks at hosts that are made by hand, one after the other, and a clock that stands."""

import threading
from collections.abc import Iterable, Sequence

from nsagent.errors import NsagentError
from nsagent.lookup.sight import Running, Sight
from nsagent.model.container import Container
from nsagent.model.net import Endpoint, Family, Protocol, SocketState
from nsagent.model.process import CommandLine, Process
from nsagent.model.snapshot import Netns, OwnedSocket
from tests.scan.snapshots import ANY, HOST, make_netns, snapshot, socket

HERE, PEER = "10.0.0.1", "10.9.9.9"
LOOPBACK = ("127.0.0.0/8", "127.0.0.1/32", "::1/128")


class Clock:
    """Stands until it is set."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class MadeLooks:
    """Each look shows the next of these, the last of them again and again; `started` tells when by the clock."""

    def __init__(self, *sights: Sight | NsagentError, clock: Clock | None = None) -> None:
        self._sights = list(sights)
        self._clock = clock or Clock()
        self.started: list[float] = []
        self.closed = 0
        self.may_look = threading.Event()
        self.may_look.set()
        self.is_looking = threading.Event()

    def look(self, stop: threading.Event) -> Sight:
        self.started.append(self._clock())
        self.is_looking.set()
        assert self.may_look.wait(60)
        sight = self._sights.pop(0) if len(self._sights) > 1 else self._sights[0]
        if isinstance(sight, NsagentError):
            raise sight
        return sight

    def close(self) -> None:
        self.closed += 1


def own(number: int, *addresses: str) -> Netns:
    """A netns with these addresses, and loopback."""
    return make_netns(number)._replace(own_addresses=(*LOOPBACK, *addresses))


def row(
    local: Endpoint,
    remote: Endpoint = ANY,
    *holders: Process,
    protocol: Protocol = Protocol.TCP,
    netns: int = HOST,
    v6only: bool | None = None,
) -> OwnedSocket:
    """A connection, or, without a remote, what waits."""
    waits = SocketState.LISTEN if protocol is Protocol.TCP else SocketState.CLOSE
    state = waits if remote is ANY else SocketState.ESTABLISHED
    made = socket(state, local, remote, *holders, protocol=protocol, netns=netns)
    family = Family.IPV6 if ":" in local.address else Family.IPV4
    return made._replace(row=made.row._replace(family=family, v6only=v6only))


def see(
    *sockets: OwnedSocket,
    netns: Sequence[Netns] | None = None,
    argv: Sequence[str] = ("/usr/sbin/httpd", "-D", "FOREGROUND"),
    containers: Iterable[Container] = (),
) -> Sight:
    """A sight of these sockets, in which every owner runs the same."""
    running = Running(1767323045.0, ppid=None, exe="/usr/sbin/httpd", cwd="/", command_line=CommandLine(tuple(argv)))
    keys = {owner.process.key for one in sockets for owner in one.owners}
    given = snapshot(*sockets, netns=netns or (own(HOST, f"{HERE}/32"),), containers=tuple(containers))
    return Sight(given, dict.fromkeys(keys, running))
