"""Unary gRPC calls over a connected unix socket.

Source: the gRPC project's PROTOCOL-HTTP2.md and statuscodes.md. grpclib costs 51 ms of import,
and grpcio's threads are a hazard beside setns(2). What the messages mean does not belong here.

What is at the other end is not trusted to answer, to stop answering, or to speak HTTP/2.
"""

import re
import socket
from collections.abc import Sequence
from typing import Final

from nsagent.errors import FormatError, NotServed, RuntimeUnavailable
from nsagent.runtimes.wire.http2 import ClientConnection, Data, Ended, Event, Headers
from nsagent.runtimes.wire.one_line import one_line

_CHUNK_BYTES: Final = 64 * 1024
_REQUESTS_BYTES: Final = 16 * 1024
_FRAMES: Final = 10_000
_BYTES_PER_FRAME: Final = 1024
_FRAME_HEAD_BYTES: Final = 9
_LINE_BYTES: Final = 80
_SETTINGS_FRAME: Final = 4
_PREFIX_BYTES: Final = 5
_NOT_COMPRESSED: Final = 0
_OK: Final = "OK"
_UNIMPLEMENTED: Final = "UNIMPLEMENTED"
_STATUSES: Final = (
    _OK, "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", _UNIMPLEMENTED,
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_STATUS_OF_CODE: Final = {str(code).encode(): name for code, name in enumerate(_STATUSES)}


def call_unary(connected: socket.socket, calls: Sequence[tuple[str, bytes]], *, limit_bytes: int) -> list[bytes]:
    """The message that answers each of `calls`, in their order; all are sent at once over `connected`.

    A call is a path, as in "/runtime.v1.RuntimeService/Version", and a request message; all of
    them together have at most 16 KiB. The answers together have at most `limit_bytes` (below
    2 GiB). The socket is blocking, new, and of no further use afterwards; the caller closes it.

    Raises RuntimeUnavailable with one line if a call fails or cannot be made, its subclass
    NotServed if the peer has no such service or speaks no HTTP/2, FormatError if it answers
    nonsense or too much, and what recv(2) and send(2) raise, a TimeoutError of each wait included.
    """
    conversation = _Conversation(calls, limit_bytes)
    connected.sendall(conversation.take_output())
    while not conversation.is_complete():
        received = connected.recv(_CHUNK_BYTES)
        if received:
            conversation.receive(received)
            _reply(connected, conversation.take_output())
        else:
            conversation.end()
    return conversation.list_messages()


def _reply(connected: socket.socket, output: bytes) -> None:
    """Acknowledge what was received; a peer that has hung up may have answered before, which is still to be read."""
    try:
        connected.sendall(output)
    except (BrokenPipeError, ConnectionResetError):
        return


class _Conversation:
    """One connection without I/O: what to send, and what the received bytes answer."""

    def __init__(self, calls: Sequence[tuple[str, bytes]], limit_bytes: int) -> None:
        if sum(_PREFIX_BYTES + len(request) for _, request in calls) > _REQUESTS_BYTES:
            # So much is taken by every peer in one frame, and by its first window.
            raise ValueError(f"requests of over {_REQUESTS_BYTES} bytes")
        self._limit_bytes = limit_bytes
        self._body_bytes = 0
        self._head: bytes | None = b""
        self._connection = ClientConnection()
        self._answers: dict[int, _Answer] = {}
        for path, request in calls:
            prefix = bytes([_NOT_COMPRESSED]) + len(request).to_bytes(4, "big")
            self._answers[self._connection.request(_list_headers(path), prefix + request)] = _Answer()

    def take_output(self) -> bytes:
        """What is to be sent next; empty if nothing is."""
        return self._connection.take_output()

    def is_complete(self) -> bool:
        """Whether every call is answered."""
        return all(answer.ended for answer in self._answers.values())

    def list_messages(self) -> list[bytes]:
        """The answers of a conversation that is complete."""
        return [answer.message for answer in self._answers.values()]

    def receive(self, data: bytes) -> None:
        """Take in what was received; raises like call_unary."""
        if self._head is not None:
            data = self._head = self._head + data
            if len(data) < _FRAME_HEAD_BYTES:
                return
            _check_speaks_http2(data)
            self._head = None
        for event in self._connection.receive(data):
            self._take_event(event)
        if self._connection.frames > _FRAMES + self._limit_bytes // _BYTES_PER_FRAME:
            raise FormatError("an answer", "frames without end")

    def end(self) -> None:
        """The peer has hung up before all calls were answered: raises what this means."""
        if self._head:
            _check_speaks_http2(self._head)
        raise RuntimeUnavailable("it hung up before its answer was complete")

    def _take_event(self, event: Event) -> None:
        """One thing that the peer did."""
        if isinstance(event, Headers):
            self._answers[event.stream_id].read_headers(dict(event.headers), first=event.first)
        elif isinstance(event, Data):
            self._body_bytes += event.cost_bytes
            if self._body_bytes > self._limit_bytes:
                raise FormatError(f"answers of at most {self._limit_bytes} bytes", "more")
            self._answers[event.stream_id].body += event.content
        elif isinstance(event, Ended):
            self._answers[event.stream_id].end()
        elif not self.is_complete():
            what = "call" if event.stream_id else "connection"
            raise RuntimeUnavailable(f"it ended the {what} with HTTP/2 error {event.error}")


class _Answer:
    """What has arrived in answer to one call."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.message = b""
        self.ended = False
        self._status: str | None = None
        self._reason = ""

    def read_headers(self, headers: dict[bytes, bytes], *, first: bool) -> None:
        """Take in the headers of the answer or its trailers, which are one where the call failed at once."""
        code = headers.get(b"grpc-status")
        if code is not None:
            self._status = _STATUS_OF_CODE.get(code)
            if self._status is None:
                raise FormatError("a grpc-status of 0 to 16", code)
            self._reason = _decode_reason(headers.get(b"grpc-message", b""))
        elif first and b":status" not in headers:
            raise FormatError("a status of HTTP", "an answer without one")
        elif first:
            status = headers.get(b":status", b"").decode("utf-8", "replace")
            if status != "200":
                # HTTP/2, but no gRPC behind it: statuscodes.md takes 404 for UNIMPLEMENTED.
                raise (NotServed if status == "404" else RuntimeUnavailable)(one_line(f"HTTP {status}"))
            if not headers.get(b"content-type", b"").startswith(b"application/grpc"):
                raise FormatError("the content-type application/grpc", headers.get(b"content-type", b""))

    def end(self) -> None:
        """Nothing more will come; raises if the call failed."""
        if self._status is None:
            raise FormatError("a grpc-status", "an answer without one")
        if self._status != _OK:
            kind = NotServed if self._status == _UNIMPLEMENTED else RuntimeUnavailable
            raise kind(one_line(f"{self._status}: {self._reason}"))
        self.message = self._read_message()
        self.body.clear()
        self.ended = True

    def _read_message(self) -> bytes:
        """The one message that the body is; its prefix says whether it is compressed, and its length."""
        prefix, message = self.body[:_PREFIX_BYTES], bytes(self.body[_PREFIX_BYTES:])
        if len(prefix) < _PREFIX_BYTES or prefix[0] != _NOT_COMPRESSED:
            raise FormatError("a message that is not compressed", bytes(prefix))
        length = int.from_bytes(prefix[1:], "big")
        if length != len(message):
            raise FormatError(f"one message of {length} bytes", f"{len(message)} bytes")
        return message


def _list_headers(path: str) -> list[tuple[str, str]]:
    """The headers of a call; a unix socket has no authority, and engines take any."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "nsagent"),
    ]


def _check_speaks_http2(data: bytes) -> None:
    """Raise NotServed unless `data`, the first bytes received, begins with a SETTINGS frame, as HTTP/2 must."""
    if data[3:4] != bytes([_SETTINGS_FRAME]) or data[5:_FRAME_HEAD_BYTES] != bytes(4):
        line = data[:_LINE_BYTES].partition(b"\r\n")[0].decode("utf-8", "replace")
        raise NotServed(one_line(f"it speaks no gRPC: {line!r}"))


def _decode_reason(escaped: bytes) -> str:
    """A grpc-message, whose bytes outside of ASCII are percent-encoded UTF-8."""
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), escaped).decode("utf-8", "replace")
