"""gRPC over a unix socket: calls that are answered, and peers that do not even say why they answer none."""

import random
import socket
from pathlib import Path

import hpack
import pytest

from nsagent.errors import FormatError, RuntimeUnavailable
from nsagent.runtimes.connect import connect
from nsagent.runtimes.wire.grpc import call_unary
from tests.kernel.damage import mutate
from tests.runtimes.cri_server import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    SETTINGS,
    TRAILERS,
    UNKNOWN_FRAME,
    WINDOW_UPDATE,
    Call,
    Connection,
    block,
    frame,
    prefixed,
    speaking,
    writing,
)
from tests.runtimes.engine_server import Behaviour, serve

PATH = "/test.Service/Method"
LIMIT_BYTES = 1024 * 1024


def call(directory: Path, behave: Behaviour, *requests: bytes, limit_bytes: int = LIMIT_BYTES) -> list[bytes]:
    """The answers to calls of one method with these requests."""
    with serve(directory, behave) as url, connect(url, 2.0) as connected:
        return call_unary(connected, [(PATH, request) for request in requests], limit_bytes=limit_bytes)


class TestAnswers:
    """A peer that answers as it should."""

    def test_the_message_that_answers_a_call(self, tmp_path: Path) -> None:
        seen: list[Call] = []

        def answer(connection: Connection, calls: list[Call]) -> None:
            seen.extend(calls)
            connection.answer(calls[0].stream_id, b"answer")

        assert call(tmp_path, speaking(answer, 1), b"request") == [b"answer"]
        (told,) = seen
        assert told.request == prefixed(b"request")
        assert dict(told.headers) == {
            ":method": "POST",
            ":scheme": "http",
            ":path": PATH,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
            "user-agent": "nsagent",
        }

    def test_all_calls_are_made_before_any_is_answered_and_answers_keep_their_order(self, tmp_path: Path) -> None:
        def answer(connection: Connection, calls: list[Call]) -> None:
            for made in reversed(calls):
                connection.answer(made.stream_id, made.request[5:].upper())

        assert call(tmp_path, speaking(answer, 3), b"a", b"b", b"c") == [b"A", b"B", b"C"]

    def test_no_call_has_no_answer(self, tmp_path: Path) -> None:
        assert call(tmp_path, speaking(lambda connection, calls: None, 0)) == []

    @pytest.mark.parametrize("size", [0, 1, 16379, 16384, 70_000, LIMIT_BYTES - 5])
    def test_a_message_of_any_size_up_to_the_limit(self, tmp_path: Path, size: int) -> None:
        """70,000 bytes are more than a peer may send before its window is widened."""
        message = bytes(size)
        answer = speaking(lambda connection, calls: connection.answer(calls[0].stream_id, message), 1)
        assert call(tmp_path, answer, b"") == [message]

    def test_a_message_in_frames_of_one_byte(self, tmp_path: Path) -> None:
        def answer(connection: Connection, calls: list[Call]) -> None:
            connection.begin(calls[0].stream_id)
            connection.send(calls[0].stream_id, prefixed(b"answer"), size=1)
            connection.end(calls[0].stream_id)

        assert call(tmp_path, speaking(answer, 1), b"") == [b"answer"]

    def test_bytes_that_arrive_one_at_a_time(self, tmp_path: Path) -> None:
        answer = (
            frame(HEADERS, END_HEADERS, 1, HEAD),
            frame(DATA, 0, 1, prefixed(b"answer")),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS),
        )

        def drip(connection: Connection, calls: list[Call]) -> None:
            for byte in b"".join(answer):
                connection.socket.sendall(bytes([byte]))

        assert call(tmp_path, speaking(drip, 1), b"") == [b"answer"]

    def test_pings_and_settings_are_acknowledged(self, tmp_path: Path) -> None:
        acknowledged: list[type] = []

        def answer(connection: Connection, calls: list[Call]) -> None:
            connection.http2.ping(b"12345678")
            connection.flush()
            while {"PingAckReceived", "SettingsAcknowledged"} - {kind.__name__ for kind in acknowledged}:
                acknowledged.extend(map(type, connection.http2.receive_data(connection.socket.recv(65536))))
            connection.answer(calls[0].stream_id, b"answer")

        assert call(tmp_path, speaking(answer, 1), b"") == [b"answer"]

    def test_what_else_a_peer_may_say_is_passed_over(self, tmp_path: Path) -> None:
        """Interim answers, padding, priorities, windows, continued headers, frames of kinds to come."""
        answer = writing(
            frame(UNKNOWN_FRAME, 0, 1, b"?"),
            frame(WINDOW_UPDATE, 0, 0, b"\0\0\1\0"),
            frame(HEADERS, END_HEADERS, 1, block((":status", "103"))),
            frame(HEADERS, 0, 1, HEAD[:5]),
            frame(CONTINUATION, END_HEADERS, 1, HEAD[5:]),
            frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"),
            frame(DATA, PADDED, 1, b"\2" + prefixed(b"answer")[:4] + b"\0\0"),
            frame(DATA, PADDED, 1, b"\0" + prefixed(b"answer")[4:]),
            frame(DATA, 0, 1),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS),
        )
        assert call(tmp_path, answer, b"") == [b"answer"]

    def test_a_connection_that_ends_after_the_answer_is_of_no_matter(self, tmp_path: Path) -> None:
        answer = writing(
            frame(HEADERS, END_HEADERS, 1, HEAD),
            frame(DATA, 0, 1, prefixed(b"answer")),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS),
            frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\2"),
        )
        assert call(tmp_path, answer, b"") == [b"answer"]

    def test_an_answer_is_read_to_its_end_though_nobody_reads_what_acknowledges_it(self, tmp_path: Path) -> None:
        """More than one read takes; by the second the peer has hung up, and writing fails with EPIPE."""
        answer = (
            frame(UNKNOWN_FRAME, 0, 0, bytes(16384)) * 5,
            frame(HEADERS, END_HEADERS, 1, HEAD),
            frame(DATA, 0, 1, prefixed(b"answer")),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS),
        )

        def behave(connected: socket.socket) -> None:
            connection = Connection(connected)
            connection.read_calls(1)
            connected.sendall(b"".join(answer))

        assert call(tmp_path, behave, b"") == [b"answer"]


def test_a_peer_that_reads_nothing_is_waited_for_no_longer_than_one_that_says_nothing(tmp_path: Path) -> None:
    """It pings until its own answers fill the socket; both would wait for each other."""
    pings = writing(frame(PING, 0, 0, bytes(8)) * 40_000)
    with serve(tmp_path, pings) as url, connect(url, 0.3) as connected, pytest.raises(TimeoutError):
        call_unary(connected, [(PATH, b"")], limit_bytes=LIMIT_BYTES)


def test_silence_is_waited_for_as_long_as_the_socket_says(tmp_path: Path) -> None:
    def be_silent(connected: socket.socket) -> None:
        while connected.recv(65536):
            continue

    with serve(tmp_path, be_silent) as url, connect(url, 0.2) as connected, pytest.raises(TimeoutError):
        call_unary(connected, [(PATH, b"")], limit_bytes=LIMIT_BYTES)


def test_requests_that_might_not_fit_into_a_window_are_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ValueError, match="requests of over 16384 bytes"):
        call_unary(ours, [(PATH, bytes(8000)), (PATH, bytes(8375))], limit_bytes=LIMIT_BYTES)


def test_a_damaged_answer_is_an_answer_or_a_failure_of_a_known_kind() -> None:
    """Whatever bytes come."""
    random_ = random.Random(4)
    whole = b"".join(
        (
            frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64\0\4\0\1\0\0"),
            frame(WINDOW_UPDATE, 0, 0, b"\0\0\1\0"),
            frame(SETTINGS, 1, 0),
            frame(PING, 0, 0, bytes(8)),
            frame(
                HEADERS,
                END_HEADERS,
                1,
                hpack.Encoder().encode([(":status", "200"), ("content-type", "application/grpc")]),
            ),
            frame(DATA, PADDED, 1, b"\2" + prefixed(b"answer") + b"\0\0"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS),
            frame(GOAWAY, 0, 0, bytes(8)),
        )
    )
    outcomes: set[str] = set()
    for _ in range(600):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(2)
            theirs.sendall(mutate(whole, random_))
            theirs.shutdown(socket.SHUT_WR)
            try:
                outcomes.add(repr(call_unary(ours, [(PATH, b"")], limit_bytes=LIMIT_BYTES)))
            except (RuntimeUnavailable, FormatError) as err:
                outcomes.add(type(err).__name__)
    assert {"[b'answer']", "RuntimeUnavailable", "NotServed", "FormatError"} <= outcomes
