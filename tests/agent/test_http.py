"""Slow, huge and many clients cost the others nothing, and nobody makes a pass: over real sockets."""

import os
import re
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from statistics import median

import pytest

from nsagent.agent.board import Board
from nsagent.agent.http import Server, ServerLimits, own_uids
from nsagent.agent.listeners import open_tcp, open_unix
from nsagent.query.select import leave_labels
from nsagent.report.json import render_json
from nsagent.scan.take import raise_fd_limit
from tests.agent.boards import make_board, make_endpoints, make_pass_status
from tests.agent.clients import Address, fetch, read_to_end, send

WITHIN_SECONDS = 1.0
"""In which an honest scrape is answered, as a rule: of a busy machine the worst of all is no measure."""

PATIENCE_SECONDS = 1.0
REQUEST = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def board() -> Board:
    return make_board()


@pytest.fixture(autouse=True)
def many_fds() -> Iterator[None]:
    """As many fds as this process may have: each client is one, and so is its other end."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_fd_limit()
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def serve(stack: ExitStack, board: Board, limits: ServerLimits | None = None) -> Address:
    """Where the endpoints over a board are served until the end of the test."""
    listener = open_tcp("127.0.0.1:0", has_token=False).socket
    address: Address = listener.getsockname()
    limits = limits or ServerLimits()
    stack.enter_context(closing(Server(make_endpoints(board), listener, clock=time.monotonic, limits=limits)))
    return address


def publish_large(board: Board, sockets: int) -> bytes:
    """A pass with so many sockets; its document."""
    last = board.last_pass
    assert last is not None
    snapshot = last.snapshot._replace(sockets=last.snapshot.sockets[:1] * sockets)
    board.publish_pass(snapshot, last.facts, make_pass_status(2, last.status.finished_seconds))
    return "".join(render_json(leave_labels(snapshot))).encode()


def test_a_client_gets_its_answer_and_the_connection_ends(stack: ExitStack, board: Board) -> None:
    address = serve(stack, board)
    client = stack.enter_context(send(address, REQUEST % b"/healthz" * 3))
    answer = read_to_end(client)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nok\n")


def test_a_large_snapshot_comes_whole(stack: ExitStack, board: Board) -> None:
    document = publish_large(board, 20_000)
    assert len(document) > 10 << 20
    assert fetch(serve(stack, board), "/v1/snapshot").body == document


def test_a_thousand_clients_that_say_nothing_more_hold_up_nobody(stack: ExitStack, board: Board) -> None:
    passes: list[object] = []
    address = serve(stack, make_board(on_pass=passes.append))
    for _ in range(1000):
        stack.enter_context(send(address, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX"))
    answers = [fetch(address) for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    assert median(answer.seconds for answer in answers) < WITHIN_SECONDS
    assert len(passes) == 1


def test_the_oldest_of_too_many_clients_goes_first(stack: ExitStack, board: Board) -> None:
    address = serve(stack, board, ServerLimits(connections=4))
    clients = [stack.enter_context(send(address, b"GET /")) for _ in range(6)]
    assert [read_to_end(client) for client in clients[:2]] == [b"", b""]
    for client in clients[2:]:
        client.sendall(b"healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert read_to_end(client).startswith(b"HTTP/1.0 200 OK\r\n")


def test_a_client_that_drips_has_no_more_time_than_one_that_says_nothing(stack: ExitStack, board: Board) -> None:
    address = serve(stack, board, ServerLimits(patience_seconds=PATIENCE_SECONDS))
    silent = stack.enter_context(send(address, b""))
    dripping = stack.enter_context(send(address, b"GET /metrics HTTP/1.1\r\n"))
    dripping.settimeout(0.05)
    started = time.monotonic()
    ended = False
    while not ended:
        assert time.monotonic() - started < 20
        try:
            dripping.sendall(b"a")
            ended = dripping.recv(1) == b""
        except TimeoutError:
            continue
        except OSError:
            ended = True
    assert time.monotonic() - started >= PATIENCE_SECONDS / 2
    assert read_to_end(silent) == b""


def test_ten_thousand_requests_make_no_pass_and_hold_up_nobody(stack: ExitStack) -> None:
    passes: list[object] = []
    address = serve(stack, make_board(on_pass=passes.append))
    statuses: list[int] = []

    def ask() -> None:
        for _ in range(2500):
            with send(address, REQUEST % b"/metrics") as client:
                statuses.append(int(read_to_end(client).split(maxsplit=2)[1]))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    usual = median(fetch(address).seconds for _ in range(20))
    for client in clients:
        client.join()
    assert statuses == [200] * 10_000
    assert usual < WITHIN_SECONDS
    assert len(passes) == 1


def test_slow_readers_of_a_large_snapshot_hold_up_nobody_and_are_let_go(stack: ExitStack, board: Board) -> None:
    document = publish_large(board, 20_000)
    address = serve(stack, board, ServerLimits(patience_seconds=PATIENCE_SECONDS))
    slow = [stack.enter_context(send(address, REQUEST % b"/v1/snapshot", buffer_bytes=2048)) for _ in range(50)]
    assert median(fetch(address).seconds for _ in range(3)) < WITHIN_SECONDS
    assert fetch(address, "/v1/status").status == 200
    deadline = time.monotonic() + 20
    while (answer := fetch(address, "/v1/snapshot")).status != 200:
        assert time.monotonic() < deadline
    assert answer.body == document
    # They took nothing until now: who had that place was given up in the middle, most others told to ask again.
    told = [read_to_end(client) for client in slow]
    assert [answer.startswith(b"HTTP/1.1 200 ") for answer in told[:2]] == [True, True]
    assert min(map(len, told[:2])) < len(document)
    assert any(answer.startswith(b"HTTP/1.1 503 ") for answer in told)


def test_an_answer_that_is_taken_slowly_but_steadily_comes_whole(stack: ExitStack, board: Board) -> None:
    document = publish_large(board, 2_000)
    limits = ServerLimits(patience_seconds=PATIENCE_SECONDS, least_bytes_per_second=200_000)
    client = stack.enter_context(send(serve(stack, board, limits), REQUEST % b"/v1/snapshot", buffer_bytes=4096))
    started = time.monotonic()
    received = 0
    while chunk := client.recv(1 << 15):
        received += len(chunk)
        time.sleep(max(0.0, received / 600_000 - (time.monotonic() - started)))
    assert received > len(document)
    assert time.monotonic() - started > 2 * PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (b"a" * 5000), 414),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: %s\r\n\r\n" % (b"a" * 9000), 431),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: a\r\n" * 2000, 431),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 413),
        (b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 421),
        (b"GET http://evil.example/metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 421),
    ],
)
def test_what_is_no_request_for_it_is_refused_by_a_status(
    stack: ExitStack, board: Board, request_bytes: bytes, status: int
) -> None:
    client = stack.enter_context(send(serve(stack, board), request_bytes))
    answer = read_to_end(client)
    assert answer.startswith((b"HTTP/1.1 %d " % status, b"HTTP/1.0 %d " % status))


def test_without_an_fd_left_the_oldest_client_makes_room(stack: ExitStack, board: Board) -> None:
    address = serve(stack, board)
    silent = stack.enter_context(send(address, b"GET /"))
    assert fetch(address, "/healthz").status == 200
    client = stack.enter_context(socket.socket())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.dup(client.fileno()))
    try:
        client.connect(address)
        client.sendall(REQUEST % b"/healthz")
        assert read_to_end(silent) == b""
        assert read_to_end(client).startswith(b"HTTP/1.1 200 OK\r\n")
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_ends_within_a_second_whoever_is_there(board: Board) -> None:
    publish_large(board, 20_000)
    listener = open_tcp("127.0.0.1:0", has_token=False).socket
    address: Address = listener.getsockname()
    server = Server(make_endpoints(board), listener, clock=time.monotonic)
    with ExitStack() as stack:
        clients = [stack.enter_context(send(address, b"GET /")) for _ in range(100)]
        clients += [stack.enter_context(send(address, REQUEST % b"/v1/snapshot", buffer_bytes=2048)) for _ in range(2)]
        assert fetch(address).status == 200
        before = threading.active_count()
        started = time.monotonic()
        server.close()
        assert time.monotonic() - started < 1.0
        assert threading.active_count() == before - 5
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        for client in clients:
            with suppress(ConnectionResetError):
                read_to_end(client)


def test_a_known_user_may_ask_again_by_one_connection_however_long_nothing_is_said_between(
    stack: ExitStack, board: Board, tmp_path: Path
) -> None:
    limits = ServerLimits(patience_seconds=0.3)
    path = tmp_path / "agent" / "agent.sock"
    listener = open_unix(str(path)).socket
    application = make_endpoints(board)
    stack.enter_context(closing(Server(application, listener, clock=time.monotonic, limits=limits, uids=own_uids())))
    client = stack.enter_context(socket.socket(socket.AF_UNIX))
    client.settimeout(30)
    client.connect(str(path))
    answers = stack.enter_context(client.makefile("rb"))
    for turn in range(4):
        client.sendall(REQUEST % b"/v1/who?endpoint=*:9090")
        head = b"".join(iter(answers.readline, b"\r\n"))
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Connection: close" not in head
        assert b'"notes": []' in answers.read(int(length[1]))
        if turn == 2:
            time.sleep(5 * limits.patience_seconds)
    client.sendall(b"GET /v1/who")  # Half a request is waited for as everybody's is.
    assert answers.read() == b""
