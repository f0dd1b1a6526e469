"""Docker's events, which podman's socket tells too: whether the list of containers may have changed.

Source: https://docs.docker.com/reference/api/runtime/ (SystemEvents); in moby daemon/monitor.go,
daemon/events and api/server/router/system. What an event says of a container is not used: it makes
the last list stale, so that a lost or odd one costs a question and never a wrong name. The stream
ends without a word when the daemon restarts; while the daemon hangs it is silent.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, cast

from nsagent.errors import FormatError, Reason, RuntimeUnavailable
from nsagent.model.container import Container
from nsagent.runtimes.connect import DOCKER_PORT, DOCKER_TLS_PORT, connect, hang_up, translate

SETTLE_SECONDS = 1.0
"""How long a list has to be asked for after the last change to be kept.

Docker sends the head of the stream just before it subscribes to the events, and older ones tell
that a container died just before they take it off the list.
"""

MAX_AGE_SECONDS = 60.0
"""How long a list is kept at most: Docker drops events for a reader that is too slow."""

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_REFUSED_PAUSE_SECONDS = 60.0
# It answers, but has no such stream, or is no runtime at all: that will hardly change.
_LASTING = (Reason.REJECTED, Reason.NOT_SERVED)
_EVENT_BYTES = 1024 * 1024
# A health check makes four of these, and none changes what a list says.
_HARMLESS = ("exec_", "health_status", "attach", "detach", "top", "resize", "archive-path", "extract-to-dir", "export")


class Mark(NamedTuple):
    """When a list was asked for: the number of changes until then, and the clock."""

    changes: int
    seconds: float


class EventSplitter:
    """The bytes of a stream of events, in any pieces -> whether the list may have changed. Pure."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> bool:
        """Whether anything in it may be a change; raises FormatError for an event of over 1 MiB.

        The beginning of an event counts as a change until the rest of it is there, and all that is
        no event does, so that nothing hinges on how the daemon separates them.
        """
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > _EVENT_BYTES:
            raise FormatError(f"an event of at most {_EVENT_BYTES} bytes", bytes(self._rest[:80]))
        return bool(self._rest) or not all(map(_is_harmless, lines))


class EventFollower:
    """Reads the events of one runtime in a thread of its own, and keeps the last list while none came.

    A list is kept only if nothing changed since before it was asked for, on a stream that was there
    all the time. `clock` is monotonic, in seconds.
    """

    def __init__(
        self, base_url: str, timeout_seconds: float, *, tls: Mapping[str, str], clock: Callable[[], float]
    ) -> None:
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._tls = tls
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._socket: socket.socket | None = None
        self._connected = False
        self._changes = 0
        self._changed_at = 0.0
        self._kept: tuple[tuple[Container, ...], Mark] | None = None
        self._trouble: str | None = "not connected yet"
        self._thread = threading.Thread(target=self._run, name=f"events of {base_url}", daemon=True)

    @property
    def trouble(self) -> str | None:
        """Why no events are being read, in one line; None while they are."""
        return self._trouble

    def start(self) -> None:
        """Begin to read; once. Without a thread (EAGAIN of clone(2)) every list is asked for."""
        try:
            self._thread.start()
        except RuntimeError as err:
            self._trouble = f"no thread can be started: {err}"

    def stop(self) -> None:
        """End the thread, without waiting for it."""
        self._stopped.set()
        with self._lock:
            if self._socket is not None:
                hang_up(self._socket)

    def find_fresh(self) -> tuple[Container, ...] | None:
        """The list as it must still be; None if it has to be asked for."""
        with self._lock:
            if self._kept is None or not self._connected:
                return None
            containers, mark = self._kept
            is_fresh = mark.changes == self._changes and self._clock() - mark.seconds <= MAX_AGE_SECONDS
            return containers if is_fresh and not self._has_unread() else None

    def mark(self) -> Mark:
        """The moment before a list is asked for, to be given to `keep` with the answer."""
        with self._lock:
            return Mark(self._changes, self._clock())

    def keep(self, containers: tuple[Container, ...], mark: Mark) -> None:
        """Keep a list that was asked for after `mark`, if nothing can have changed since."""
        with self._lock:
            has_settled = mark.seconds - self._changed_at >= SETTLE_SECONDS
            if self._connected and has_settled and mark.changes == self._changes:
                self._kept = containers, mark

    def _run(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._stopped.is_set():
            began = self._clock()
            try:
                self._follow_stream()
                self._trouble = "the engine ended the stream"
            except (OSError, ValueError, FormatError, RuntimeUnavailable) as err:
                failure = translate(err, self._timeout_seconds)
                self._trouble = str(failure)
                if failure.reason in _LASTING:
                    pause_seconds = _REFUSED_PAUSE_SECONDS
            if self._lose_stream() and self._clock() - began > _LONGEST_PAUSE_SECONDS:
                pause_seconds = _FIRST_PAUSE_SECONDS
            self._stopped.wait(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _follow_stream(self) -> None:
        """Read one stream until it ends."""
        default_port = DOCKER_TLS_PORT if self._tls else DOCKER_PORT
        with connect(self._base_url, self._timeout_seconds, default_port) as connected:
            with self._lock:
                if self._stopped.is_set():
                    return
                self._socket = connected
            # For _has_unread; the client waits by itself.
            connected.settimeout(None)
            from nsagent.runtimes.docker_client import open_client

            with open_client(connected, self._base_url, self._timeout_seconds, self._tls) as client:
                # They have no timeout: a daemon that hangs tells nothing, and nothing changes in it.
                pieces = cast("Iterator[bytes]", client.events(filters={"type": "container"}))
                splitter = EventSplitter()
                self._trouble = None
                self._record_change(is_connected=True)
                for piece in pieces:
                    if splitter.feed(piece):
                        self._record_change(is_connected=True)

    def _has_unread(self) -> bool:
        """Whether the runtime has said something that the thread had no time to read, or has hung up."""
        if self._socket is None:
            return True
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _record_change(self, *, is_connected: bool) -> None:
        """What was asked for until now is stale."""
        with self._lock:
            self._connected = is_connected
            self._changes += 1
            self._changed_at = self._clock()
            self._kept = None

    def _lose_stream(self) -> bool:
        """Whether there was a stream, which is over."""
        had_stream = self._connected
        self._record_change(is_connected=False)
        with self._lock:
            self._socket = None
        return had_stream


def _is_harmless(line: bytes) -> bool:
    """Whether a line is known to leave the list as it is."""
    if not line.strip():
        return True
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return False
    action = event.get("Action") if isinstance(event, dict) else None
    return isinstance(action, str) and action.startswith(_HARMLESS)
