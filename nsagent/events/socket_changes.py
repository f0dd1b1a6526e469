"""Events of sockets by what differs between one pass and the next. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from nsagent.model.change import Change, ChangeKind
from nsagent.model.ids import SocketCookie
from nsagent.model.socket_event import OwnerSource, SocketEvent, SocketEventKind, SocketEventSource

_KINDS: Final = {
    ChangeKind.OPENED: SocketEventKind.OPEN,
    ChangeKind.NEW_LISTENER: SocketEventKind.OPEN,
    ChangeKind.CLOSED: SocketEventKind.CLOSE,
    ChangeKind.LISTENER_GONE: SocketEventKind.CLOSE,
    ChangeKind.HOLDER_CHANGED: SocketEventKind.CHANGE,
    ChangeKind.STATE_CHANGED: SocketEventKind.CHANGE,
}
"""The other kinds tell of no socket, or of one of which another change tells."""

_MOST_TOLD: Final = 100_000


class SocketChanges:
    """Makes events of the changes of one pass after the other; of a socket whose end was told nothing more is."""

    def __init__(self) -> None:
        self._told: deque[SocketCookie] = deque(maxlen=_MOST_TOLD)
        self._of_pass = 0
        """How many of the last ones were told since the last pass."""

    def note(self, event: SocketEvent) -> None:
        """Remember an end that the kernel told of, until passes that may have met the socket are compared."""
        socket = event.change.socket
        if event.kind is SocketEventKind.CLOSE and socket is not None and socket.cookie is not None:
            self._told.append(socket.cookie)
            self._of_pass += 1

    def tell(self, changes: Iterable[Change]) -> Iterator[SocketEvent]:
        """The events of the changes between the last pass and this one."""
        told = set(self._told)
        while len(self._told) > self._of_pass:
            self._told.popleft()
        self._of_pass = 0
        for change in changes:
            kind = _KINDS.get(change.kind)
            if kind is None or change.socket is None:
                continue
            if change.socket.cookie in told:
                continue
            known = change.socket.holders or change.container_id is not None or change.pod is not None
            owner_source = OwnerSource.SNAPSHOT if known else OwnerSource.NONE
            yield SocketEvent(kind, change, SocketEventSource.DIFF, owner_source)
