"""Connecting to runtimes, and what is said when that fails."""

import errno
import os
import socket
from pathlib import Path

import pytest

from nsagent.errors import FormatError, Reason, RuntimeUnavailable
from nsagent.model.ids import Pid
from nsagent.runtimes.connect import Peer, connect, identify, one_line, read_peer, translate

TIMEOUT_SECONDS = 0.5


def why_not(url: str) -> str:
    """What is said of an address to which nothing can be connected."""
    with pytest.raises((OSError, ValueError)) as raised:
        connect(url, TIMEOUT_SECONDS)
    told = translate(raised.value, TIMEOUT_SECONDS)
    assert told.reason is not Reason.NO_ANSWER
    return str(told)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a socket may be made."""
    return str(tmp_path / "engine.sock")


def test_a_unix_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with connect(f"unix://{path}", TIMEOUT_SECONDS) as connected:
            assert (connected.getpeername(), connected.gettimeout()) == (path, TIMEOUT_SECONDS)


@pytest.mark.parametrize(("family", "host", "url"), [
    (socket.AF_INET, "127.0.0.1", "tcp://127.0.0.1:{}"),
    (socket.AF_INET, "127.0.0.1", "tcp://127.0.0.1:{}/"),
    (socket.AF_INET6, "::1", "tcp://[::1]:{}"),
])  # fmt: skip
def test_a_tcp_port(family: socket.AddressFamily, host: str, url: str) -> None:
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        with connect(url.format(port), TIMEOUT_SECONDS) as connected:
            assert (connected.getpeername()[:2], connected.gettimeout()) == ((host, port), TIMEOUT_SECONDS)


def test_where_nobody_listens_any_more(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    assert why_not(f"unix://{path}") == "Connection refused (ECONNREFUSED)"


def test_what_is_no_socket(tmp_path: Path, path: str) -> None:
    os.mkfifo(path)
    for place in (tmp_path, path):
        assert why_not(f"unix://{place}") == "Connection refused (ECONNREFUSED)"


def test_a_queue_that_is_full_does_not_wait(path: str) -> None:
    """A daemon that has stopped long ago."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        assert why_not(f"unix://{path}") == "Resource temporarily unavailable (EAGAIN)"


def test_a_socket_of_another_type(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        assert why_not(f"unix://{path}") == "Protocol wrong type for socket (EPROTOTYPE)"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("unix:///nonexistent/engine.sock", "No such file or directory (ENOENT)"),
        ("unix:///etc/passwd/engine.sock", "Not a directory (ENOTDIR)"),
        ("unix://", "Invalid argument (EINVAL)"),
        ("unix:///" + "x" * 200, "AF_UNIX path too long"),
        ("unix:///nonexistent\0b", "No such file or directory (ENOENT)"),
        ("tcp://127.0.0.1:1", "Connection refused (ECONNREFUSED)"),
        ("tcp://127.0.0.1:99999999", "Port out of range 0-65535"),
        ("tcp://127.0.0.1:x", "Port could not be cast to integer value as 'x'"),
        ("tcp://[::1", "Invalid IPv6 URL"),
        ("tcp://", "Name or service not known"),
    ],
)
def test_an_address_at_which_nothing_is(url: str, reason: str) -> None:
    assert why_not(url) == reason


def test_a_host_name_that_is_too_long_is_told() -> None:
    """In words that each Python chooses for itself."""
    assert "label too long" in why_not("tcp://" + "x" * 300)


@pytest.mark.parametrize("url", ["ssh://host", "fd://", "nonsense", "", "/run/docker.sock", "https://host:2376"])
def test_any_other_kind_of_address_is_told(url: str) -> None:
    with pytest.raises(RuntimeUnavailable, match="only unix:///PATH and tcp://HOST:PORT can be asked"):
        connect(url, TIMEOUT_SECONDS)


def test_a_socket_file_is_known_by_more_than_its_name(path: str) -> None:
    seen = []
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            seen.append(identify(f"unix://{path}"))
            assert identify(f"unix://{path}") == seen[-1]
        os.unlink(path)
    assert None not in seen
    assert seen[0] != seen[1]


def test_what_is_no_socket_file_is_not_known(tmp_path: Path, path: str) -> None:
    places = (f"unix://{tmp_path}", f"unix://{path}", "unix:///a\0b", "tcp://127.0.0.1:1", "nonsense")
    assert [identify(place) for place in places] == [None] * 5


def test_an_engine_is_silent_if_a_wait_for_it_was_too_long() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(0.01)
        with pytest.raises(TimeoutError) as raised:
            here.recv(1)
    wrapped = ValueError("a library's")
    wrapped.__cause__ = raised.value
    told = [translate(err, 0.01) for err in (raised.value, wrapped)]
    assert [(str(one), one.reason) for one in told] == [("no answer within 0.01 s", Reason.NO_ANSWER)] * 2


@pytest.mark.parametrize(
    ("err", "reason"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), Reason.ABSENT),
        (NotADirectoryError(errno.ENOTDIR, "x"), Reason.ABSENT),
        (PermissionError(errno.EACCES, "x"), Reason.DENIED),
        (PermissionError(errno.EPERM, "x"), Reason.DENIED),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), Reason.REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "x"), Reason.FAILED),
        (FormatError("a list", "x"), Reason.MALFORMED),
        (RuntimeUnavailable("x", Reason.REJECTED), Reason.REJECTED),
        (ValueError("x"), Reason.FAILED),
    ],
)
def test_every_failure_has_its_kind(err: Exception, reason: Reason) -> None:
    assert translate(err, 1.0).reason is reason


def test_what_an_engine_says_fits_in_one_line() -> None:
    assert one_line(" a\n\tb\r\nc ") == "a b c"
    assert one_line("x" * 161) == "x" * 159 + "…"


def test_who_listens_at_a_unix_socket_is_told_and_at_a_port_nobody(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.create_server(("127.0.0.1", 0)) as port:
        listener.bind(path)
        listener.listen()
        with connect(f"unix://{path}", 1.0) as connected:
            assert read_peer(connected) == Peer(Pid(os.getpid()), os.geteuid())
        with connect(f"tcp://127.0.0.1:{port.getsockname()[1]}", 1.0) as connected:
            assert read_peer(connected) is None
