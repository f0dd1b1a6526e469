"""Docker's API: what a well-behaved engine tells, and every way in which one may not."""

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nsagent.errors import RuntimeUnavailable
from nsagent.model.container import Container, NameState, Runtime
from nsagent.model.ids import ContainerId
from nsagent.runtimes.docker import DockerSource
from nsagent.runtimes.engines import Engines
from tests.runtimes.engine_server import HEAD, Behaviour, answer, read_request, rows, saying, serve

RECORDED = Path(__file__).parents[2] / "fixtures" / "docker" / "containers-20.10.24.json"
ID = "a" * 64
OTHER_ID = "b" * 64
TIMEOUT_SECONDS = 0.5
DEADLINE_SECONDS = 0.6
SLACK_SECONDS = 0.3


def record(id_: str = ID, name: str | None = "web", runtime: Runtime = Runtime.DOCKER) -> Container:
    """What the source makes of `{"Id": id_, "Names": ["/web"]}`."""
    state = NameState.PENDING if name is None else NameState.KNOWN
    return Container(ContainerId(id_), name, state, runtime, None, True, runtime.value)


def ask(url: str, name: str = "docker") -> tuple[Container, ...]:
    return DockerSource(url, TIMEOUT_SECONDS, name).list_containers()


def list_of(directory: Path, *containers: object) -> tuple[Container, ...]:
    """What the source makes of a list of these."""
    with serve(directory, saying(rows(*containers))) as url:
        return ask(url)


class TestAnswers:
    """Well-formed HTTP with a list of containers."""

    def test_a_recorded_answer(self, tmp_path: Path) -> None:
        with serve(tmp_path, saying(answer(RECORDED.read_bytes()))) as url:
            containers = ask(url)
        assert [container.name for container in containers] == [
            "paused",
            "k8s_app_web-7d9c_shop_0",
            "linked",
            "sidecar",
            "nonet",
            "hostnet",
            "web",
        ]
        assert containers[-1] == Container(
            id=ContainerId("cae9ed839b1d3033620825b703b7eefaba09ade4f53ea5275d6cf4276bbfcbd0"),
            name="web",
            name_state=NameState.KNOWN,
            runtime=Runtime.DOCKER,
            image="shop/web:1",
            verified=True,
            source="docker",
            labels={"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "odd": 'a b"<x>'},
        )

    def test_one_request_is_made_and_its_path_bears_no_version(self, tmp_path: Path) -> None:
        """A daemon refuses a version that it finds too old or too new."""
        requests: list[bytes] = []

        def behave(connection: socket.socket) -> None:
            requests.append(read_request(connection))
            connection.sendall(rows())

        with serve(tmp_path, behave) as url:
            assert ask(url) == ()
        assert [request.split(b"\r\n")[0] for request in requests] == [b"GET /containers/json HTTP/1.1"]

    def test_podman_is_told_by_the_name_of_the_source(self, tmp_path: Path) -> None:
        with serve(tmp_path, saying(rows({"Id": ID, "Names": ["web"]}))) as url:
            assert ask(url, "podman") == (record(runtime=Runtime.PODMAN),)

    def test_a_chunked_answer(self, tmp_path: Path) -> None:
        body = json.dumps([{"Id": ID, "Names": ["/web"]}]).encode()
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        with serve(tmp_path, saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)) as url:
            assert ask(url) == (record(),)

    def test_an_answer_that_ends_with_the_connection(self, tmp_path: Path) -> None:
        with serve(tmp_path, saying(HEAD + b"\r\n" + json.dumps([{"Id": ID, "Names": ["/web"]}]).encode())) as url:
            assert ask(url) == (record(),)

    def test_a_container_without_a_name_yet_is_pending(self, tmp_path: Path) -> None:
        assert list_of(tmp_path, {"Id": ID, "Names": None}) == (record(name=None),)

    def test_an_id_that_is_listed_twice_is_one_container(self, tmp_path: Path) -> None:
        first, second = {"Id": ID, "Names": ["/web"]}, {"Id": ID, "Names": ["/other"]}
        assert list_of(tmp_path, first, second) == (record(),)

    @pytest.mark.parametrize("id_", [None, 7, "", "-1", "a" * 63, "A" * 64, "g" * 64, [ID], "../" * 22])
    def test_a_record_without_a_usable_id_is_left_out(self, tmp_path: Path, id_: object) -> None:
        assert list_of(tmp_path, {"Id": id_, "Names": ["/x"]}, {"Id": ID, "Names": ["/web"]}) == (record(),)

    @pytest.mark.parametrize("names", [7, "web", {}, [None], [{}], [""], ["/"], ["/a/b"]])
    def test_a_name_of_another_type_is_none(self, tmp_path: Path, names: object) -> None:
        assert list_of(tmp_path, {"Id": ID, "Names": names}) == (record(name=None),)

    def test_an_image_and_labels_of_another_type_are_left_out(self, tmp_path: Path) -> None:
        row = {"Id": ID, "Names": ["/web"], "Image": ["x"], "Labels": {"a": "b", "c": 1, "d": None}, "Pid": -1}
        (container,) = list_of(tmp_path, row)
        assert (container.image, container.labels) == (None, {"a": "b"})

    def test_hostile_characters_are_kept_as_they_are(self, tmp_path: Path) -> None:
        """Escaping is the writers' business; NUL, ESC, bidi and half a surrogate pair come through JSON."""
        hostile = "\x00\x1b[31m\u202e\ud800"
        (container,) = list_of(tmp_path, {"Id": ID, "Names": [hostile], "Labels": {hostile: hostile}})
        assert (container.name, container.labels) == (hostile, {hostile: hostile})

    def test_bytes_that_are_not_utf8_do_not_cost_the_list(self, tmp_path: Path) -> None:
        with serve(tmp_path, saying(answer(b'[{"Id": "%s", "Names": ["/w\xffb"]}]' % ID.encode()))) as url:
            assert ask(url) == (record(name="w\udcffb"),)


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
    "a byte at a time, in the head": dripping(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000),
    "a byte at a time, in the body": dripping(HEAD + b"\r\n[" + b" " * 1000),
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


@pytest.mark.parametrize("behave", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS.keys())
def test_a_misbehaving_engine_costs_names_and_no_time(tmp_path: Path, behave: Behaviour) -> None:
    """A gap in one line, within the deadline, and neither the thread nor its socket stays behind."""
    with serve(tmp_path, behave) as url:
        source = DockerSource(url, TIMEOUT_SECONDS)
        engines = Engines([source], DEADLINE_SECONDS, clock=time.monotonic)
        began = time.monotonic()
        engines.start()
        containers, gaps, asked = engines.collect()
        assert time.monotonic() - began < DEADLINE_SECONDS + SLACK_SECONDS
        (gap,) = gaps
        assert (containers, gap.subject, asked) == ((), source.subject, (source.subject,))
        assert gap.reason
        assert "\n" not in gap.reason
        assert len(gap.reason) < 300
        wait_until(lambda: not any(thread.name.startswith("ask ") for thread in threading.enumerate()))


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        ("silence", "no answer within 0.5 s"),
        ("HTTP 500", 'HTTP 500: {"message": "the daemon is\\nbroken"}'),
        ("HTTP 403 of a proxy", "HTTP 403: <html>Forbidden"),
        ("null", "no valid answer: expected a JSON array, got 'null'"),
        ("truncated JSON", None),
    ],
)
def test_the_reason_says_what_is_wrong(tmp_path: Path, behave: str, reason: str | None) -> None:
    with serve(tmp_path, MISBEHAVIOURS[behave]) as url, pytest.raises(RuntimeUnavailable) as raised:
        ask(url)
    assert reason is None or str(raised.value) == reason


def wait_until(holds: Callable[[], bool]) -> None:
    """Fail unless it holds within two seconds."""
    until = time.monotonic() + 2
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


class TestNoEngine:
    """Nobody answers at all; `docker` is not even imported then."""

    def test_no_socket(self, tmp_path: Path) -> None:
        assert self.why(f"unix://{tmp_path}/none.sock") == "No such file or directory (ENOENT)"

    def test_nobody_listens(self, tmp_path: Path) -> None:
        path = tmp_path / "stale.sock"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        assert self.why(f"unix://{path}") == "Connection refused (ECONNREFUSED)"

    def test_a_plain_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert self.why(f"unix://{tmp_path}/file") == "Connection refused (ECONNREFUSED)"

    def test_a_queue_that_is_full(self, tmp_path: Path) -> None:
        """A daemon that has stopped long ago: connect(2) would wait."""
        path = tmp_path / "full.sock"
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
            listener.bind(str(path))
            listener.listen(0)
            first.connect(str(path))
            assert self.why(f"unix://{path}") == "Resource temporarily unavailable (EAGAIN)"

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("ssh://host", "only unix:///PATH and tcp://HOST:PORT can be asked"),
            ("nonsense", "only unix:///PATH and tcp://HOST:PORT can be asked"),
            ("unix://", "Invalid argument (EINVAL)"),
            ("unix:///" + "x" * 200, "AF_UNIX path too long"),
            ("unix:///a\0b", "No such file or directory (ENOENT)"),
            ("tcp://127.0.0.1:1", "Connection refused (ECONNREFUSED)"),
            ("tcp://127.0.0.1:99999999", "Port out of range 0-65535"),
        ],
    )
    def test_an_address_that_is_none(self, url: str, reason: str) -> None:
        assert self.why(url) == reason

    @staticmethod
    def why(url: str) -> str:
        """The reason, after checking that it did not take the import of docker."""
        modules = {name: sys.modules.pop(name) for name in tuple(sys.modules) if name.partition(".")[0] == "docker"}
        try:
            with pytest.raises(RuntimeUnavailable) as raised:
                ask(url)
            assert "docker" not in sys.modules
        finally:
            sys.modules.update(modules)
        return str(raised.value)


def test_an_engine_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def behave() -> None:
            connection, _ = listener.accept()
            with connection:
                saying(rows({"Id": ID, "Names": ["/web"]}))(connection)

        thread = threading.Thread(target=behave)
        thread.start()
        assert ask(f"tcp://127.0.0.1:{listener.getsockname()[1]}") == (record(),)
        thread.join()


def test_a_damaged_configuration_of_docker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads it although nothing in it matters here."""
    (tmp_path / "config.json").write_text("[1]")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with serve(tmp_path, saying(rows())) as url, pytest.raises(RuntimeUnavailable, match="configuration is damaged"):
        ask(url)


def test_a_proxy_in_the_environment_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with serve(tmp_path, saying(rows({"Id": ID, "Names": ["/web"]}))) as url:
        assert ask(url) == (record(),)


def test_ten_thousand_containers(tmp_path: Path) -> None:
    many = [{"Id": f"{number:064x}", "Names": [f"/c{number}"], "Labels": {"n": "1"}} for number in range(10_000)]
    with serve(tmp_path, saying(rows(*many))) as url:
        containers = DockerSource(url, 10.0).list_containers()
    assert len(containers) == 10_000
    assert containers[-1].name == "c9999"
