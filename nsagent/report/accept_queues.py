"""The accept queues of each container: how many connections its listeners hold that nobody took yet."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from nsagent.model.ids import ContainerId
from nsagent.model.net import Protocol, SocketState
from nsagent.model.snapshot import Attribution, OwnedSocket

# Asking an enum for a member takes longer than all else that is asked of a row.
_LISTEN: Final = SocketState.LISTEN
_TCP: Final = Protocol.TCP
_FD: Final = Attribution.FD

WITH_ACCEPT_QUEUE: Final = (Protocol.TCP, Protocol.SCTP)
"""Protocols whose tables tell how many connections wait for a listener."""


class AcceptQueue(NamedTuple):
    """The TCP listeners of one container, added up.

    `used` and `limit` are connections; `limit` is None where that of any listener is not known.
    `fullest` is the listener nearest to its limit, None where no connection waits.
    """

    listeners: int
    used: int
    limit: int | None
    fullest: OwnedSocket | None


AcceptQueues = dict[ContainerId, AcceptQueue]
"""Those of the containers that have a TCP listener."""


def is_listener(socket: OwnedSocket) -> bool:
    """Whether the queues of this row are an accept queue."""
    row = socket.row
    return row.state is _LISTEN and row.protocol in WITH_ACCEPT_QUEUE


def sum_accept_queues(sockets: Iterable[OwnedSocket]) -> AcceptQueues:
    """The accept queue of each container whose process holds a listener: its first owner's, as for the row."""
    # Every socket is looked at, 0.05 us each, and one with a limit like many others is only counted.
    held = [
        each for each in sockets if each.row.state is _LISTEN and each.attribution is _FD and each.row.protocol is _TCP
    ]
    limits: defaultdict[ContainerId, Counter[int | None]] = defaultdict(Counter)
    for (container_id, limit), count in Counter([(each.container_id, each.row.tx_queue) for each in held]).items():
        if container_id is not None:
            limits[container_id][limit] = count
    waiting: defaultdict[ContainerId | None, list[OwnedSocket]] = defaultdict(list)
    for socket in [each for each in held if each.row.rx_queue]:
        waiting[socket.container_id].append(socket)
    return {container_id: _add_up(counts, waiting[container_id]) for container_id, counts in limits.items()}


def _add_up(limits: Counter[int | None], waiting: Collection[OwnedSocket]) -> AcceptQueue:
    return AcceptQueue(
        listeners=limits.total(),
        used=sum(socket.row.rx_queue or 0 for socket in waiting),
        limit=None if None in limits else sum(limit * count for limit, count in limits.items() if limit),
        fullest=max(waiting, key=_fullness, default=None),
    )


def _fullness(socket: OwnedSocket) -> tuple[float, int]:
    """The part that is used, and how much; a queue takes one connection more than its limit says."""
    used, limit = socket.row.rx_queue or 0, socket.row.tx_queue
    return (0.0 if limit is None else used / (limit + 1)), used
