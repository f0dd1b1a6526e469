"""Who is at the other end of a connection, and who began it, as far as the rows of one snapshot tell.

Guesses for counting, from addresses and ports alone: an address may be translated on the way.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

from nsagent.model.container import Pod
from nsagent.model.ids import ContainerId
from nsagent.model.net import Family, SocketRow, has_remote, is_listening
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.report.memo import Memo

_IP: Final = (Family.IPV4, Family.IPV6)
_LOOPBACK: Final = re.compile(r"127\.|::1$")
_PRIVATE: Final = re.compile(
    # RFC 1918, 6598 (shared), 3927 and 4291 (link-local), 4193 (unique local).
    r"10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|169\.254\.|f[cd]..:|fe[89ab].:",
    re.ASCII,
)


class Direction(StrEnum):
    """Who began: `in` where something listens at the local port in the same netns, else `out`."""

    IN = "in"
    OUT = "out"


class PeerKind(StrEnum):
    """Where the peer's address is.

    `loopback`: 127.0.0.0/8, ::1, or an address that sockets of the same netns have. `host`, `pod`, `container`: one
    that sockets in the host's netns have, in that of a pod, or in another one on this node. `private` and `public`:
    on no socket of this node.
    """

    LOOPBACK = "loopback"
    HOST = "host"
    POD = "pod"
    CONTAINER = "container"
    PRIVATE = "private"
    PUBLIC = "public"


class Alike(NamedTuple):
    """What connections have in common that are counted together."""

    container_id: ContainerId | None
    pod: Pod | None
    direction: Direction
    peer_kind: PeerKind


def has_peer(row: SocketRow) -> bool:
    """Whether it is a row of IP with a remote address."""
    return row.family in _IP and has_remote(row)


class Peers:
    """What the rows of a snapshot tell about each other."""

    def __init__(self, snapshot: Snapshot) -> None:
        kinds = {each.number: _kind_of(each.is_host, bool(each.pods)) for each in snapshot.netns}
        self._listening = {
            (each.netns, each.row.protocol, each.row.local.port) for each in snapshot.sockets if is_listening(each.row)
        }
        # Strongest first: what several netns have, as bridges' addresses may be, is the host's, else a pod's.
        found: dict[str, set[PeerKind]] = {}
        own = {(each.netns, each.row.local.address) for each in snapshot.sockets if each.row.family in _IP}
        for netns, address in own:
            found.setdefault(address, set()).add(kinds.get(netns, PeerKind.CONTAINER))
        order = (PeerKind.HOST, PeerKind.POD, PeerKind.CONTAINER)
        on_node = {address: next(kind for kind in order if kind in seen) for address, seen in found.items()}
        # No method of its own: with what refers to itself all of this would stay until garbage is looked for.
        elsewhere: Memo[str, PeerKind] = Memo(_kind_elsewhere)
        self._kinds: Memo[tuple[int, str], PeerKind] = Memo(partial(_find_kind, own, on_node, elsewhere))

    def find_direction(self, socket: OwnedSocket) -> Direction:
        """Who began the connection that this row is an end of."""
        key = (socket.netns, socket.row.protocol, socket.row.local.port)
        return Direction.IN if key in self._listening else Direction.OUT

    def find_kind(self, socket: OwnedSocket) -> PeerKind:
        """Where its peer is."""
        return self._kinds[socket.netns, socket.row.remote.address]

    def count(self, sockets: Iterable[OwnedSocket]) -> dict[Alike, int]:
        """How many of these have a peer, by whose they are, who began and where the peer is."""
        listening, kinds = self._listening, self._kinds
        # Once per socket, of which there are 10^4 to 10^6: 1.5 us.
        alike = Counter(
            [
                (
                    each.container_id,
                    each.pod,
                    (each.netns, each.row.protocol, each.row.local.port) in listening,
                    kinds[each.netns, each.row.remote.address],
                )
                for each in sockets
                if has_peer(each.row)
            ]
        )
        return {
            Alike(id_, pod, Direction.IN if listens else Direction.OUT, kind): count
            for (id_, pod, listens, kind), count in alike.items()
        }


def _find_kind(
    own: Set[tuple[int, str]], on_node: Mapping[str, PeerKind], elsewhere: Memo[str, PeerKind], place: tuple[int, str]
) -> PeerKind:
    """Of an address, seen from a netns."""
    _, address = place
    if place in own or _LOOPBACK.match(address):
        return PeerKind.LOOPBACK
    return on_node.get(address) or elsewhere[address]


def _kind_of(is_host: bool, has_pods: bool) -> PeerKind:
    return PeerKind.HOST if is_host else PeerKind.POD if has_pods else PeerKind.CONTAINER


def _kind_elsewhere(address: str) -> PeerKind:
    return PeerKind.PRIVATE if _PRIVATE.match(address) else PeerKind.PUBLIC
