"""Clients of the agent: honest ones, and those that are not."""

import socket
import time
from http.client import HTTPConnection
from typing import NamedTuple

Address = tuple[str, int]


class Fetched(NamedTuple):
    """An answer, and how long it took."""

    status: int
    body: bytes
    seconds: float


def fetch(address: Address, target: str = "/metrics", **headers: str) -> Fetched:
    """Ask as Prometheus does."""
    started = time.monotonic()
    connection = HTTPConnection(*address, timeout=30)
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        return Fetched(response.status, response.read(), time.monotonic() - started)
    finally:
        connection.close()


def send(address: Address, data: bytes, *, buffer_bytes: int | None = None) -> socket.socket:
    """A connection on which `data` has been sent, and nothing read; `buffer_bytes` is what its kernel takes for it."""
    client = socket.socket()
    if buffer_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    client.settimeout(30)
    client.connect(address)
    client.sendall(data)
    return client


def read_to_end(client: socket.socket) -> bytes:
    """All that comes until the other side has enough of it; a reset is an end, too."""
    chunks = []
    try:
        while chunk := client.recv(1 << 16):
            chunks.append(chunk)
    except ConnectionResetError:
        pass
    return b"".join(chunks)
