"""Who holds an end, or a connection: the rows of a snapshot that answer it, and what is to be said of them. Pure.

The one selection for all who ask: the command line and the agent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from nsagent.errors import NotFound, UsageError
from nsagent.model.found import Found, Note, NoteKind
from nsagent.model.gap import Kind, Stage
from nsagent.model.ids import tell_netns
from nsagent.model.net import Protocol
from nsagent.model.process import CommandLine, ProcessKey
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.query.endpoint import AskedEnd, parse_end
from nsagent.query.filter import parse_protocols
from nsagent.query.own_addresses import is_group
from nsagent.query.receivers import ANY_ADDRESSES, is_unsure
from nsagent.query.socket_index import WITH_ENDS, Held, SocketIndex

_USUAL: Final = frozenset((Protocol.TCP, Protocol.UDP))

_FORWARDERS: Final = frozenset(("docker-proxy", "rootlessport", "slirp4netns", "pasta"))
"""Programs that take what comes for a container, by the name of their process; anyone may call himself so."""

_MOST_NEAR: Final = 3
_NEAR_PORTS: Final = 10


class Question(NamedTuple):
    """Which end, or which two ends of one connection, in any order."""

    ends: tuple[AskedEnd, ...]
    protocols: frozenset[Protocol] = _USUAL
    netns: frozenset[int] | None = None
    """The numbers of those that are asked about, None for all."""

    def __str__(self) -> str:
        return " ".join(map(str, self.ends))


def parse_question(ends: Sequence[str], protocols: Sequence[str] | None = None) -> Question:
    """The question of these ends, about TCP and UDP unless protocols are named; raises UsageError."""
    parsed = tuple(map(parse_end, ends))
    if not 1 <= len(parsed) <= 2:
        raise UsageError(f"expected one end or two, got {len(parsed)}")
    if len(parsed) == 2 and any(end.address is None or end.address in ANY_ADDRESSES for end in parsed):
        raise UsageError(f"{' '.join(map(str, parsed))}: both ends of a connection have an address")
    named = parse_protocols(protocols) or _USUAL
    if unfit := named.difference(WITH_ENDS):
        known = ", ".join(WITH_ENDS)
        raise UsageError(f"--protocol: expected one that has ports ({known}), got {', '.join(sorted(unfit))}")
    return Question(parsed, named)


def find_who(snapshot: Snapshot, index: SocketIndex, question: Question) -> Found:
    """The rows of a snapshot, which is indexed, that answer the question; raises NotFound, which tells what is near."""
    connected: list[OwnedSocket] = []
    waiting: list[OwnedSocket] = []
    notes: list[Note] = []
    protocols = [each for each in WITH_ENDS if each in question.protocols]
    for end, other in _list_sides(question.ends):
        held = [index.hold(protocol, end, other, question.netns) for protocol in protocols]
        connected += chain.from_iterable(one.connected for one in held)
        waiting += chain.from_iterable(one.waiting for one in held)
        waiting += chain.from_iterable(one.unrouted for one in held)
        if other is None and _is_elsewhere(end, held) and (talking := [*_list_talking(snapshot, end, question)]):
            connected += talking
            own = index.own.find(end.address or "") | index.own.unknown
            notes.append(Note(NoteKind.NOT_LOCAL, str(end), tuple(sorted(own))))
        notes += _list_notes(index, end, held)
    if len(question.ends) > 1 and waiting and not connected:
        notes.insert(0, Note(NoteKind.NOT_CONNECTED, str(question)))
    rows = tuple({id(one): one for one in (*connected, *waiting)}.values())
    if not rows:
        raise _explain(snapshot, index, question)
    return Found(rows, tuple(notes))


def find_behind(index: SocketIndex, proxies: Note, command_lines: Mapping[ProcessKey, CommandLine]) -> Iterator[Note]:
    """Who holds what these proxies say, by their command lines, that they pass on to.

    An address may be an own one of several netns that know nothing of each other. A proxy reaches one of them, by
    routes, of which a snapshot has none: each that has who waits there is told of then.
    """
    for socket in proxies.sockets:
        lines = (command_lines.get(owner.process.key) for owner in socket.owners)
        for target in filter(None, map(_find_target, filter(None, lines))):
            held = index.hold(socket.row.protocol, target)
            netns = tuple(sorted({one.netns for one in held.waiting}))
            yield Note(NoteKind.BEHIND, str(target), netns if len(netns) > 1 else (), held.waiting)


def _find_target(line: CommandLine) -> AskedEnd | None:
    """The end that docker-proxy is told to pass on to; None of other programs.

    Source: cmd/docker-proxy/main_linux.go of moby.
    """
    options = dict(zip(line.argv, line.argv[1:], strict=False))
    address, port = options.get("-container-ip", ""), options.get("-container-port", "")
    try:
        return parse_end(f"[{address}]:{port}" if ":" in address else f"{address}:{port}") if address else None
    except UsageError:
        return None


def _list_sides(ends: Sequence[AskedEnd]) -> Iterator[tuple[AskedEnd, AskedEnd | None]]:
    """Each end, and its other end where one was asked for."""
    one, *others = ends
    yield one, others[0] if others else None
    for other in others:
        yield other, one


def _is_elsewhere(end: AskedEnd, held: Sequence[Held]) -> bool:
    """Whether the address is none of the netns that are asked about."""
    if end.address is None or end.address in ANY_ADDRESSES or is_group(end.address):
        return False
    return not any(one.netns or one.connected for one in held)


def _list_talking(snapshot: Snapshot, end: AskedEnd, question: Question) -> Iterator[OwnedSocket]:
    """The sockets of which it is the remote end."""
    for socket in snapshot.sockets:
        remote = socket.row.remote
        if remote.port == end.port and remote.address == end.address and _is_asked(socket, question):
            yield socket


def _is_asked(socket: OwnedSocket, question: Question) -> bool:
    asked = question.netns is None or socket.netns in question.netns
    return asked and socket.row.protocol in question.protocols


def _list_notes(index: SocketIndex, end: AskedEnd, held: Sequence[Held]) -> Iterator[Note]:
    name, waiting = str(end), [socket for one in held for socket in one.waiting]
    connected = [socket for one in held for socket in one.connected]
    netns = tuple(sorted({socket.netns for socket in waiting}))
    if len(netns) > 1:
        yield Note(NoteKind.SEVERAL_NETNS, name, netns)
    if end.address is not None:
        for_all = {number for number in netns if index.own.is_for_all(end.address, number)}
        if for_all:
            yield Note(NoteKind.GROUP, name)
        for one in held:
            if several := tuple(_list_alike(socket for socket in one.waiting if socket.netns not in for_all)):
                yield Note(NoteKind.ONE_OF, name, sockets=several)
            if one.shadowed:
                yield Note(NoteKind.SHADOWED, name, sockets=one.shadowed)
            if one.unrouted:
                yield Note(NoteKind.UNROUTED, name, sockets=one.unrouted)
        if unsure := tuple(socket for socket in waiting if is_unsure(socket, end.address)):
            yield Note(NoteKind.V6ONLY, name, sockets=unsure)
    if proxies := tuple(filter(_is_forwarder, waiting)):
        yield Note(NoteKind.PROXY, name, sockets=proxies)
    if end.address is not None and end.address not in ANY_ADDRESSES:
        reach = index.reach
        if reach.is_known and not is_group(end.address):
            claiming = index.own.find(end.address).difference(reach.find(end.address))
            if claimed := claiming.intersection(socket.netns for socket in chain(waiting, connected)):
                yield Note(NoteKind.CLAIMED, name, tuple(sorted(claimed)))
        unknown = index.own.unknown - index.own.find(end.address)
        if wide := unknown.intersection(socket.netns for socket in waiting if _is_wide(socket)):
            yield Note(NoteKind.ADDRESSES, name, tuple(sorted(wide)))


def _list_alike(waiting: Iterable[OwnedSocket]) -> Iterator[OwnedSocket]:
    """Those that wait for the same as another one, in one netns and on one device: the kernel chooses."""
    groups: dict[tuple[int, int | None], list[OwnedSocket]] = {}
    for socket in waiting:
        groups.setdefault((socket.netns, socket.row.interface), []).append(socket)
    for group in groups.values():
        if len(group) > 1:
            yield from group


def _is_forwarder(socket: OwnedSocket) -> bool:
    return any(owner.process.comm in _FORWARDERS for owner in socket.owners)


def _is_wide(socket: OwnedSocket) -> bool:
    return socket.row.local.address in ANY_ADDRESSES


def _explain(snapshot: Snapshot, index: SocketIndex, question: Question) -> NotFound:
    """The error with what waits at the same port for other addresses, and at near ports."""
    end = question.ends[0]
    wanted = [one for one in index.list_near(end.port, _NEAR_PORTS) if _is_asked(one, question)]
    wanted.sort(key=lambda one: (abs(one.row.local.port - end.port), one.netns))
    hosts = {one.number for one in snapshot.netns if one.is_host}
    near = tuple(dict.fromkeys(_tell(one, hosts) for one in wanted))[:_MOST_NEAR]
    hints = [*_list_hints(index, question, hosts)]
    if failed := snapshot.coverage.netns.failed:
        hints.append(f"{failed} netns could not be read")
    if any(gap.stage is Stage.TABLES and gap.kind is Kind.TABLE for gap in snapshot.coverage.gaps):
        hints.append("not every table could be read whole (nsagent scan tells which)")
    return NotFound("endpoint", str(question), near=near, hint="; ".join(hints))


def _list_hints(index: SocketIndex, question: Question, hosts: set[int]) -> Iterator[str]:
    for end in question.ends:
        if end.address is None or end.address in ANY_ADDRESSES or is_group(end.address):
            continue
        if own := index.own.find(end.address) or index.own.find_broadcast(end.address):
            names = ["host" if number in hosts else tell_netns(number) for number in sorted(own)]
            more = f" and {len(names) - _MOST_NEAR} more" if len(names) > _MOST_NEAR else ""
            yield f"{end.address} is an address of netns {', '.join(names[:_MOST_NEAR])}{more}"
        elif index.own.unknown:
            yield f"the own addresses of {len(index.own.unknown)} netns are not known"
        else:
            # Not known is what a route of IPv6 makes local.
            of_what = "an interface of this host" if ":" in end.address else "this host"
            yield f"{end.address} is no address of {of_what}"


def _tell(socket: OwnedSocket, hosts: set[int]) -> str:
    address, port, _ = socket.row.local
    netns = "host" if socket.netns in hosts else tell_netns(socket.netns)
    return f"{socket.row.protocol} {AskedEnd(address, port, socket.interface)} in netns {netns}"
