"""Docker's engine API, which podman's socket speaks too: the names of the running containers.

Source: https://docs.docker.com/reference/api/engine/ (ContainerList). One request a refresh,
`GET /containers/json`; the SDK's `containers.list()` inspects every container. The path bears no
version: the daemon then answers in its newest, of which only fields are read that never changed.
A fixed version fails one day (Docker 29 refuses what is older than 1.44, Docker 24 what is newer
than 1.43), and asking first costs a round trip to a daemon that may be slow.

What is at the other end is not trusted to answer, to stop answering, or to send JSON.
"""

import errno
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from nsagent.errors import FormatError, RuntimeUnavailable
from nsagent.model.container import Container, NameState, Runtime
from nsagent.model.ids import ContainerId
from nsagent.runtimes.json_array import decode_array

_PATH = "/containers/json"
_CHUNK_BYTES = 64 * 1024
_ANSWER_BYTES = 64 * 1024 * 1024
_ELEMENT_LIMIT = 1024 * 1024
_ROWS = 200_000
_REASON_LENGTH = 160
_ID_LENGTH = 64
_TCP_PORT = 2375
_HEX_DIGITS = frozenset("0123456789abcdef")


class DockerSource:
    """One engine that speaks Docker's API over a unix or TCP socket; `name` says which, and is the records' source.

    `base_url` is `unix:///path` or `tcp://host:port` (without TLS). `timeout_seconds` bounds each
    wait for the engine, not their sum: one that sends a byte a second is ended by `abandon`, which
    Engines calls at its deadline. One call of `list_containers` at a time.
    """

    def __init__(self, base_url: str, timeout_seconds: float, name: str = "docker") -> None:
        self.base_url = base_url
        self.timeout_seconds = timeout_seconds
        self.name = name
        self.subject = f"{name} ({base_url})"
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def list_containers(self) -> tuple[Container, ...]:
        """The running and paused containers, in the engine's order, each id once.

        A record without a usable id is left out; one without a name yet is `pending`. `pod` is
        left to the labels, `chain` to the cgroup paths, and `sandboxed` is not in this answer.
        Raises RuntimeUnavailable with one line.
        """
        try:
            with _connect(self.base_url, self.timeout_seconds) as connected:
                with self._lock:
                    self._socket = connected
                try:
                    return self._ask(connected)
                finally:
                    with self._lock:
                        self._socket = None
        except (OSError, ValueError) as err:
            raise RuntimeUnavailable(_explain(err, self.timeout_seconds)) from err
        except FormatError as err:
            raise RuntimeUnavailable(f"no valid answer: {_one_line(str(err))}") from err

    def abandon(self) -> None:
        """End the call of `list_containers` that another thread is in, if any: it fails at once."""
        with self._lock:
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # The engine has hung up already, which ends the call as well.
                    return

    def _ask(self, connected: socket.socket) -> tuple[Container, ...]:
        """The answer to the one request, which goes over `connected`."""
        try:
            import docker
            import requests
            import urllib3
            from docker.constants import DEFAULT_DOCKER_API_VERSION
        except ImportError as err:
            raise RuntimeUnavailable(f"the docker package cannot be imported: {err}") from err
        try:
            client = docker.APIClient(self.base_url, DEFAULT_DOCKER_API_VERSION)
        except (docker.errors.DockerException, AttributeError, KeyError, TypeError) as err:
            # It reads ~/.docker/config.json, which it takes for well-formed.
            raise RuntimeUnavailable(f"docker's own configuration is damaged: {_one_line(str(err))}") from err
        # Neither proxies nor ~/.netrc have a say in how a local engine is reached.
        client.trust_env = False
        request = client.prepare_request(
            requests.Request("GET", client.base_url + _PATH, headers={"Accept-Encoding": "identity"})
        )
        try:
            with client:
                _speak_over(connected, client.get_adapter(client.base_url), request)
                answer = client.send(request, stream=True, timeout=self.timeout_seconds, allow_redirects=False)
                with answer:
                    return tuple(_read_containers(answer, self.name))
        except (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as err:
            raise RuntimeUnavailable(_explain(err, self.timeout_seconds)) from err


def _connect(base_url: str, timeout_seconds: float) -> socket.socket:
    """A socket connected to the engine.

    It is made here and not by the SDK so that an absent or forbidden engine does not cost the
    import of one, so that `abandon` has something to shut down, and because docker 7 leaves its
    socket open when connect(2) fails.
    """
    scheme, separator, path = base_url.partition("://")
    if separator and scheme == "tcp":
        parts = urlsplit(base_url)
        return socket.create_connection((parts.hostname or "", parts.port or _TCP_PORT), timeout_seconds)
    if not separator or scheme != "unix":
        raise RuntimeUnavailable("only unix:///PATH and tcp://HOST:PORT can be asked")
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(timeout_seconds)
    try:
        connected.connect(path)
    except (OSError, ValueError):
        connected.close()
        raise
    return connected


def _speak_over(connected: socket.socket, adapter: Any, request: Any) -> None:
    """Have `adapter` send `request` over a socket that exists; urllib3 connects only where there is none."""
    pool = adapter.get_connection_with_tls_context(request, verify=True)
    open_connection = pool._new_conn

    def adopt() -> Any:
        connection = open_connection()
        connection.sock = connected
        return connection

    pool._new_conn = adopt


def _read_containers(answer: Any, source: str) -> Iterable[Container]:
    """The containers of an HTTP answer."""
    if answer.status_code != 200:
        body = b"".join(_read_chunks(answer, 4096, stop=True))
        raise RuntimeUnavailable(f"HTTP {answer.status_code}: {_one_line(body.decode('utf-8', 'replace'))}")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise FormatError("an answer that is not compressed", str(answer.headers["Content-Encoding"]))
    containers: dict[ContainerId, Container] = {}
    rows = 0
    for rows, row in enumerate(decode_array(_read_chunks(answer, _ANSWER_BYTES), element_limit=_ELEMENT_LIMIT), 1):
        if rows > _ROWS:
            raise FormatError(f"at most {_ROWS} containers", "more")
        container = _read_container(row, source)
        if container is not None:
            containers.setdefault(container.id, container)
    if rows and not containers:
        raise FormatError("a list of containers", "records without an Id of 64 hex digits")
    return containers.values()


def _read_chunks(answer: Any, limit_bytes: int, *, stop: bool = False) -> Iterator[bytes]:
    """The body in pieces; beyond the limit it raises FormatError, or ends if `stop`."""
    total = 0
    for chunk in answer.iter_content(_CHUNK_BYTES):
        total += len(chunk)
        if total > limit_bytes:
            if stop:
                return
            raise FormatError(f"an answer of at most {limit_bytes} bytes", "a longer one")
        yield chunk


def _read_container(row: object, source: str) -> Container | None:
    """One element of the list; None if it has no usable id, for then nothing can be joined with it."""
    if not isinstance(row, dict):
        return None
    id_ = row.get("Id")
    if not isinstance(id_, str) or len(id_) != _ID_LENGTH or not _HEX_DIGITS.issuperset(id_):
        return None
    name = _read_name(row.get("Names"))
    image = row.get("Image")
    labels = row.get("Labels")
    return Container(
        id=ContainerId(id_),
        name=name,
        name_state=NameState.PENDING if name is None else NameState.KNOWN,
        runtime=Runtime.PODMAN if source == "podman" else Runtime.DOCKER,
        image=image if isinstance(image, str) and image else None,
        verified=True,
        source=source,
        labels={key: value for key, value in labels.items() if isinstance(value, str)}
        if isinstance(labels, dict)
        else {},
    )


def _read_name(names: object) -> str | None:
    """The container's own name out of `["/web", "/db/link-to-web"]`: the others are those of legacy links."""
    if not isinstance(names, list):
        return None
    own = (name.removeprefix("/") for name in names if isinstance(name, str))
    return next((name for name in own if name and "/" not in name), None)


def _explain(err: BaseException, timeout_seconds: float) -> str:
    """One line for why an engine did not answer: the errno's name where one is at the bottom of it."""
    cause: BaseException | None = err
    while cause is not None:
        if isinstance(cause, TimeoutError):
            return f"no answer within {timeout_seconds:g} s"
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return f"{cause.strerror} ({errno.errorcode.get(cause.errno, cause.errno)})"
        cause = cause.__cause__ or cause.__context__
    return _one_line(str(err)) or type(err).__name__


def _one_line(text: str) -> str:
    """At most 160 characters of `text`, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"
