"""A real receiver of POST requests on a real port, that behaves as a test tells it to."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread
from typing import Any, NamedTuple

from nsagent.agent.outputs.http_post import TlsSocket

SECONDS = 30.0
"""For what should come at once."""


class Posted(NamedTuple):
    """One request, whole."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """What it was sent, and how it answers; `behave` is called with the handler of each whole request."""

    def __init__(self) -> None:
        self.url = ""
        self.behave: Behaviour = answer(204)
        self._changed = Condition()
        self._posted: list[Posted] = []

    def add(self, posted: Posted) -> None:
        with self._changed:
            self._posted.append(posted)
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[Posted]:
        """All that has come, once it is as many as that."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._posted) >= count, SECONDS), f"only {len(self._posted)}"
            return list(self._posted)


Behaviour = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """An ordinary answer; of a header's name `_` stands for `-`."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other, and the last one from then on."""
    left = list(behaviours)

    def behave(handler: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return behave


@contextmanager
def receiving(behave: Behaviour | None = None, *, certificates: Path | None = None) -> Iterator[Receiver]:
    """A receiver, with TLS if there are certificates (`cert.pem`, `key.pem`)."""
    receiver = Receiver()
    receiver.behave = behave or receiver.behave

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # Its sender was killed meanwhile: this is no request.
                self.close_connection = True
                return
            receiver.add(Posted(self.path, dict(self.headers), body))
            with suppress(OSError):
                receiver.behave(self)

        def log_message(self, *_: Any) -> None:
            """Nowhere."""

    context: ssl.SSLContext | None = None
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslsocket_class = TlsSocket
        context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, Any]:
            request, address = self.socket.accept()
            if context is not None:
                request = context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
            return request, address

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Who was asked hung up, or did not believe the certificate."""

    server = Server(("127.0.0.1", 0), Handler)
    server.block_on_close = False
    receiver.url = f"{'http' if certificates is None else 'https'}://127.0.0.1:{server.server_port}/reports"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(SECONDS)
