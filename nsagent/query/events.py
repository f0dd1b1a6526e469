"""Whether an event is one that a filter asks for. Pure.

A socket is judged as the row that it was, a process as if it held a row in its netns: where a filter names what only
sockets have, as ports, no process is asked for.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from nsagent.errors import NotFound
from nsagent.model.change import UNKNOWN_NETNS, Change, ChangedSocket, make_row
from nsagent.model.container import Pod
from nsagent.model.ids import Pid, PodUid, SocketInode
from nsagent.model.named_event import NamedProcessEvent
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState
from nsagent.model.process import Process
from nsagent.model.snapshot import Attribution, Confidence, OwnedSocket, Owner, Snapshot
from nsagent.query.evaluate import take_unknown_for_nothing
from nsagent.query.expression import Autobound, Between, Every, Expression, Not, Number, Some
from nsagent.query.filter import Filter
from nsagent.query.match import Test, make_test

_NOWHERE: Final = Endpoint("*", 0)

Key = tuple[Pid, int]
"""A pid, and the start of its process in clock ticks since boot."""


class _Known(NamedTuple):
    """What one snapshot knows."""

    test: Test
    processes: Mapping[Key, Process]
    pods: Mapping[PodUid | None, Pod]
    """With their labels, by uid."""


class EventFilter:
    """Which events are asked for, by names that mean what they mean in the last two snapshots; for one thread."""

    def __init__(self, wanted: Filter, *, must_exist: bool = True) -> None:
        """`must_exist`: the first snapshot has to know what it names; else that may come."""
        self._wanted, self._must_exist = wanted, must_exist
        self._takes_all = wanted == Filter()
        self.asks_for_sockets = _asks_for_sockets(wanted)
        """Whether it names what only sockets have: then no event of a process is asked for."""
        self._last: _Known | None = None
        self._before: _Known | None = None

    def learn(self, snapshot: Snapshot) -> None:
        """Take the next snapshot; raises Ambiguous, and of the first one NotFound."""
        if self._takes_all:
            return
        is_first = self._last is None and self._must_exist
        try:
            wanted = self._wanted if is_first else take_unknown_for_nothing(self._wanted, snapshot)
            test = make_test(snapshot, wanted)
        except NotFound:
            if is_first:
                raise
            test = _take_none
        self._before = self._last
        pods = (each.pod for each in (*snapshot.containers, *snapshot.folded) if each.pod is not None)
        processes = {(each.pid, each.start_ticks): each for each in snapshot.processes}
        self._last = _Known(test, processes, {pod.uid: pod for pod in pods})

    def takes_socket(self, change: Change) -> bool:
        """Whether the socket of a change is asked for, as it is or as it was; a change of a container has none."""
        if self._takes_all or (socket := change.socket) is None:
            return self._takes_all
        rows = [socket]
        if change.state_before is not None:
            rows.append(socket._replace(state=change.state_before))
        return any(known.test(_stand_for(change, row, known)) for known in self._list_known() for row in rows)

    def takes_process(self, event: NamedProcessEvent) -> bool:
        """Whether the process of an event is."""
        if self._takes_all or self.asks_for_sockets:
            return self._takes_all
        row = _stand_for_process(event)
        return any(known.test(row) for known in self._list_known())

    def _list_known(self) -> list[_Known]:
        return [each for each in (self._last, self._before) if each is not None]


def _take_none(_: OwnedSocket) -> bool:
    return False


def _stand_for(change: Change, socket: ChangedSocket, known: _Known) -> OwnedSocket:
    """The row that a change is about, with what a snapshot knows of its holders, and of those before."""
    pod = change.pod
    holders = [
        known.processes.get((pid, start_ticks)) or Process(pid, start_ticks, comm, 0, None, None, change.unit)
        for pid, start_ticks, comm in (*socket.holders, *change.before)
    ]
    return OwnedSocket(
        netns=socket.netns,
        row=make_row(socket),
        interface=socket.interface,
        owners=tuple(Owner(holder, ()) for holder in holders),
        container_id=change.container_id,
        attribution=Attribution.NONE,
        confidence=Confidence.NONE,
        flags=(),
        verdict=None,
        pod=None if pod is None or change.container_id is not None else known.pods.get(pod.uid, pod),
    )


def _stand_for_process(event: NamedProcessEvent) -> OwnedSocket:
    """A row that the process of an event holds, of which nothing else is known."""
    one = event.identity
    process = Process(
        event.pid,
        one.start_ticks or 0,
        one.comm or "",
        one.uid or 0,
        one.netns,
        one.container_id,
        one.unit,
        around=one.around,
        inner=one.inner,
    )
    return OwnedSocket(
        netns=UNKNOWN_NETNS if one.netns is None else one.netns,
        row=SocketRow(
            protocol=Protocol.NETLINK,
            family=Family.NETLINK,
            mapped=False,
            state=SocketState.CLOSE,
            local=_NOWHERE,
            remote=_NOWHERE,
            interface=None,
            inode=SocketInode(0),
            cookie=None,
            uid=one.uid,
            rx_queue=None,
            tx_queue=None,
            cgroup_id=None,
            v6only=None,
        ),
        interface=None,
        owners=(Owner(process, ()),),
        container_id=one.container_id,
        attribution=Attribution.NONE,
        confidence=Confidence.NONE,
        flags=(),
        verdict=None,
    )


def _asks_for_sockets(expression: Expression) -> bool:
    """Whether anything in it is a question to a socket, and none to its owner or its netns."""
    if isinstance(expression, Filter):
        of_sockets = (
            expression.ports, expression.local, expression.remote, expression.protocols, expression.states,
            expression.interfaces, expression.listening, expression.ownerless, expression.accept_queue_above,
        )  # fmt: skip
        return any(of_sockets) or (expression.expression is not None and _asks_for_sockets(expression.expression))
    if isinstance(expression, Every | Some):
        return any(map(_asks_for_sockets, expression.parts))
    if isinstance(expression, Not):
        return _asks_for_sockets(expression.part)
    return isinstance(expression, Autobound) or (
        isinstance(expression, Between) and expression.number is not Number.UID
    )
