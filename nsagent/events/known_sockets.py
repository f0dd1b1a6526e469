"""Whose a socket was that has died: what the last two snapshots know of it, and what they know of its netns. Pure.

Two of them, for a socket may die while the second is taken, and be told of later.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from typing import Final, NamedTuple

from nsagent.model.ids import ContainerId, Pid, SocketCookie
from nsagent.model.net import SocketRow, SocketState
from nsagent.model.process import Process
from nsagent.model.snapshot import Attribution, Confidence, OwnedSocket, Owner, Snapshot, VerdictKind
from nsagent.model.socket_event import OwnerSource
from nsagent.scan.charge import Charger
from nsagent.scan.listeners import Listeners, LocalEnds
from nsagent.scan.memory import Memory
from nsagent.scan.residents import Doubts, Household, doubt_snapshot, find_household
from nsagent.scan.telling import Telling

MOST_SOCKETS: Final = 1 << 18
"""Of one snapshot that are known by their cookies; 150 bytes each."""


ListLodgers = Callable[[int, int | None], frozenset[ContainerId | None]]
"""The containers, None for the host, of all who live in a netns or did lately, by its number and its cookie."""


def list_nobody(_number: int, _cookie: int | None) -> frozenset[ContainerId | None]:
    """Where nobody hears of processes between passes."""
    return frozenset()


class Known(NamedTuple):
    """A socket as the last snapshot has it that shows who holds it."""

    socket: OwnedSocket
    telling: Telling
    since: float
    """When a pass saw it first, by the clock of whoever learns."""

    def tell(self) -> "Owned":
        """Whose it is."""
        return Owned(self.socket, _name_source(self.socket), self.telling)


class Owned(NamedTuple):
    """A socket that has died, whose it was and how that is known."""

    socket: OwnedSocket
    source: OwnerSource
    telling: Telling


class Seen:
    """One snapshot, by its netns."""

    def __init__(self, snapshot: Snapshot, list_lodgers: ListLodgers) -> None:
        self.telling = Telling(snapshot)
        self._list_lodgers = list_lodgers
        self._sockets: defaultdict[int, list[OwnedSocket]] = defaultdict(list)
        self._snapshot = snapshot
        for socket in snapshot.sockets:
            self._sockets[socket.netns].append(socket)
        self._answering: dict[int, _Answering] = {}

    def charge(self, number: int, row: SocketRow) -> Owned:
        """Who answers for a socket of this netns that the snapshot does not have."""
        charge = self._make_charger(number).charge(row, VerdictKind.TIME_WAIT)
        charged_to = charge.charged_to
        process = self._processes.get(charged_to.pid) if charged_to and charged_to.pid is not None else None
        socket = OwnedSocket(
            netns=number,
            row=row,
            interface=None,
            owners=() if process is None else (Owner(process, ()),),
            container_id=charged_to.container_id if charged_to else None,
            attribution=charge.attribution,
            confidence=charge.confidence,
            flags=(),
            verdict=None,
            pod=charge.pod,
        )
        by_listener = process is not None or charge.attribution is Attribution.LISTENER
        return Owned(socket, OwnerSource.LISTENER if by_listener else _name_source(socket), self.telling)

    @cached_property
    def _processes(self) -> dict[Pid, Process]:
        return {process.pid: process for process in self._snapshot.processes}

    @cached_property
    def _residents(self) -> dict[int | None, list[Process]]:
        residents: defaultdict[int | None, list[Process]] = defaultdict(list)
        for process in self._snapshot.processes:
            residents[process.netns].append(process)
        return residents

    @cached_property
    def _doubts(self) -> Doubts:
        return doubt_snapshot(self._snapshot)

    def _make_charger(self, number: int) -> Charger:
        """What charges what is told now: who has come since, or has left lately, may have made it, too."""
        answering = self._answering.get(number)
        if answering is None:
            answering = self._answering[number] = self._find_answering(number)
        listeners, household, cookie = answering
        if household is not None and not self._list_lodgers(number, cookie) <= household.members:
            household = None
        return Charger(listeners, household, Memory(), {}, {})

    def _find_answering(self, number: int) -> "_Answering":
        netns = self.telling.netns.get(number)
        if netns is None or netns.engine is None:
            return _Answering(None, None, None)
        sockets = self._sockets.get(number, [])
        household = None
        if not self._doubts.has(number):
            household = find_household(self._residents.get(number, ()), sockets, self.telling.containers)
        return _Answering(Listeners(sockets, LocalEnds(netns), tells_uid=True), household, netns.cookie)


class _Answering(NamedTuple):
    """Who may answer for a socket of a netns, as a snapshot shows it."""

    listeners: Listeners | None
    household: Household | None
    cookie: int | None
    """Of the netns."""


class KnownSockets:
    """The sockets of the last two snapshots, by their cookies; for one thread at a time."""

    def __init__(self, most: int = MOST_SOCKETS, list_lodgers: ListLodgers = list_nobody) -> None:
        self._most, self._list_lodgers = most, list_lodgers
        self._now: dict[SocketCookie, Known] = {}
        self._before: dict[SocketCookie, Known] = {}
        self.left_out = 0
        """How many of the last snapshot are not known by their cookies: there are more than `most`."""

    def learn(self, snapshot: Snapshot, now: float) -> Seen:
        """Know these, and still those of the snapshot before, and who held what nobody holds now.

        Takes 1 us a socket.
        """
        seen, earlier = Seen(snapshot, self._list_lodgers), self._now
        known: dict[SocketCookie, Known] = {}
        self.left_out = 0
        for socket in snapshot.sockets:
            row = socket.row
            cookie = row.cookie
            if cookie is None:
                continue
            was, mini = earlier.get(cookie), _is_mini(row)
            if was is None and mini:
                continue
            if len(known) == self._most:
                self.left_out += 1
            elif was is not None and (mini or (was.socket.owners and not socket.owners)):
                known[cookie] = _renew(was, seen.telling)
            else:
                known[cookie] = Known(socket, seen.telling, now if was is None else was.since)
        self._now, self._before = known, earlier
        return seen

    def take(self, cookie: SocketCookie | None) -> Known | None:
        """The socket as the snapshots show it, None if they do not; it is known no longer."""
        if cookie is None:
            return None
        now, before = self._now.pop(cookie, None), self._before.pop(cookie, None)
        return now or before


def _renew(known: Known, telling: Telling) -> Known:
    """What is known of a socket with what the last snapshot names, unless that has no such container any more.

    Else all netns and containers of a snapshot would be kept as long as something of its time is still closing.
    """
    id_, containers = known.socket.container_id, telling.containers
    is_named = known.socket.netns in telling.netns and (id_ is None or id_ in containers)
    return Known(known.socket, telling, known.since) if is_named else known


def _is_mini(row: SocketRow) -> bool:
    """Whether it is what the kernel has before a socket, or keeps of one that has died."""
    state = row.state
    if state is SocketState.FIN_WAIT2:
        return not row.inode
    return state is SocketState.TIME_WAIT or state is SocketState.SYN_RECV


def own_nobody(row: SocketRow, number: int, telling: Telling | None) -> Owned:
    """A socket of which nobody is named; without `telling` of a netns that no pass has seen."""
    socket = OwnedSocket(number, row, None, (), None, Attribution.NONE, Confidence.NONE, (), None)
    return Owned(socket, OwnerSource.NONE, telling or Telling(None))


def _name_source(socket: OwnedSocket) -> OwnerSource:
    """What names its owner, where no listener was found for it just now."""
    if socket.attribution is Attribution.LISTENER:
        return OwnerSource.LISTENER
    if socket.attribution is Attribution.NETNS:
        return OwnerSource.NETNS
    return OwnerSource.NONE if socket.attribution is Attribution.NONE else OwnerSource.SNAPSHOT
