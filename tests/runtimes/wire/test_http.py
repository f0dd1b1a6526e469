"""An answer in HTTP, in any pieces, is what http.client makes of it, or is damage."""

import http.client
import io
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import FormatError, NotServed, RuntimeUnavailable
from nsagent.runtimes.wire.http import Answer, AnswerDecoder, check_answer, parse_head

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

BODIES = st.binary(max_size=60)
HEADERS = st.lists(
    st.sampled_from([b"Server: Docker/20.10.24 (linux)", b"X:", b"x-y: \xff z", b"Date:  a, b "]), max_size=3
)


def decode(data: bytes, size: int) -> tuple[int, dict[str, str], bytes, bool]:
    """Status, headers and body of an answer that arrives `size` bytes at a time, and whether it was complete."""
    decoder = AnswerDecoder()
    body = b""
    for at in range(0, len(data), size):
        if not decoder.complete:
            body += decoder.feed(data[at : at + size])
    if not decoder.complete:
        body += decoder.feed(b"")
    return decoder.status, dict(decoder.headers), body, decoder.complete


class Recorded:
    """What http.client needs of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def read_with_http_client(data: bytes) -> tuple[int, dict[str, str], bytes]:
    socket_like: Any = Recorded(data)
    response = http.client.HTTPResponse(socket_like, method="GET")
    response.begin()
    return response.status, {name.lower(): value.strip() for name, value in response.getheaders()}, response.read()


def encode_chunks(body: bytes, sizes: list[int]) -> bytes:
    """A body in chunks of these sizes, the rest in one."""
    chunks = []
    for size in sizes:
        chunks.append(body[:size])
        body = body[size:]
    chunks.append(body)
    return (
        b"".join(b"%X;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\nTrailer: x\r\n\r\n"
    )


@given(
    st.sampled_from([200, 404, 500]),
    HEADERS,
    BODIES,
    st.sampled_from(["length", "chunks", "end"]),
    st.lists(st.integers(1, 9), max_size=5),
    st.integers(0, 2),
    st.integers(1, 30),
)
def test_any_answer_in_any_pieces_is_what_http_client_reads(
    status: int, headers: list[bytes], body: bytes, framing: str, sizes: list[int], interim: int, size: int
) -> None:
    framings = {
        "length": (b"Content-Length: %d" % len(body), body),
        "chunks": (b"transfer-encoding: Chunked", encode_chunks(body, sizes)),
        "end": (b"Connection: close", body),
    }
    header, encoded = framings[framing]
    lines = [b"HTTP/1.1 %d Why" % status, *dict.fromkeys(headers), header, b"", encoded]
    data = b"HTTP/1.1 100 Continue\r\n\r\n" * interim + b"\r\n".join(lines)
    expected = read_with_http_client(data)
    assert decode(data, size) == (*expected, True)


@given(st.binary(max_size=80), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", CHUNKED]), st.integers(1, 9))
def test_any_bytes_are_an_answer_or_damage(data: bytes, start: bytes, size: int) -> None:
    try:
        decode(start + data, size)
    except (FormatError, NotServed):
        return
    assert (start + data).startswith(b"HTTP/1.")


def test_what_follows_an_answer_is_not_part_of_it() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]HTTP/1.1 500 No\r\n\r\n"
    assert [decode(data, size)[2] for size in (1, 7, 1000)] == [b"[]"] * 3
    assert decode(CHUNKED + b"2\r\n[]\r\n0\r\n\r\nmore", 1000)[2] == b"[]"


def test_an_answer_without_a_body() -> None:
    assert decode(b"HTTP/1.1 204 No Content\r\n\r\n", 1) == (204, {}, b"", True)
    assert decode(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 1)[2:] == (b"", True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        CHUNKED,
        CHUNKED + b"5\r\n[]",
        CHUNKED + b"2\r\n[]\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"0x2\r\n[]\r\n",
        CHUNKED + b";\r\n",
        CHUNKED + b"1" * 17 + b"\r\n",
        CHUNKED + b"2;" + b"x" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
    ],
)
@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_damage_is_told(data: bytes, size: int) -> None:
    with pytest.raises(FormatError):
        decode(data, size)


@pytest.mark.parametrize("data", [b"SSH-2.0", b"\0\0\x12\4", b"http/1.1 200", b"HTTP/2", b"<"])
def test_another_protocol_is_known_by_its_first_bytes(data: bytes) -> None:
    with pytest.raises(NotServed):
        AnswerDecoder().feed(data)


def test_headers_have_lowercase_names_and_repeated_ones_are_joined() -> None:
    assert parse_head(b"HTTP/1.0 200\r\nSERVER:a\r\nVia: b \r\nvia:c") == (200, {"server": "a", "via": "b, c"})


def ask(data: bytes, limit_bytes: int | None = None) -> tuple[int, bytes, bytes]:
    """Status and body of the answer `data`, and what was sent for it."""
    here, there = socket.socketpair()
    with here, there:
        there.sendall(data)
        there.shutdown(socket.SHUT_WR)
        answer = Answer(here, "/containers/json", limit_bytes)
        return answer.status, b"".join(answer.pieces()), there.recv(1000)


def test_one_get_is_sent_and_nothing_is_to_be_compressed() -> None:
    status, body, sent = ask(b"HTTP/1.1 200 OK\r\n\r\n[]")
    assert (status, body) == (200, b"[]")
    assert sent.split(b"\r\n")[0] == b"GET /containers/json HTTP/1.1"
    assert b"\r\nAccept-Encoding: identity\r\n" in sent
    assert sent.endswith(b"\r\n\r\n")


def test_all_that_is_received_counts_towards_the_limit() -> None:
    """Also what is no contents: a length before each byte makes six of it."""
    data = CHUNKED + b"1\r\n \r\n" * 1000 + b"0\r\n\r\n"
    assert ask(data, len(data))[1] == b" " * 1000
    with pytest.raises(FormatError, match="an answer of at most 6000 bytes"):
        ask(data, 6000)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 500 No\r\n\r\nout of\norder", "HTTP 500: out of order"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "HTTP 404"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP 101"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere\r\nContent-Length: 0\r\n\r\n", "HTTP 302"),
        (b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 10_000, "HTTP 500: " + "x" * 159 + "…"),
    ],
)
def test_another_status_is_told_with_the_complaint(data: bytes, reason: str) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(data)
        there.shutdown(socket.SHUT_WR)
        with pytest.raises(RuntimeUnavailable) as raised:
            check_answer(Answer(here, "/", None))
    assert str(raised.value) == reason
