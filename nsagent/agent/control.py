"""Where the agent can be asked: HTTP, for those who watch it, and the unix socket, for root of this host."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from nsagent.agent.board import Board
from nsagent.agent.endpoints import Access, ChangeRecord, Endpoints
from nsagent.agent.http import Server, own_uids
from nsagent.agent.listeners import TcpListener, UnixListener, open_tcp, open_unix
from nsagent.agent.metrics import Metrics
from nsagent.agent.token_file import TokenFile
from nsagent.config.model import Http
from nsagent.errors import ServeFailed


class Control(NamedTuple):
    """One place to ask at, until it is closed."""

    server: Server
    listener: TcpListener | UnixListener

    def is_reachable(self) -> bool:
        """Whether who asks comes here: the file of a unix socket may have been taken away, or replaced."""
        return not isinstance(self.listener, UnixListener) or self.listener.is_there()

    def close(self) -> None:
        """End within a second; the file of a unix socket is gone then."""
        self.server.close()
        if isinstance(self.listener, UnixListener):
            self.listener.remove()


@contextmanager
def _beginning(place: str, listener: TcpListener | UnixListener) -> Iterator[None]:
    """Have whoever cannot begin to serve close the listener; raises ServeFailed, for want of fds and of threads too."""
    try:
        yield
    except (OSError, RuntimeError) as err:
        listener.socket.close()
        if isinstance(listener, UnixListener):
            listener.remove()
        raise ServeFailed(f"{place}: cannot be served: {err}") from err


def serve_http(
    http: Http, board: Board, metrics: Metrics, change_record: ChangeRecord, *, clock: Callable[[], float]
) -> Control:
    """Serve HTTP as the config says; raises ServeFailed.

    Without a token /v1 is served on loopback only, and beyond it what tells how the agent fares.
    """
    token = None if http.token_file is None else TokenFile(http.token_file)
    if token is not None:
        token.read()
    listener = open_tcp(http.listen, has_token=token is not None)
    access = Access(listener.host, data=listener.is_loopback, token=token)
    endpoints = Endpoints(board, metrics, access, change_record)
    with _beginning(f"http: {http.listen}", listener):
        return Control(Server(endpoints, listener.socket, clock=clock), listener)


def serve_socket(
    path: str, board: Board, metrics: Metrics, change_record: ChangeRecord, *, clock: Callable[[], float]
) -> Control:
    """Serve the same, and captures, at a unix socket, to root and to the agent's own user; raises ServeFailed."""
    listener = open_unix(path)
    endpoints = Endpoints(board, metrics, Access("localhost", capture=True), change_record)
    with _beginning(f"socket: {path}", listener):
        return Control(Server(endpoints, listener.socket, clock=clock, uids=own_uids()), listener)
