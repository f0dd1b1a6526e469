"""What the engines that are asked over a socket have in common: one question at a time, which can be given up."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from nsagent.errors import FormatError, RuntimeUnavailable
from nsagent.model.container import Container
from nsagent.runtimes.connect import connect, explain, identify, read_owner
from nsagent.runtimes.wire.one_line import one_line


class Question:
    """One question to an engine, which another thread may give up at any moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._abandoned = False

    @contextmanager
    def over(self, connected: socket.socket) -> Iterator[None]:
        """While this lasts the question is put over that socket."""
        with self._lock:
            self._socket = connected
        try:
            self.check_wanted()
            yield
        finally:
            with self._lock:
                self._socket = None

    def abandon(self) -> None:
        """Give it up."""
        with self._lock:
            self._abandoned = True
            if self._socket is not None:
                # Where the engine has hung up already, that ends the call as well.
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def check_wanted(self) -> None:
        """Raise if it was given up: to read a long answer takes seconds."""
        if self._abandoned:
            raise RuntimeUnavailable("nobody waits for its answer any longer")


class SocketSource:
    """One engine behind a unix or TCP socket; `name` says which kind, and is the records' source.

    `base_url` is `unix:///path`, or `tcp://host:port` without TLS. `timeout_seconds` bounds each
    wait for the engine, not their sum: one that sends a byte a second is ended by `abandon`, which
    Engines calls. `named`: somebody asked for this engine, it was not just found. `version` is what
    the engine called itself in its last answer, None until then.
    """

    def __init__(self, base_url: str, timeout_seconds: float, name: str, *, named: bool = True) -> None:
        self.base_url = base_url
        self.timeout_seconds = timeout_seconds
        self.name = name
        self.named = named
        self.subject = f"{name} ({base_url})"
        self.version: str | None = None
        self._question: Question | None = None

    def identify(self) -> object | None:
        """What tells this engine from one started anew at the same address; None where nothing does."""
        return identify(self.base_url)

    def read_owner(self) -> int | None:
        """The uid that the socket belongs to; None without one."""
        return read_owner(self.base_url)

    def list_containers(self) -> tuple[Container, ...]:
        """What the engine lists; one call at a time. Raises RuntimeUnavailable with one line."""
        # Its own: one that was given up may still be at its end when the next begins.
        question = self._question = Question()
        try:
            return self._ask(question)
        except (OSError, ValueError) as err:
            raise RuntimeUnavailable(explain(err, self.timeout_seconds)) from err
        except FormatError as err:
            raise RuntimeUnavailable(f"no valid answer: {one_line(str(err))}") from err

    def abandon(self) -> None:
        """End the call of `list_containers` that another thread is in, if any: it fails at once."""
        if self._question is not None:
            self._question.abandon()

    def _ask(self, question: Question) -> tuple[Container, ...]:
        """The containers; raises OSError, ValueError, FormatError and RuntimeUnavailable."""
        raise NotImplementedError

    @contextmanager
    def _connected(self, question: Question) -> Iterator[socket.socket]:
        """A new connection, over which the question is put."""
        with connect(self.base_url, self.timeout_seconds) as connected, question.over(connected):
            yield connected
