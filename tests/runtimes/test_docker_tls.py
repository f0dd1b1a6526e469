"""Docker over TCP with TLS: the certificates that docker's variables name, against a real server."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.model.container import Container
from nsagent.runtimes.discover import discover_runtimes
from nsagent.runtimes.docker import DockerSource
from nsagent.runtimes.docker_events import EventFollower
from tests.runtimes.engine_server import HEAD, read_request, rows, saying, serve
from tests.runtimes.misbehaviours import MISBEHAVIOURS
from tests.runtimes.stand_in import Clock, wait_until
from tests.runtimes.tls_server import make_certificate, serve_tls

ID = "a" * 64
WEB = rows({"Id": ID, "Names": ["/web"]})
TIMEOUT_SECONDS = 5.0


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    make_certificate(tmp_path)
    return tmp_path


def discovered(environ: dict[str, str], root: Path) -> tuple[tuple[Container, ...], list[str | None]]:
    """The containers and the reasons of what does not answer."""
    runtimes = discover_runtimes(None, environ, str(root), clock=time.monotonic)
    runtimes.start()
    answers = runtimes.collect()
    runtimes.close()
    return answers.containers, [gap.detail for gap in answers.gaps]


def test_docker_s_variables_are_understood_as_docker_does(certificates: Path) -> None:
    with serve_tls(certificates, saying(WEB)) as url:
        environ = {"DOCKER_HOST": url, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
        containers, reasons = discovered(environ, certificates / "none")
    assert ([container.name for container in containers], reasons) == (["web"], [])


def test_without_verifying_any_server_is_believed(certificates: Path) -> None:
    """DOCKER_CERT_PATH alone: the client shows its certificate, and asks for none that it knows."""
    with serve_tls(certificates, saying(WEB)) as url:
        (certificates / "ca.pem").unlink()
        containers, reasons = discovered(
            {"DOCKER_HOST": url, "DOCKER_CERT_PATH": str(certificates)}, certificates / "none"
        )
    assert ([container.name for container in containers], reasons) == (["web"], [])


def test_a_server_that_nobody_vouches_for_is_not_asked(
    certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    make_certificate(other)
    (other / "cert.pem").write_bytes((certificates / "cert.pem").read_bytes())
    (other / "key.pem").write_bytes((certificates / "key.pem").read_bytes())
    requests: list[bytes] = []
    with (
        serve_tls(certificates, lambda connection: requests.append(read_request(connection))) as url,
        pytest.raises(RuntimeUnavailable, match=r"TLS: .*CERTIFICATE_VERIFY_FAILED") as raised,
    ):
        tls_source(url, other).list_containers()
    assert (raised.value.reason, requests) == (Reason.FAILED, [])


def test_a_certificate_for_another_host_is_not_believed(tmp_path: Path) -> None:
    make_certificate(tmp_path, "127.0.0.9")
    with serve_tls(tmp_path, saying(WEB)) as url, pytest.raises(RuntimeUnavailable, match="TLS: "):
        tls_source(url, tmp_path).list_containers()


def test_a_plain_server_is_told(certificates: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: answer_plainly(listener))
        thread.start()
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RuntimeUnavailable, match="TLS: "):
            tls_source(url, certificates).list_containers()
        thread.join()


def answer_plainly(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with contextlib.suppress(OSError), connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(4096)


def test_certificates_that_are_not_there_are_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RuntimeUnavailable, match="certificate"):
            tls_source(url, tmp_path).list_containers()


def test_a_unix_socket_needs_no_certificates(tmp_path: Path) -> None:
    """The variables are set for another host, or for all of a session."""
    with serve(tmp_path, saying(WEB)) as url:
        assert [one.name for one in tls_source(url, tmp_path / "none").list_containers()] == ["web"]


@pytest.mark.parametrize("behave", ["silence", "a byte at a time, in the body", "truncated HTTP", "nesting"])
def test_giving_up_ends_the_connection(certificates: Path, behave: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with serve_tls(certificates, MISBEHAVIOURS[behave]) as url:
        source = tls_source(url, certificates, 60.0)
        timer = threading.Timer(0.5, source.abandon)
        timer.start()
        began = time.monotonic()
        with pytest.raises(RuntimeUnavailable):
            source.list_containers()
        assert time.monotonic() - began < 30
        timer.join()
    wait_until(lambda: set(os.listdir("/proc/self/fd")) <= before)


@pytest.fixture
def followed(certificates: Path) -> Iterator[tuple[EventFollower, list[socket.socket]]]:
    """A follower whose stream is there, and the engine's end of it."""
    streams: list[socket.socket] = []

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        streams.append(connection)
        connection.recv(1)

    with serve_tls(certificates, behave) as url:
        tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
        follower = EventFollower(url, TIMEOUT_SECONDS, tls=tls, clock=Clock())
        follower.start()
        wait_until(lambda: follower.trouble is None, 6)
        yield follower, streams
        follower.stop()


def test_events_are_followed_over_tls_and_stopping_ends_that_at_once(
    followed: tuple[EventFollower, list[socket.socket]],
) -> None:
    follower, (stream,) = followed
    before = follower.mark().changes
    event = b'{"Type":"container","Action":"rename"}\n'
    stream.sendall(b"%x\r\n%b\r\n" % (len(event), event))
    wait_until(lambda: follower.mark().changes > before)
    follower.stop()
    wait_until(lambda: not any(thread.name.startswith("events of") for thread in threading.enumerate()))


def tls_source(url: str, directory: Path, seconds: float = TIMEOUT_SECONDS) -> DockerSource:
    """Docker there, with the certificates in the directory."""
    return DockerSource(url, seconds, tls={"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(directory)})
