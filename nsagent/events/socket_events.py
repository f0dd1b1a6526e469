"""Sockets as they die: whose they were, by what the last passes know of them; and flows that pass through a host.

What waits, waits in the kernel: a reader that is slow loses events, which is seen and counted, and costs no memory.
Which netns an id of the kernel means is asked while a pass holds it open (see_netns), and known until it is gone: no
netns is kept. What opens and what changes passes alone tell (scan.diff).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, Self

from nsagent.errors import EventsUnavailable, FormatError, NotRead
from nsagent.events.flows import has_socket, make_flow_row
from nsagent.events.known_sockets import MOST_SOCKETS, KnownSockets, ListLodgers, Owned, Seen, list_nobody, own_nobody
from nsagent.events.losses import Losses
from nsagent.events.netns_by_id import NetnsById
from nsagent.events.waiter import Waiter
from nsagent.kernel.conntrack_events import FlowBatch, Tracked
from nsagent.kernel.destroy_events import Ended, EndedBatch
from nsagent.kernel.netns import read_netns_id
from nsagent.kernel.netns_id_events import IdNotices
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.socket_notices import open_socket_notices
from nsagent.model.change import UNKNOWN_NETNS, ChangeKind
from nsagent.model.net import SocketState, TcpInfo
from nsagent.model.snapshot import Snapshot
from nsagent.model.socket_event import FinalTcp, SocketEvent, SocketEventKind, SocketEventSource
from nsagent.query.own_addresses import OwnAddresses
from nsagent.query.reach import Reach
from nsagent.scan.attribute import format_time
from nsagent.scan.diff import is_listener
from nsagent.scan.telling import list_holders


class Source(Protocol):
    """What tells of sockets that die, as kernel.socket_notices.SocketNotices does."""

    home: int
    limit: EventsUnavailable | None
    flows_failure: EventsUnavailable | None

    def filenos(self) -> tuple[int, ...]:
        """The fds one of which can be read from when something waits."""
        ...

    def read(self) -> EndedBatch:
        """What waits."""
        ...

    def read_flows(self) -> FlowBatch:
        """What waits of flows."""
        ...

    def read_ids(self) -> IdNotices:
        """What waits of netns that get, or leave, ids."""
        ...

    def give_nsid(self, netns_fd: int) -> int | None:
        """By which id it tells of a netns; None of `home`."""
        ...

    def close(self) -> None:
        """Tell no more."""
        ...


class _Place(NamedTuple):
    """A netns of the last snapshot."""

    seen: Seen
    number: int


class SocketEvents:
    """Events of kind close, and of flows of kind open; a context manager, and an iterator. It has no thread of its own.

    Any number of threads may use it at once; each event goes to one of them. Bring it to each pass, as `netns_met` of
    scan.collect.carried.Carried, and have it learn what that gave.
    """

    def __init__(
        self,
        *,
        proc_root: str = "/proc",
        connect: Callable[[ProcFs], Source] = open_socket_notices,
        clock: Callable[[], float] = time.monotonic,
        wall_clock_ns: Callable[[], int] = time.time_ns,
        most_sockets: int = MOST_SOCKETS,
        list_lodgers: ListLodgers = list_nobody,
    ) -> None:
        """`connect` raises EventsUnavailable where it cannot, and this where no fds are to be had.

        `clock` is monotonic, in seconds. Of each pass `most_sockets` are kept. `list_lodgers` tells who lives where
        between passes, too; it is asked by any thread: what no pass saw is charged to who lives alone in its netns
        only if nobody else did lately.
        """
        self._clock, self._wall_clock_ns = clock, wall_clock_ns
        self.failure: EventsUnavailable | None = None
        """Why the kernel tells nothing; None if it does."""
        self._source: Source | None = None
        try:
            self._source = connect(ProcFs(proc_root))
        except EventsUnavailable as err:
            self.failure = err
        self.limit = self._source.limit if self._source else None
        """Why it tells of no other netns than that in which it listens; None if it does."""
        self.flows_failure = self._source.flows_failure if self._source else self.failure
        """Why it tells of no flows, though they were asked for of `connect`."""
        self._lock = threading.RLock()
        """Guards all that follows; not held while anybody waits."""
        self._ids: NetnsById[_Place] = NetnsById()
        self._home: _Place | None = None
        self._addresses: tuple[OwnAddresses, Reach] | None = None
        self._known = KnownSockets(most_sockets, list_lodgers)
        self._ready: deque[SocketEvent] = deque()
        self._unnamed = 0
        self.unheard = 0
        """How many netns that the last pass met have no id, and could be given none: nothing is heard of them."""
        self.losses = Losses()
        try:
            self._waiter = Waiter(self._source.filenos() if self._source else ())
        except EventsUnavailable:
            if self._source is not None:
                self._source.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[SocketEvent]:
        return self

    def __next__(self) -> SocketEvent:
        event = self.take()
        if event is None:
            raise StopIteration
        return event

    def fileno(self) -> int:
        """An fd that can be read from when events may wait in the kernel, or this is closed."""
        return self._waiter.fileno()

    def see_netns(self, netns_fd: int) -> None:
        """A netns that a pass has met, and holds open. Takes 20 us."""
        with self._lock:
            if self._source is None or self.limit is not None:
                return
            try:
                self._read_ids(self._source)
                nsid = self._source.give_nsid(netns_fd)
                if nsid is not None:
                    self._ids.meet(nsid, read_netns_id(netns_fd).inode)
            except (NotRead, FormatError):
                self._unnamed += 1

    def learn(self, snapshot: Snapshot) -> None:
        """Know what a pass has seen that was brought this; of sockets that have died since, what the one before saw."""
        with self._lock:
            if self._source is None:
                return
            self._read_ids(self._source)
            seen = self._known.learn(snapshot, self._clock())
            places = {one.inode: _Place(seen, one.number) for one in snapshot.netns if one.inode is not None}
            self._ids.learn(places)
            self._home = places.get(self._source.home)
            own = OwnAddresses(snapshot.netns)
            self._addresses = own, Reach(snapshot.netns, own)
            self.unheard, self._unnamed = self._unnamed, 0

    @property
    def left_out(self) -> int:
        """How many sockets of the last pass are more than are kept: by their netns alone it is told whose they were."""
        return self._known.left_out

    def read(self) -> tuple[SocketEvent, ...]:
        """The events that wait, at most 4096 of them; never waits itself. Raises NotRead. Takes 30 us an event."""
        with self._lock:
            if not self._ready:
                self._advance()
            events = tuple(self._ready)
            self._ready.clear()
            return events

    def take(self, seconds: float | None = None) -> SocketEvent | None:
        """The next event; None if none comes in this time, or once this is closed. Raises NotRead."""
        until = None if seconds is None else self._clock() + seconds
        while True:
            with self._lock:
                drained = bool(self._ready) or self._advance()
                if self._ready:
                    return self._ready.popleft()
            left = None if until is None else max(until - self._clock(), 0.0)
            if left == 0.0 or (drained and not self._waiter.wait(left)):
                return None

    def close(self) -> None:
        """Hear no more; who waits for an event is told that there is none."""
        with self._lock:
            source, self._source = self._source, None
            self._ready.clear()
            self._waiter.close()
            if source is not None:
                source.close()

    def _advance(self) -> bool:
        """Read one batch; whether nothing is left."""
        while self._source is not None:
            drained = self._read_batch(self._source)
            # An id that is free means another netns once all is read that was told by it.
            if not drained or self._ready or not self._ids.has_left:
                return drained
        return True

    def _read_batch(self, source: Source) -> bool:
        self._ids.begin()
        batch, flows = source.read(), source.read_flows()
        self._read_ids(source)
        for lost in (batch.lost, flows.lost):
            if lost is not None:
                self.losses = self.losses.plus(Losses(lost.afresh, lost.number))
        at = format_time(self._wall_clock_ns())
        told = (*(self._tell(one, at) for one in batch.ended), *(self._tell_flow(one, at) for one in flows.flows))
        self._ready.extend(event for event in told if event is not None)
        drained = batch.drained and flows.drained
        if drained:
            self._ids.end()
        return drained

    def _read_ids(self, source: Source) -> None:
        notices = source.read_ids()
        if notices.lost:
            self._ids.lose()
        for nsid, given in notices.ids:
            if given:
                self._ids.give(nsid)
            else:
                self._ids.free(nsid)

    def _tell(self, ended: Ended, at: str) -> SocketEvent | None:
        """The event; None of a socket that never had an end, which no table shows."""
        known = self._known.take(ended.socket.row.cookie)
        if known is not None:
            owned, lifetime = known.tell(), self._clock() - known.since
        elif ended.socket.row.local.port:
            owned, lifetime = self._own_dead(ended), None
        else:
            return None
        socket = owned.socket
        kind = ChangeKind.LISTENER_GONE if known and is_listener(socket.row) else ChangeKind.CLOSED
        return SocketEvent(
            kind=SocketEventKind.CLOSE,
            change=owned.telling.tell(at, kind, socket, list_holders(socket)),
            source=SocketEventSource.DESTROY,
            owner_source=owned.source,
            final=None if socket.row.state is SocketState.LISTEN else _sum_up(ended.socket.tcp_info),
            lifetime_seconds=lifetime,
        )

    def _own_dead(self, ended: Ended) -> Owned:
        """Whose a socket was that no pass has seen."""
        place, row = self._find(ended.nsid), ended.socket.row
        return own_nobody(row, UNKNOWN_NETNS, None) if place is None else place.seen.charge(place.number, row)

    def _tell_flow(self, tracked: Tracked, at: str) -> SocketEvent | None:
        """The event of a flow; None of one of which an end is in a netns that a pass has seen: its socket is told."""
        place = self._find(tracked.nsid)
        tracked_in = None if place is None else place.number
        if self._addresses is None or has_socket(tracked.flow, tracked_in, *self._addresses):
            return None
        number, telling = (UNKNOWN_NETNS, None) if place is None else (place.number, place.seen.telling)
        owned = own_nobody(make_flow_row(tracked.flow), number, telling)
        kind, change = SocketEventKind.OPEN, ChangeKind.OPENED
        if tracked.flow.ended:
            kind, change = SocketEventKind.CLOSE, ChangeKind.CLOSED
        told = owned.telling.tell(at, change, owned.socket, ())
        return SocketEvent(kind, told, SocketEventSource.CONNTRACK, owned.source)

    def _find(self, nsid: int | None) -> _Place | None:
        return self._home if nsid is None else self._ids.find(nsid)


def _sum_up(info: TcpInfo | None) -> FinalTcp | None:
    if info is None:
        return None
    acked, sent, again = info.bytes_acked, info.bytes_sent, info.bytes_retransmitted
    # What was acknowledged has the SYN of a client and the FIN in it, what was sent has neither.
    known = None if acked is None or sent is None or again is None else min(acked, sent - again)
    return FinalTcp(known, info.bytes_received, info.rtt_us or None, info.total_retransmits)
