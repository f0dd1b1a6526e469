"""gRPC calls that fail: each says why, in one line, and is an error of the right kind."""

import socket
from pathlib import Path

import pytest

from nsagent.errors import FormatError, NotServed, RuntimeUnavailable
from nsagent.runtimes.connect import connect
from nsagent.runtimes.wire.grpc import call_unary
from tests.runtimes.cri_server import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    TRAILERS,
    UNKNOWN_FRAME,
    WINDOW_UPDATE,
    block,
    frame,
    prefixed,
    speaking,
    writing,
)
from tests.runtimes.engine_server import Behaviour, serve

LIMIT_BYTES = 1024 * 1024


def greeting(data: bytes) -> Behaviour:
    """A peer that does not speak HTTP/2: it waits for something, then writes this."""

    def behave(connected: socket.socket) -> None:
        connected.recv(65536)
        connected.sendall(data)

    return behave


def answering(data: bytes) -> Behaviour:
    """A peer whose answer has this body."""
    return writing(
        frame(HEADERS, END_HEADERS, 1, HEAD),
        frame(DATA, 0, 1, data),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS),
    )


def ending(*trailers: tuple[str, str]) -> Behaviour:
    """A peer whose answer ends with these trailers."""
    return writing(
        frame(HEADERS, END_HEADERS, 1, HEAD),
        frame(DATA, 0, 1, prefixed(b"answer")),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*trailers)),
    )


def heading(*headers: tuple[str, str]) -> Behaviour:
    """A peer whose answer begins with this head, and is whole but for it."""
    return writing(
        frame(HEADERS, END_HEADERS, 1, block(*headers)),
        frame(DATA, 0, 1, prefixed(b"answer")),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS),
    )


def failing(code: object, reason: str) -> Behaviour:
    """A peer that refuses the call at once."""
    return speaking(lambda connection, calls: connection.fail(calls[0].stream_id, code, reason), 1)


FAILURES: dict[str, tuple[Behaviour, type[Exception], str]] = {
    "an unknown service": (
        failing(12, "unknown service test.Service"),
        NotServed,
        "UNIMPLEMENTED: unknown service test.Service",
    ),
    "an engine that is not ready": (
        failing(14, "not ready"),
        RuntimeUnavailable,
        "UNAVAILABLE: not ready",
    ),
    "a reason in several lines of UTF-8": (
        failing(2, "%E2%98%83 a%0Ab %zz %"),
        RuntimeUnavailable,
        "UNKNOWN: \N{SNOWMAN} a b %zz %",
    ),
    "a reason without end": (failing(13, "x" * 9000), RuntimeUnavailable, "INTERNAL: " + "x" * 149 + "…"),
    "a status after a message": (
        ending(("grpc-status", "8"), ("grpc-message", "too much")),
        RuntimeUnavailable,
        "RESOURCE_EXHAUSTED: too much",
    ),
    "a status that is no number": (ending(("grpc-status", "x")), FormatError, "expected a grpc-status of 0 to 16"),
    "a status beyond the last": (ending(("grpc-status", "17")), FormatError, "expected a grpc-status of 0 to 16"),
    "trailers without a status": (ending(("x", "y")), FormatError, "expected a grpc-status, got"),
    "no trailers": (
        writing(
            frame(HEADERS, END_HEADERS, 1, HEAD),
            frame(DATA, END_STREAM, 1, prefixed(b"answer")),
        ),
        FormatError,
        "expected a grpc-status, got",
    ),
    "trailers that end nothing": (
        writing(
            frame(HEADERS, END_HEADERS, 1, HEAD),
            frame(HEADERS, END_HEADERS, 1, TRAILERS),
        ),
        FormatError,
        "expected trailers at the end",
    ),
    "HTTP 503": (heading((":status", "503")), RuntimeUnavailable, "HTTP 503"),
    "HTTP 404": (heading((":status", "404")), NotServed, "HTTP 404"),
    "no status of HTTP": (heading(("content-type", "application/grpc")), FormatError, "expected a status of HTTP"),
    "a page": (
        heading((":status", "200"), ("content-type", "text/html")),
        FormatError,
        "expected the content-type application/grpc, got b'text/html'",
    ),
    "nothing of any type": (heading((":status", "200")), FormatError, "expected the content-type application/grpc"),
    "success without a message": (failing(0, ""), FormatError, "expected a message that is not compressed"),
    "half a prefix": (answering(b"\0\0\0"), FormatError, "expected a message that is not compressed"),
    "a compressed message": (
        answering(prefixed(b"x", compressed=1)),
        FormatError,
        "expected a message that is not compressed",
    ),
    "less than announced": (
        answering(prefixed(b"x", length=2**32 - 1)),
        FormatError,
        "expected one message of 4294967295 bytes, got '1 bytes'",
    ),
    "more than announced": (answering(prefixed(b"xyz", length=1)), FormatError, "expected one message of 1 bytes"),
    "two messages": (answering(prefixed(b"x") * 2), FormatError, "expected one message of 1 bytes, got '7 bytes'"),
    "more than is allowed": (
        speaking(lambda connection, calls: connection.answer(1, bytes(LIMIT_BYTES - 4)), 1),
        FormatError,
        "expected answers of at most 1048576 bytes",
    ),
    "a message before the head": (
        writing(frame(DATA, 0, 1, prefixed(b"x"))),
        FormatError,
        "expected a body behind its head",
    ),
    "an answer to no call": (
        writing(frame(HEADERS, END_HEADERS, 3, HEAD)),
        FormatError,
        "expected answers to requests",
    ),
    "a pushed answer": (
        writing(frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + HEAD)),
        FormatError,
        "expected answers to requests",
    ),
    "headers that are damaged": (writing(frame(HEADERS, END_HEADERS, 1, b"\xff" * 20)), FormatError, "expected"),
    "headers that are continued for ever": (
        writing(frame(HEADERS, 0, 1, HEAD), frame(CONTINUATION, 0, 1, b"") * 10_000),
        FormatError,
        "expected a header block",
    ),
    "a frame beyond the size agreed on": (
        writing(frame(DATA, 0, 1, bytes(16385))),
        FormatError,
        "expected a frame of at most 16384 bytes",
    ),
    "a huge frame that does not come": (
        writing(frame(DATA, 0, 1, b"x", length=2**24 - 1)),
        FormatError,
        "expected a frame of at most 16384 bytes, got '16777215'",
    ),
    "a frame that is cut off": (
        writing(frame(HEADERS, END_HEADERS, 1, HEAD)[:-3]),
        RuntimeUnavailable,
        "it hung up before its answer was complete",
    ),
    "hanging up": (writing(), RuntimeUnavailable, "it hung up before its answer was complete"),
    "hanging up in the middle": (
        writing(frame(HEADERS, END_HEADERS, 1, HEAD), frame(DATA, 0, 1, prefixed(b"answer"))),
        RuntimeUnavailable,
        "it hung up before its answer was complete",
    ),
    "a call that is refused": (
        writing(frame(RST_STREAM, 0, 1, b"\0\0\0\7")),
        RuntimeUnavailable,
        "it ended the call with HTTP/2 error REFUSED_STREAM",
    ),
    "a connection that is ended": (
        writing(frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x0bcalm down")),
        RuntimeUnavailable,
        "it ended the connection with HTTP/2 error ENHANCE_YOUR_CALM",
    ),
    "a connection that is ended for a reason to come": (
        writing(frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\1\0")),
        RuntimeUnavailable,
        "it ended the connection with HTTP/2 error 256",
    ),
    "windows without end": (
        writing(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 20_000),
        FormatError,
        "frames without end",
    ),
    "empty messages without end": (
        writing(frame(HEADERS, END_HEADERS, 1, HEAD), frame(DATA, 0, 1) * 20_000),
        FormatError,
        "frames without end",
    ),
    "settings without end": (writing(frame(SETTINGS, 0, 0) * 20_000), FormatError, "frames without end"),
    "frames of no kind without end": (
        writing(frame(UNKNOWN_FRAME, 0, 0) * 20_000),
        FormatError,
        "frames without end",
    ),
    "HTTP/1.1": (
        greeting(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
        NotServed,
        "it speaks no gRPC: 'HTTP/1.1 400 Bad Request'",
    ),
    "a banner": (greeting(b"SSH-2.0-OpenSSH_9.2\r\n"), NotServed, "it speaks no gRPC: 'SSH-2.0-OpenSSH_9.2'"),
    "a few bytes": (greeting(b"\x15\x03\1\0\2\2\x46"), NotServed, r"it speaks no gRPC: '\x15\x03\x01\x00\x02\x02F'"),
    "NULs": (greeting(bytes(100_000)), NotServed, "it speaks no gRPC: '\\x00"),
}  # fmt: skip


@pytest.mark.parametrize(("behave", "kind", "reason"), FAILURES.values(), ids=FAILURES.keys())
def test_a_call_that_fails_says_why(tmp_path: Path, behave: Behaviour, kind: type[Exception], reason: str) -> None:
    with serve(tmp_path, behave) as url, connect(url, 2.0) as connected, pytest.raises(kind) as raised:
        call_unary(connected, [("/test.Service/Method", b"")], limit_bytes=LIMIT_BYTES)
    assert type(raised.value) is kind
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300
