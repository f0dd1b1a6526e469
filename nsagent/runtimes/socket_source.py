"""What the runtimes that are asked over a socket have in common: one question at a time, which can be given up."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from nsagent.errors import FormatError, RuntimeUnavailable
from nsagent.model.container import Container
from nsagent.model.ids import Pid
from nsagent.runtimes.connect import DOCKER_PORT, Peer, connect, hang_up, identify, read_owner, read_peer, translate


class Question:
    """One question to a runtime, which another thread may give up at any moment."""

    def __init__(self) -> None:
        self._connected: socket.socket | None = None
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None
        self._abandoned = False

    def keep(self, connected: socket.socket) -> None:
        """Keep the connection until the question is put."""
        self._connected = connected

    def take(self) -> socket.socket | None:
        """The connection, if one waits for it."""
        connected, self._connected = self._connected, None
        return connected

    def close(self) -> None:
        """Close the connection, if the question was never put."""
        if (connected := self.take()) is not None:
            connected.close()

    @contextmanager
    def ended_by(self, end: Callable[[], None]) -> Iterator[None]:
        """While this lasts `end` ends it, called from another thread. Raises RuntimeUnavailable if it was given up."""
        with self._lock:
            outer, self._end = self._end, end
        try:
            self.check_wanted()
            yield
        finally:
            with self._lock:
                self._end = outer

    def abandon(self) -> None:
        """Give it up."""
        with self._lock:
            self._abandoned = True
            if self._end is not None:
                self._end()

    def check_wanted(self) -> None:
        """Raise if it was given up: to read a long answer takes seconds."""
        if self._abandoned:
            raise RuntimeUnavailable("nobody waits for its answer any longer")


class SocketSource:
    """One runtime behind a unix or TCP socket; `name` says which kind, and is the records' source.

    `base_url` is `unix:///path` or `tcp://host:port`. `timeout_seconds` bounds each wait for the
    runtime, not their sum: one that sends a byte a second is ended by `abandon`, which Runtimes calls.
    `named`: somebody asked for this runtime, it was not just found. `version` is what the runtime
    called itself in its last answer, None until then; `peer` is who listened at its socket then, None over TCP.
    """

    def __init__(self, base_url: str, timeout_seconds: float, name: str, *, named: bool = True) -> None:
        self.base_url = base_url
        self.timeout_seconds = timeout_seconds
        self.name = name
        self.named = named
        self.subject = f"{name} ({base_url})"
        self.version: str | None = None
        self.peer: Peer | None = None
        self._default_port = DOCKER_PORT
        self._question = Question()

    def identify(self) -> object | None:
        """What tells this runtime from one started anew at the same address; None where nothing does."""
        return identify(self.base_url)

    @property
    def peer_pid(self) -> Pid | None:
        """The pid of who listened there when it was asked last."""
        return self.peer.pid if self.peer is not None else None

    def read_owner(self) -> int | None:
        """The uid of who listened there when it was asked last, or, if that was root, of the socket; None over TCP.

        Who may write to the directory of a socket can have the path lead elsewhere at any moment.
        """
        return (self.peer.uid if self.peer is not None else None) or read_owner(self.base_url)

    def prepare(self) -> None:
        """Connect, then load the client: a runtime that is absent costs no import. Raises RuntimeUnavailable."""
        # Its own: one that was given up may still be at its end when the next begins.
        self._question.close()
        question = self._question = Question()
        with self._translated():
            connected = connect(self.base_url, self.timeout_seconds, self._default_port)
            try:
                self.peer = read_peer(connected)
                self._load()
            except BaseException:
                connected.close()
                raise
            question.keep(connected)

    def list_containers(self) -> tuple[Container, ...]:
        """What the runtime lists; one call at a time. Raises RuntimeUnavailable with one line."""
        while (connected := self._question.take()) is None:
            self.prepare()
        question = self._question
        with self._translated(), connected, question.ended_by(partial(hang_up, connected)):
            return self._ask(connected, question)

    def abandon(self) -> None:
        """End the call of `list_containers` that another thread is in, if any: it fails at once."""
        self._question.abandon()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Whatever goes wrong with a runtime is RuntimeUnavailable."""
        try:
            yield
        except RuntimeUnavailable:
            raise
        except (OSError, ValueError, FormatError) as err:
            raise translate(err, self.timeout_seconds) from err

    def _load(self) -> None:
        """Import the client. Raises RuntimeUnavailable if it is not installed."""

    def _ask(self, connected: socket.socket, question: Question) -> tuple[Container, ...]:
        """The containers; raises OSError, ValueError, FormatError and RuntimeUnavailable."""
        raise NotImplementedError
