"""The docker package over a socket that is connected already; the only module that imports it (120 ms).

Source: APIClient of https://docker-py.readthedocs.io; DOCKER_TLS_VERIFY and DOCKER_CERT_PATH in
docker(1), which the package reads as the command does. A bare client waits for each byte of a
dripping answer, holds a whole one in memory, takes proxies from the environment and asks for the
daemon's version first. This one is handed its connection, which its owner can end at any moment.
"""

import http.client
import math
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import docker.errors
import docker.utils
import requests
import urllib3
from requests.adapters import HTTPAdapter

from nsagent.errors import FormatError, Reason, RuntimeUnavailable
from nsagent.runtimes.connect import DOCKER_PORT, DOCKER_TLS_PORT, list_causes, one_line, split_tcp, translate

# Whatever passes the package's own check: it appears in no request.
_VERSION: Final = "1.44"
_HEAD_BYTES: Final = 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_COMPLAINT_BYTES: Final = 4096


class EngineClient(docker.APIClient):
    """Asks one question over `connected`, which stays the caller's and has to be shut down to give up.

    `host` is HOST:PORT. `tls` has DOCKER_TLS_VERIFY and DOCKER_CERT_PATH as far as they are set;
    without either the connection is plain, and then `limit_bytes` bounds what is received after
    the head. Paths bear no version: Docker 29 refuses what is older than 1.44, and Docker 24 what
    is newer than 1.43.
    """

    def __init__(
        self,
        connected: socket.socket,
        host: str,
        timeout_seconds: float,
        *,
        tls: Mapping[str, str],
        limit_bytes: float = math.inf,
    ) -> None:
        options = docker.utils.kwargs_from_env({"DOCKER_HOST": f"tcp://{host}", **tls})
        super().__init__(**options, version=_VERSION, timeout=timeout_seconds)  # type: ignore[arg-type]
        if tls and not self.verify:
            # DOCKER_CERT_PATH alone: the user's choice, and no line on stderr for each question.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self.trust_env = False
        self.headers["Accept-Encoding"] = "identity"
        self.hooks["response"] = [self._check]
        self._limit_bytes = limit_bytes
        self._own = _BoundedSocket(connected.family, connected.type, fileno=os.dup(connected.fileno()))
        self._own.settimeout(timeout_seconds)
        self._response: requests.Response | None = None
        for scheme in ("http://", "https://"):
            self.mount(scheme, _OneConnection(self._own))

    def open(self, path: str, timeout_seconds: float | None = None) -> requests.Response:
        """The answer to one GET, whose head has arrived; `path` is encoded already.

        `timeout_seconds` bounds each wait for it in the place of the client's.
        """
        seconds = self.timeout if timeout_seconds is None else timeout_seconds
        response: requests.Response = self._get(self._url(path), stream=True, timeout=seconds)  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        """Let go of what is left of the answer, and of the connection."""
        if self._response is not None:
            self._response.close()
        super().close()
        self._own.close()

    def _check(self, response: requests.Response, **_: object) -> None:
        """Raises RuntimeUnavailable, with what the runtime complains of, unless the answer is one to be read."""
        self._response = response
        self._own.left_bytes = self._limit_bytes
        if response.status_code != 200:
            complaint = b""
            for piece in read_pieces(response):
                complaint += piece
                if len(complaint) >= _COMPLAINT_BYTES:
                    break
            text = one_line(complaint[:_COMPLAINT_BYTES].decode("utf-8", "replace"))
            raise RuntimeUnavailable(f"HTTP {response.status_code}" + (f": {text}" if text else ""), Reason.REJECTED)
        coding = response.headers.get("Content-Encoding", "identity")
        if coding != "identity":
            raise FormatError("an answer that is not compressed", coding)

    def _url(self, pathfmt: str, *args: str, **kwargs: Any) -> str:
        url: str = super()._url(pathfmt, *args, **{**kwargs, "versioned_api": False})  # type: ignore[misc]
        return url

    def _stream_helper(self, response: requests.Response, decode: bool = False) -> Iterator[bytes]:
        """What events() hands on: bytes as they arrive, for an event may be longer than memory."""
        return read_pieces(response)


class _BoundedSocket(socket.socket):
    """A connection from which only so much is received; FormatError is raised after that."""

    left_bytes: float = _HEAD_BYTES

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        size = super().recv_into(*args, **kwargs)
        self.left_bytes -= size
        if self.left_bytes < 0:
            raise FormatError("an answer of ordinary length", "a longer one")
        return size


class _OneConnection(HTTPAdapter):
    """The transport that has one connection, and makes no other."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        pools = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {scheme: self._hand_over(pool) for scheme, pool in pools.items()}

    def _hand_over(self, pool: Any) -> type[Any]:
        """That kind of pool, with the connection in the place of a new one."""
        connection = type("Connection", (pool.ConnectionCls,), {"_new_conn": lambda _: self._connected})
        return type("Pool", (pool,), {"ConnectionCls": connection})


def read_pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives; no piece is empty."""
    while piece := response.raw.read1(_PIECE_BYTES, decode_content=False):
        yield piece


@contextmanager
def open_client(
    connected: socket.socket,
    base_url: str,
    timeout_seconds: float,
    tls: Mapping[str, str],
    *,
    limit_bytes: float = math.inf,
) -> Iterator[EngineClient]:
    """A client for one question, closed at the end; what the libraries raise becomes RuntimeUnavailable."""
    with translated(timeout_seconds):
        host = _name_host(base_url, tls)
        with EngineClient(connected, host, timeout_seconds, tls=tls, limit_bytes=limit_bytes) as client:
            yield client


@contextmanager
def translated(timeout_seconds: float) -> Iterator[None]:
    """What the libraries raise becomes RuntimeUnavailable."""
    try:
        yield
    except (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        ssl.SSLError,
    ) as err:
        raise _translate(err, timeout_seconds) from err


def _name_host(base_url: str, tls: Mapping[str, str]) -> str:
    """HOST:PORT, which the certificate has to be for; a unix socket has none."""
    if base_url.startswith("unix://"):
        return f"localhost:{DOCKER_PORT}"
    host, port = split_tcp(base_url, DOCKER_TLS_PORT if tls else DOCKER_PORT)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _translate(err: BaseException, timeout_seconds: float) -> RuntimeUnavailable:
    """What is at the bottom of it; OpenSSL's numbers are no errnos, and http.client's errors have none."""
    for cause in list_causes(err):
        match cause:
            case TimeoutError():
                break
            case ssl.SSLError():
                return RuntimeUnavailable(f"TLS: {one_line(str(cause))}")
            case http.client.RemoteDisconnected():
                return RuntimeUnavailable("it hung up before its answer was complete")
            case http.client.BadStatusLine() if not str(cause).startswith("HTTP/1."):
                return RuntimeUnavailable(f"it speaks no HTTP: {one_line(repr(str(cause)))}", Reason.NOT_SERVED)
            case http.client.HTTPException():
                return RuntimeUnavailable(f"no valid answer: {one_line(repr(cause))}", Reason.MALFORMED)
    return translate(err, timeout_seconds)
