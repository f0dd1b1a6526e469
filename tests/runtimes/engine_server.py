"""An engine on a real unix socket that does with a connection whatever a test wants."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

Behaviour = Callable[[socket.socket], None]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def rows(*containers: object) -> bytes:
    """The answer that lists `containers`."""
    return answer(json.dumps(containers).encode())


def saying(data: bytes) -> Behaviour:
    """Read the request, say `data`, hang up."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(data)

    return behave


def read_request(connection: socket.socket) -> bytes:
    """The request up to the end of its head."""
    request = b""
    while b"\r\n\r\n" not in request:
        chunk = connection.recv(4096)
        if not chunk:
            break
        request += chunk
    return request


@contextlib.contextmanager
def serve(directory: Path, behave: Behaviour, name: str = "engine.sock") -> Iterator[str]:
    """The base URL of an engine that treats each connection like that, in a thread of its own.

    Like a daemon it makes its socket file anew at the start, and leaves it behind at the end.
    """
    path = directory / name
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        open_connections: list[socket.socket] = []

        def treat(connection: socket.socket) -> None:
            # The client may have hung up, or the test may be over.
            with contextlib.suppress(OSError), connection:
                behave(connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    open_connections.append(connection)
                    threading.Thread(target=treat, args=(connection,), daemon=True).start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield f"unix://{path}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(5)
            for connection in open_connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
