"""What differs between two snapshots of one host. Pure.

What one of them could not see is neither new nor gone. Of another boot no socket is the same: all that was
open is closed, and only containers, by id, and listeners, by where they are, compare.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Final, NamedTuple, TypeVar

from nsagent.errors import NotFound
from nsagent.model.change import Change, ChangeKind, Holders, Place, tell_place
from nsagent.model.container import Container
from nsagent.model.ids import ContainerId
from nsagent.model.net import Protocol, SocketRow, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot, VerdictKind
from nsagent.query.evaluate import take_unknown_for_nothing
from nsagent.query.filter import Filter
from nsagent.query.select import select_containers, select_snapshot
from nsagent.scan.same import is_same_boot, match_netns, match_sockets
from nsagent.scan.sight import Sight
from nsagent.scan.telling import Telling, list_holders, name_container, without_labels

T = TypeVar("T")

_CLIENT_PORTS: Final = range(32768, 61000)
"""Those that a kernel gives to clients unless it is told otherwise (Documentation/networking/ip-sysctl.rst)."""

_DATAGRAMS: Final = (Protocol.UDP, Protocol.UDPLITE)
_WITH_PEERS: Final = (Protocol.TCP, Protocol.UDP, Protocol.UDPLITE, Protocol.SCTP)
_ELSEWHERE: Final = (VerdictKind.KERNEL, VerdictKind.IN_FLIGHT)
"""Who has a socket that no process holds, beyond doubt."""

_UNCONNECTED: Final = (
    SocketState.LISTEN,
    SocketState.CLOSE,
    SocketState.SYN_SENT,
    SocketState.SYN_RECV,
    SocketState.BOUND_INACTIVE,
)

_Key = tuple[Place, Protocol, str, int, str | None]
_Peer = tuple[Place, Protocol, str, int]
_Listeners = dict[_Key, list[OwnedSocket]]


def diff_snapshots(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """The changes from one to the other, in an order in which they may be followed."""
    return tuple(found.tell(after.taken_at) for found in _find(_Side(before), _Side(after)))


def diff_selected(before: Snapshot, after: Snapshot, wanted: Filter) -> tuple[Change, ...]:
    """Those of them that are about rows, or containers, which the filter selects in either snapshot.

    Raises NotFound for what none of the two knows, but in an expression, and Ambiguous.
    """
    chosen = {id(one) for part in _list_parts(wanted) for one in _choose(before, after, part)}
    found = _find(_Side(before), _Side(after))
    return tuple(one.tell(after.taken_at) for one in found if not chosen.isdisjoint(map(id, one.about)))


def list_open(snapshot: Snapshot) -> tuple[Change, ...]:
    """What a snapshot shows, as if all of it had come at once: containers, listeners, and what is open."""
    side = _Side(snapshot)
    found = [_Found(ChangeKind.CONTAINER_COME, side, (one,)) for one in snapshot.containers if not one.sandbox]
    listeners = _group_listeners(side, {}, "").values()
    found += [_Found(ChangeKind.NEW_LISTENER, side, each, _list_all_holders(each)) for each in listeners]
    found += [_Found(ChangeKind.OPENED, side, (one,), list_holders(one)) for one in side.connections]
    return tuple(one.tell(snapshot.taken_at) for one in found)


def is_listener(row: SocketRow) -> bool:
    """Whether it waits for anyone: what listens, and UDP without a remote on a port that is not given to clients."""
    return row.state is SocketState.LISTEN or (
        row.state is SocketState.CLOSE and row.protocol in _DATAGRAMS and row.local.port not in _CLIENT_PORTS
    )


def is_open(row: SocketRow) -> bool:
    """Whether it is more than a word of the kernel: not a handshake, nor what it keeps of a closed connection.

    Nor a socket that is bound and does nothing, which only deep passes show.
    """
    state = row.state
    if state is SocketState.FIN_WAIT2:
        return row.uid is not None  # A late one is a mini-socket, as TIME_WAIT is.
    return not (state is SocketState.TIME_WAIT or state is SocketState.SYN_RECV or state is SocketState.BOUND_INACTIVE)


class _Side(Telling):
    """One of the two snapshots."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self.snapshot = snapshot
        self.sight = Sight(snapshot)
        self.listening: list[OwnedSocket] = []
        self.connections: list[OwnedSocket] = []
        self.others: list[OwnedSocket] = []
        """What is not open."""
        for socket in snapshot.sockets:
            row = socket.row
            # Most rows of a large host, and the cheapest test.
            if row.state is SocketState.ESTABLISHED:
                self.connections.append(socket)
            elif is_listener(row):
                self.listening.append(socket)
            else:
                (self.connections if is_open(row) else self.others).append(socket)

    def tell_place(self, socket: OwnedSocket) -> Place:
        container, pod, unit = self.list_context(socket)
        name = name_container(container) or socket.container_id
        return tell_place(self.name_netns(socket.netns), socket.netns, name, pod, unit)

    def tell_client(self, socket: OwnedSocket) -> Place | None:
        """Who has a connection; None where nobody knows."""
        container, pod, unit = self.list_context(socket)
        if socket.container_id is None and pod is None:
            return ("unit", unit) if socket.owners else None
        return tell_place(None, 0, name_container(container) or socket.container_id, pod, unit)


class _Found(NamedTuple):
    """A change, and the rows and containers that it is about; the first one is told."""

    kind: ChangeKind
    side: _Side
    about: Sequence[OwnedSocket | Container]
    holders: Holders = ()
    before: Holders = ()
    state_before: SocketState | None = None

    def tell(self, at: str) -> Change:
        first = self.about[0]
        if isinstance(first, Container):
            return Change(at, self.kind, None, first.id, name_container(first), first.image, without_labels(first.pod))
        return self.side.tell(at, self.kind, first, self.holders, self.before, self.state_before)


def _find(before: _Side, after: _Side) -> list[_Found]:
    """The changes; what goes stands before what comes, so that whoever follows them ends with what there is."""
    netns = match_netns(before.snapshot, after.snapshot)
    back = {later: earlier for earlier, later in netns.items()}
    same_boot = is_same_boot(before.snapshot, after.snapshot)
    matched = match_sockets(before.connections if same_boot else (), after.connections if same_boot else (), netns)
    gone, come = (matched.gone, matched.come) if same_boot else (before.connections, after.connections)
    found = [
        *_diff_containers(before, after, same_boot=same_boot),
        *_diff_listeners(before, after, netns, back, same_boot=same_boot),
    ]
    if before.sight.looks_for_holders and after.sight.looks_for_holders:
        found += [
            _Found(ChangeKind.HOLDER_CHANGED, after, (later, earlier), list_holders(later), list_holders(earlier))
            for earlier, later in matched.both
            if not _is_held_alike(earlier, later) and _has_other_holders((earlier,), (later,), before, after)
        ]
    moved = [(earlier, later) for earlier, later in matched.both if earlier.row.state is not later.row.state]
    found += _find_state_changes(moved, after)
    connected = (later for earlier, later in moved if earlier.row.state in _UNCONNECTED)
    found += _find_new_peers(before, after, (*come, *connected), back)
    found += [
        _Found(ChangeKind.CLOSED, before, (one,), list_holders(one))
        for one in gone
        if after.sight.sees_table(netns.get(one.netns), one.row.protocol)
    ]
    found += [
        _Found(ChangeKind.OPENED, after, (one,), list_holders(one))
        for one in come
        if before.sight.sees_table(back.get(one.netns), one.row.protocol) or (same_boot and before.sight.is_before(one))
    ]
    return found


def _diff_containers(before: _Side, after: _Side, *, same_boot: bool) -> Iterator[_Found]:
    if after.sight.is_whole:
        gone = (one for one in before.snapshot.containers if one.id not in after.containers)
        yield from (_Found(ChangeKind.CONTAINER_GONE, before, (one,)) for one in gone if not one.sandbox)
    come = [one for one in after.snapshot.containers if one.id not in before.containers and not one.sandbox]
    if not before.sight.is_whole and come:
        ages: defaultdict[ContainerId | None, list[bool]] = defaultdict(list)
        for process in after.snapshot.processes if same_boot else ():
            ages[process.container_id].append(before.sight.is_before_process(process))
        come = [one for one in come if one.id in ages and all(ages[one.id])]
    yield from (_Found(ChangeKind.CONTAINER_COME, after, (one,)) for one in come)


def _diff_listeners(
    before: _Side, after: _Side, netns: dict[int, int], back: dict[int, int], *, same_boot: bool
) -> Iterator[_Found]:
    """A listener is the same by where it is, whatever process and socket it is now, and by its socket."""
    earlier = _group_listeners(before, {number: str(later) for number, later in netns.items()}, "before")
    later = _group_listeners(after, {number: str(number) for number in back}, "after")
    moved = match_sockets(before.listening, after.listening, netns).both if same_boot else []
    known = {id(one) for pair in moved for one in pair}
    for kind, side, other, mine, others, there in (
        (ChangeKind.LISTENER_GONE, before, after, earlier, later, netns),
        (ChangeKind.NEW_LISTENER, after, before, later, earlier, back),
    ):
        for key, sockets in mine.items():
            first = sockets[0]
            if (
                key not in others
                and known.isdisjoint(map(id, sockets))
                and (
                    other.sight.sees_table(there.get(first.netns), first.row.protocol)
                    or (kind is ChangeKind.NEW_LISTENER and same_boot and all(map(other.sight.is_before, sockets)))
                )
            ):
                yield _Found(kind, side, sockets, _list_all_holders(sockets))
    if same_boot and before.sight.looks_for_holders and after.sight.looks_for_holders:
        pairs = [(sockets, later[key]) for key, sockets in earlier.items() if key in later]
        paired = {id(one) for pair in pairs for one in (*pair[0], *pair[1])}
        pairs += [([one], [other]) for one, other in moved if id(one) not in paired and id(other) not in paired]
        for old, new in pairs:
            if _has_other_holders(old, new, before, after):
                holders, held = _list_all_holders(new), _list_all_holders(old)
                yield _Found(ChangeKind.HOLDER_CHANGED, after, (*new, *old), holders, held)


def _group_listeners(side: _Side, numbers: Mapping[int, str], other: str) -> _Listeners:
    """The listeners of one snapshot by what makes them the same; several sockets may share an endpoint.

    `numbers` are what netns are called that both snapshots have; `other` is said of those that one has alone.
    """
    groups: _Listeners = {}
    for socket in side.listening:
        place = side.tell_place(socket)
        if place[0] == "number":
            place = ("number", numbers.get(socket.netns) or f"{other} {socket.netns}")
        row = socket.row
        key = (place, row.protocol, row.local.address, row.local.port, socket.interface)
        groups.setdefault(key, []).append(socket)
    return groups


def _find_state_changes(moved: Iterable[tuple[OwnedSocket, OwnedSocket]], after: _Side) -> Iterator[_Found]:
    """One for each socket that is in another state, whoever holds it.

    Also of one that is left to the kernel until its end is sent: it is open until then, and nothing else is told of it.
    """
    for earlier, later in moved:
        before = () if later.owners else list_holders(earlier)
        about = (later, earlier)
        yield _Found(ChangeKind.STATE_CHANGED, after, about, list_holders(later), before, earlier.row.state)


def _find_new_peers(
    before: _Side, after: _Side, come: Iterable[OwnedSocket], back: Mapping[int, int]
) -> Iterator[_Found]:
    """The first connection of each container or unit to an endpoint that it had none to; `come` are those made since.

    Not those that were accepted, to whose port something listens in their netns: their remote port is any.
    """
    listening = {(one.netns, one.row.protocol, one.row.local.port) for one in after.listening}
    netns = {earlier: later for later, earlier in back.items()}
    listening.update(
        (netns[one.netns], one.row.protocol, one.row.local.port) for one in before.listening if one.netns in netns
    )
    candidates: dict[_Peer, OwnedSocket] = {}
    for socket in (*come, *after.others):
        row = socket.row
        if (socket.netns, row.protocol, row.local.port) in listening:
            continue
        if peer := _tell_peer(after, socket):
            candidates.setdefault(peer, socket)
    remotes = {(address, port) for _, _, address, port in candidates}
    for socket in (*before.connections, *before.others) if candidates else ():
        if socket.row.remote[:2] in remotes and (peer := _tell_peer(before, socket)):
            candidates.pop(peer, None)
    for socket in candidates.values():
        if before.sight.sees_table(back.get(socket.netns), socket.row.protocol):
            yield _Found(ChangeKind.NEW_PEER, after, (socket,), list_holders(socket))


def _tell_peer(side: _Side, socket: OwnedSocket) -> _Peer | None:
    """Who is connected to what; None for no connection, and where nobody knows whose it is."""
    row = socket.row
    if row.protocol not in _WITH_PEERS or row.state in _UNCONNECTED or not row.remote.port:
        return None
    client = side.tell_client(socket)
    return None if client is None else (client, row.protocol, row.remote.address, row.remote.port)


def _is_held_alike(earlier: OwnedSocket, later: OwnedSocket) -> bool:
    """Whether the one process, or nobody, holds both: the usual case of 10^4 to 10^6, 0.2 us each."""
    old, new = earlier.owners, later.owners
    if len(old) != 1 or len(new) != 1:
        return not (old or new)
    one, other = old[0].process, new[0].process
    return one.pid == other.pid and one.start_ticks == other.start_ticks


def _has_other_holders(
    earlier: Sequence[OwnedSocket], later: Sequence[OwnedSocket], before: _Side, after: _Side
) -> bool:
    """Whether other processes hold the same thing now, as far as both snapshots could see these.

    That nobody holds it, or held it, counts only where it is known who has it instead: a connection is
    taken from the accept queue, and left to the kernel when it is closed, and nothing changes hands.
    """
    held = {(pid, start) for pid, start, _ in _list_all_holders(earlier)}
    holds = {(pid, start) for pid, start, _ in _list_all_holders(later)}
    if not (held and holds):
        verdict = (later if held else earlier)[0].verdict
        return held != holds and verdict is not None and verdict.kind in _ELSEWHERE
    return any(after.sight.sees_process(pid) for pid, _ in held - holds) or any(
        before.sight.sees_process(pid) for pid, _ in holds - held
    )


def _list_all_holders(sockets: Sequence[OwnedSocket]) -> Holders:
    """Who holds any of several, each once."""
    if len(sockets) == 1:
        return list_holders(sockets[0])
    holders = {holder for socket in sockets for holder in list_holders(socket)}
    return tuple(sorted(holders, key=lambda holder: (holder[1], holder[0])))


def _list_parts(wanted: Filter) -> Iterator[Filter]:
    """The filter for each combination of names in it: each one may be known to one of the snapshots alone."""
    names = map(_singly, (wanted.containers, wanted.pods, wanted.netns))
    for (container, pod, netns), pid in product(product(*names), _singly(wanted.pids)):
        yield wanted._replace(containers=container, pods=pod, netns=netns, pids=pid)


def _singly(values: tuple[T, ...]) -> list[tuple[T, ...]]:
    return [(value,) for value in values] or [()]


def _choose(before: Snapshot, after: Snapshot, part: Filter) -> list[OwnedSocket | Container]:
    """What the filter selects in either; NotFound where neither knows of what it names."""
    chosen: list[OwnedSocket | Container] = []
    errors = []
    for snapshot in (before, after):
        try:
            chosen += select_snapshot(snapshot, take_unknown_for_nothing(part, snapshot)).sockets
            if part == Filter(part.containers, part.pods, part.kube_namespaces, part.labels):
                chosen += select_containers(snapshot, part).containers
        except NotFound as err:
            errors.append(err)
    if len(errors) == 2:
        raise errors[1]
    return chosen
