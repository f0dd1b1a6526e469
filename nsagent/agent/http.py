"""The server of the endpoints: many clients, none of which costs the others anything.

waitress reads requests and sends answers in one thread, without waiting for anybody; threads of its own make
the answers. Added to it here is who has to go: a client that does not get its request out, or its answer
in, in time, and the oldest of these where there are too many. A connection is for one request, but that of a user who
is known may be for many, one after the other: who asks often need not connect each time.
"""

import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask
from waitress.wasyncore import poll2

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


class ServerLimits(NamedTuple):
    """What clients may take of a server."""

    connections: int = 256
    workers: int = 4
    """Requests at work at a time."""
    header_bytes: int = 8192
    """Of a request line and its headers."""
    patience_seconds: float = 5.0
    """From the accept until the request is there, and so long again for an answer that nobody takes."""
    least_bytes_per_second: int = 1 << 20
    """An answer that is taken as fast as this may take any time."""


_LIMITS: Final = ServerLimits()

_ACCEPTS_PER_TURN: Final = 256
_TURN_SECONDS: Final = 0.25
"""How often clients are judged, while there are any."""

_IDLE_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 1.0
"""No accepts after one that failed: without fds left it would fail again and again."""

_BUFFERED_BYTES: Final = 256 << 10
"""Of one answer that is made while it is read; whoever makes it then waits."""

_SEND_BYTES: Final = 64 << 10
"""What the kernel, which doubles it, may hold for a client: left to itself it holds megabytes."""

_NEVER: Final = 1 << 40
"""Bytes beyond which waitress would go on in a file of /tmp."""

_FDS: Final = 3
"""A pipe, and a copy of an end of it."""

_END_SECONDS: Final = 0.7
"""How long answers that are being made may go on at the end."""


class Server:
    """An application that is served at a listener, in threads of its own, until it is closed."""

    def __init__(
        self,
        application: "WSGIApplication",
        listener: socket.socket,
        *,
        clock: Callable[[], float],
        limits: ServerLimits = _LIMITS,
        uids: frozenset[int] | None = None,
    ) -> None:
        """`uids` are the users whose processes may connect, None for all: a unix socket tells them (SO_PEERCRED).

        Raises OSError and RuntimeError where no fds or no threads are to be had; the listener stays open then.
        """
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # A line for each client that waits.
        _check_fds(listener)
        self._dispatcher = ThreadedTaskDispatcher()
        self._server = _Waitress(application, listener, self._dispatcher, clock, limits, uids)
        self._thread = threading.Thread(target=self._server.serve, name="http", daemon=True)
        try:
            self._dispatcher.set_thread_count(limits.workers)
            self._thread.start()
        except BaseException:
            self._end_workers()
            raise

    def close(self) -> None:
        """End within a second: no client is served any more, and the listener is closed."""
        self._server.end()
        self._thread.join()
        self._end_workers()

    def _end_workers(self) -> None:
        self._dispatcher.shutdown(timeout=_END_SECONDS)  # type: ignore[arg-type]
        if not self._dispatcher.threads:
            self._server.trigger.close()  # type: ignore[attr-defined]


class _Task(WSGITask):
    """A request that ends its connection, unless another one may come by it."""

    channel: "_Channel"

    def start(self) -> None:
        super().start()
        if not self.channel.server.keeps_open:
            self.set_close_on_finish()


class _Channel(HTTPChannel):
    """A client, and how long it has been waited for."""

    task_class = _Task
    server: "_Waitress"

    def __init__(self, server: "_Waitress", *arguments: Any, **named: Any) -> None:
        super().__init__(server, *arguments, **named)
        self._judged_seconds = server.clock()
        self._asking_seconds = self._taking_seconds = 0.0
        self._sent_bytes = 0
        self._was_answered = False

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent: int = super().send(data, do_close=do_close)
        self._sent_bytes += sent
        return sent

    @property
    def is_reading(self) -> bool:
        """Whether its request is not there yet."""
        return not (self.requests or self.total_outbufs_len or self.close_when_flushed)

    def is_too_slow(self, now: float, limits: ServerLimits) -> bool:
        """Judge the time since the last judgement: the client's, if a request or the taking of an answer is lacking.

        A turn that came late did not read and send either: more than two turns are nobody's.
        """
        passed = min(now - self._judged_seconds, 2 * _TURN_SECONDS)
        self._judged_seconds = now
        if self.is_reading and self.request is None and (self._sent_bytes or self._was_answered):
            # Between two requests: the next one is judged anew, however long it is in coming.
            self._asking_seconds = self._taking_seconds = 0.0
            self._sent_bytes, self._was_answered = 0, True
        elif self.is_reading:
            self._asking_seconds += passed
        elif self.total_outbufs_len:
            self._taking_seconds += passed
        allowed = limits.patience_seconds + self._sent_bytes / limits.least_bytes_per_second
        return self._asking_seconds > limits.patience_seconds or self._taking_seconds > allowed


class _Waitress(BaseWSGIServer):
    """waitress at a listener that is there already."""

    channel_class = _Channel
    active_channels: dict[int, _Channel]  # type: ignore[assignment]

    def __init__(
        self,
        application: "WSGIApplication",
        listener: socket.socket,
        dispatcher: ThreadedTaskDispatcher,
        clock: Callable[[], float],
        limits: ServerLimits,
        uids: frozenset[int] | None,
    ) -> None:
        self.clock = clock
        self.keeps_open = uids is not None
        self._listener = listener
        self._limits = limits
        self._uids = uids
        self._ending = False
        self._surplus = 0
        self._next_judgement = self._accept_from = clock()
        self._clients: dict[int, Any] = {}
        adjustments = Adjustments(
            sockets=[listener],
            ident="nsagent",
            max_request_header_size=limits.header_bytes,
            max_request_body_size=1,
            inbuf_overflow=_NEVER,
            outbuf_overflow=_NEVER,
            outbuf_high_watermark=_BUFFERED_BYTES,
            log_socket_errors=False,
            clear_untrusted_proxy_headers=True,
        )
        where = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(application, self._clients, True, listener, dispatcher, adjustments, where, bind_socket=False)

    def getsockname(self) -> tuple[str, str]:
        return ("localhost", "0")  # Only for SERVER_PORT, which nobody reads.

    def serve(self) -> None:
        """Serve until `end`, which another thread calls; the trigger stays, for a worker may pull it still."""
        while not self._ending:
            busy = self.active_channels or self.clock() < self._accept_from
            poll2(_TURN_SECONDS if busy else _IDLE_SECONDS, self._clients)
            # Never within a turn: an fd that was closed may be another client's by the time its event is looked at.
            self._let_go()
        for channel in list(self.active_channels.values()):
            channel.handle_close()
        self.del_channel(self._clients)
        self._listener.close()

    def end(self) -> None:
        self._ending = True
        self.pull_trigger()

    def readable(self) -> bool:
        return self.clock() >= self._accept_from

    def handle_accept(self) -> None:
        """Take who waits there. A flood of clients is taken by the hundred: the honest one stands among them."""
        for turn in range(_ACCEPTS_PER_TURN):
            try:
                client, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                # EMFILE, which comes also where nobody waits any more, or gone again. Only the first one is
                # surely waited for: where fds are short, somebody else has to go.
                if not turn:
                    self._accept_from = self.clock() + _PAUSE_SECONDS
                    self._surplus = 1
                return
            if self._uids is None or read_peer_uid(client) in self._uids:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
                _Channel(self, client, address or ("localhost", None), self.adj, map=self._clients)
            else:
                client.close()

    def _let_go(self) -> None:
        """Close the clients that are too slow, and of too many the oldest, those first that ask still."""
        now = self.clock()
        if now >= self._next_judgement:
            self._next_judgement = now + _TURN_SECONDS
            for channel in list(self.active_channels.values()):
                if channel.is_too_slow(now, self._limits):
                    channel.handle_close()
        surplus = max(self._surplus, len(self.active_channels) - self._limits.connections)
        self._surplus = 0
        if surplus > 0:
            for channel in sorted(self.active_channels.values(), key=lambda each: not each.is_reading)[:surplus]:
                channel.handle_close()


def _check_fds(listener: socket.socket) -> None:
    """Raises OSError where fewer fds are to be had than waitress needs, of which it would leave the first ones open."""
    with ExitStack() as spare:
        for _ in range(_FDS):
            spare.enter_context(listener.dup())


def read_peer_uid(client: socket.socket) -> int:
    """The user whose process has connected, as the kernel noted at that moment; unix(7), SO_PEERCRED."""
    form = struct.Struct("3i")  # struct ucred: pid, uid, gid
    uid: int = form.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size))[1]
    return uid


def own_uids() -> frozenset[int]:
    """Those that may ask for everything: root, and the user that the agent runs as."""
    return frozenset((0, os.geteuid()))
