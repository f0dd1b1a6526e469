"""What an engine may do instead of answering; nothing of it tells a name."""

import socket
import struct
import time

from tests.runtimes.engine_server import HEAD, Behaviour, answer, read_request, rows, saying

ID = "a" * 64


def silence(connection: socket.socket) -> None:
    """Take the request and say nothing."""
    read_request(connection)
    connection.recv(1)


def dripping(data: bytes) -> Behaviour:
    """A byte every 50 ms: no wait is long, all together are."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    return behave


def reset(connection: socket.socket) -> None:
    """Hang up with the request unread, which a unix socket reports as ECONNRESET."""
    time.sleep(0.05)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def flood(element: bytes, length: bytes = b"") -> Behaviour:
    """An answer that does not end."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + length + b"\r\n[")
        block = element * (65536 // len(element) + 1)
        while True:
            connection.sendall(block)

    return behave


def flood_of_heads(connection: socket.socket) -> None:
    """Interim answers without end."""
    read_request(connection)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


MISBEHAVIOURS: dict[str, Behaviour] = {
    "silence": silence,
    "hangs up at once": lambda connection: None,
    "hangs up after the request": saying(b""),
    "reset": reset,
    # Longer than any test waits: who still reads has not been ended.
    "a byte at a time, in the head": dripping(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "a byte at a time, in the body": dripping(HEAD + b"\r\n[" + b" " * 100_000),
    "silence after the head": lambda connection: (saying(HEAD + b"Content-Length: 9\r\n\r\n["), silence)[1](connection),
    "HTTP 500": saying(answer(b'{"message": "the daemon is\\nbroken"}', "500 Internal Server Error")),
    "HTTP 500 without end": saying(answer(b"x" * 10_000_000, "500 Internal Server Error")),
    "HTTP 403 of a proxy": saying(answer(b"<html>Forbidden", "403 Forbidden")),
    "HTTP 204": saying(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a redirect": saying(answer(b"", "301 Moved", "Location: http://127.0.0.1:1/\r\n")),
    "no HTTP": saying(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "NULs": saying(b"\0" * 100_000),
    "a head without end": saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000),
    "interim answers without end": flood_of_heads,
    "truncated HTTP": saying(HEAD + b"Content-Length: 1000\r\n\r\n[]"[:-1]),
    "truncated JSON": saying(answer(rows({"Id": ID})[-40:-5])),
    "an empty answer": saying(answer(b"")),
    "JSON of another type": saying(answer(b'{"Id": 1}')),
    "null": saying(answer(b"null")),
    "a list of something else": saying(answer(b'[1, "a", null, [], {}]')),
    "no comma": saying(answer(b'[{"Id": 1} {"Id": 2}]')),
    "not a number": saying(answer(b"[" + b"9" * 10_000 + b"]")),
    "nesting": saying(answer(b"[" * 900_000)),
    "2 GB of blanks": flood(b" ", b"Content-Length: 2147483648\r\n"),
    "2 GB of records": flood(b'{"Id":"%s"},' % ID.encode(), b"Content-Length: 2147483648\r\n"),
    "2 GB of empty lists": flood(b"[],", b"Content-Length: 2147483648\r\n"),
    "one record without end": flood(b"[[],", b"Content-Length: 2147483648\r\n"),
    "compressed": saying(answer(b"\x1f\x8b\x08\x00", headers="Content-Encoding: gzip\r\n")),
    "a length that is no number": saying(HEAD + b"Content-Length: -x\r\n\r\n["),
    "a chunk that is no number": saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n"),
}
