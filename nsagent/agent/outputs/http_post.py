"""One POST at a time by urllib3, ended at its deadline whatever the receiver does.

Source: urllib3's user guide and its Retry; ssl. Its timeouts are for each wait, and a receiver that drips never lets
one pass: so the connection is shut down from outside. Proxies, .netrc and SSLKEYLOGFILE of the environment
mean nothing here, and no redirect is followed.
"""

import errno
import http.client
import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock, Timer
from typing import Any, Final, NamedTuple

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry, Timeout, parse_url

from nsagent.agent.outputs.direct import why
from nsagent.agent.outputs.small_file import MAX_CERTIFICATES_BYTES, read_small_file
from nsagent.errors import PathRefused, PostFailed, ReadFailed
from nsagent.kernel.threads import start_thread

MAX_PAUSE_SECONDS: Final = 60.0
MAX_RETRY_AFTER_SECONDS: Final = 300.0

_FIRST_PAUSE_SECONDS: Final = 1.0
_PAUSES_GROW: Final = 8
_ANSWER_BYTES: Final = 64 * 1024
_COMPLAINT_BYTES: Final = 200
_AGAIN: Final = frozenset((401, 403, 408, 425, 429))
"""Of 4xx. The first two are about the token, which may be another one by the next request: it is read anew for each."""


class Answer(NamedTuple):
    """What the receiver said."""

    status: int
    complaint: str
    """The first of its body, in one line of ASCII."""
    retry_after_seconds: float | None

    @property
    def is_taken(self) -> bool:
        """Whether it has the report now."""
        return 200 <= self.status < 300

    @property
    def is_final(self) -> bool:
        """Whether the same report would be refused again (RFC 9110, 15.5)."""
        return 400 <= self.status < 500 and self.status not in _AGAIN


class Poster:
    """Posts to one URL over one connection until it is closed; for one thread, but for `abort`."""

    def __init__(self, url: str, *, ca_file: str | None, timeout_seconds: float) -> None:
        self._url = url
        self._ca_file = ca_file
        self._timeout_seconds = timeout_seconds
        self._lifeline = _Lifeline()
        pools = urllib3.PoolManager().pool_classes_by_scheme
        self._kinds = {scheme: _watched(kind, self._lifeline.hold) for scheme, kind in pools.items()}
        self._pool: urllib3.PoolManager | None = None

    def post(self, data: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises PostFailed, also for a file of certificates that cannot be used."""
        self._pool = self._pool or self._make_pool()
        self._lifeline.begin()
        deadline = Timer(self._timeout_seconds, self._lifeline.cut)
        deadline.daemon = True
        try:
            start_thread(deadline)
        except ReadFailed as err:
            raise PostFailed("no thread to be had") from err
        try:
            return self._ask(self._pool, data, headers)
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as err:
            self.close()
            self._pool = None  # The next one reads certificates anew.
            raise PostFailed(self._explain(err)) from err
        finally:
            deadline.cancel()

    def abort(self) -> None:
        """End the request that is under way, and those to come; for any thread."""
        self._lifeline.cut(for_good=True)

    def close(self) -> None:
        """Close the connection; the next report makes another one."""
        if self._pool is not None:
            with suppress(HTTPError):  # A URL of no scheme that there is.
                self._pool.connection_from_url(self._url).close()
            self._pool.clear()
        self._lifeline.close()

    def _ask(self, pool: urllib3.PoolManager, data: bytes, headers: Mapping[str, str]) -> Answer:
        response = pool.request("POST", self._url, body=data, headers=headers, preload_content=False)
        body = b""
        with suppress(HTTPError, http.client.HTTPException, OSError):  # The head has said it all.
            body = response.read(_ANSWER_BYTES, decode_content=False)
        if response.closed:  # To its end.
            response.release_conn()
        else:
            response.close()
            self._lifeline.close()
        return Answer(response.status, _one_line(body), _read_retry_after(response))

    def _make_pool(self) -> urllib3.PoolManager:
        context = make_context(self._ca_file) if parse_url(self._url).scheme == "https" else None
        pool = urllib3.PoolManager(
            num_pools=1, maxsize=1, retries=False, timeout=Timeout(total=self._timeout_seconds), ssl_context=context
        )
        pool.pool_classes_by_scheme = self._kinds
        return pool

    def _explain(self, err: BaseException) -> str:
        """What is at the bottom of it, in one line."""
        if self._lifeline.is_cut:
            return f"no answer within {self._timeout_seconds:g} s"
        bottom = err
        while (cause := bottom.__cause__ or bottom.__context__) is not None:
            bottom = cause
        if isinstance(bottom, TimeoutError):
            return f"no answer within {self._timeout_seconds:g} s"
        if isinstance(bottom, ssl.SSLCertVerificationError):
            return f"TLS: {bottom.verify_message}"
        if isinstance(bottom, OSError) and bottom.strerror:
            return bottom.strerror
        return _one_line(str(bottom).encode("ascii", "backslashreplace")) or type(bottom).__name__


class _Lifeline:
    """The connection in use, held once more: shutting it down here ends whatever waits for it there."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: socket.socket | None = None
        self._is_over = False
        self.is_cut = False

    def begin(self) -> None:
        """A request begins."""
        with self._lock:
            self.is_cut = self._is_over
            if self._is_over:
                raise PostFailed("the agent ends")

    def hold(self, connected: socket.socket) -> None:
        """Take a new connection for the one in use."""
        with self._lock:
            if self._held is not None:
                self._held.close()
            self._held = connected.dup()
            if self.is_cut:
                _shut_down(self._held)

    def cut(self, *, for_good: bool = False) -> None:
        """Shut the connection down, and one that is only being made."""
        with self._lock:
            self.is_cut = True
            self._is_over = self._is_over or for_good
            if self._held is not None:
                _shut_down(self._held)

    def close(self) -> None:
        """End the connection, whoever else holds it."""
        with self._lock:
            if self._held is not None:
                _shut_down(self._held)
                self._held.close()
                self._held = None


class Pauses:
    """How long to wait after each failure: longer and longer, never the same, up to MAX_PAUSE_SECONDS.

    `chance` gives numbers from 0 up to 1, of which a quarter of a pause depends.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self.reset()

    def reset(self) -> None:
        """The receiver is well."""
        # Retry waits from the second failure on.
        self._retry = Retry(total=None, backoff_factor=_FIRST_PAUSE_SECONDS / 2, backoff_max=MAX_PAUSE_SECONDS)
        self._retry = self._retry.increment()

    def next_seconds(self, retry_after_seconds: float | None) -> float:
        """The pause after one more failure; at least what the receiver asks for, up to MAX_RETRY_AFTER_SECONDS."""
        if len(self._retry.history) < _PAUSES_GROW:  # It keeps all of them, and a float has no 2 ** 1024.
            self._retry = self._retry.increment()
        pause = self._retry.get_backoff_time() * (1 - self._chance() / 4)
        return max(pause, min(retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS))


def describe_url(url: str) -> str:
    """The URL without what may be secret in it: a user with a password, a query."""
    parts = parse_url(url)
    return parts._replace(auth=None, query=None, fragment=None).url


class TlsSocket(ssl.SSLSocket):
    """Closes itself where its peer has hung up before TLS begins: SSLSocket._create leaves it open."""

    def getpeername(self) -> Any:
        """The peer's address. Raises ConnectionResetError, and closes, where there is none any more."""
        try:
            return super().getpeername()
        except OSError as err:
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from err


def make_context(ca_file: str | None) -> ssl.SSLContext:
    """A client's context that believes those certificates, or the system's. Raises PostFailed for a file of no use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Verifies, and needs the name to fit.
    context.sslsocket_class = TlsSocket
    if ca_file is None:
        context.load_default_certs()
        return context
    try:
        pem = read_small_file(ca_file, MAX_CERTIFICATES_BYTES)
        # Between certificates may stand what somebody has written about them, in whatever letters.
        context.load_verify_locations(cadata=pem.decode("ascii", "backslashreplace"))
    except (OSError, PathRefused) as err:
        raise PostFailed(f"{ca_file}: {why(err)}") from err
    except ValueError as err:  # Of an empty file.
        raise PostFailed(f"{ca_file}: expected certificates as PEM") from err
    return context


def _watched(pool: Any, hold: Callable[[socket.socket], None]) -> type[Any]:
    """That kind of pool, whose connections are handed to `hold` as they are made, before any TLS."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            connected: socket.socket = super()._new_conn()
            hold(connected)
            return connected

    return type("Pool", (pool,), {"ConnectionCls": Connection})


def _shut_down(connected: socket.socket) -> None:
    with suppress(OSError):  # It is not connected any more.
        connected.shutdown(socket.SHUT_RDWR)


def _read_retry_after(response: urllib3.BaseHTTPResponse) -> float | None:
    try:
        return Retry().get_retry_after(response)
    except (InvalidHeader, ValueError, OverflowError):
        return None


def _one_line(text: bytes) -> str:
    """The first of it, of which nothing ends a line or moves a cursor."""
    printable = re.sub(rb"[^\x20-\x7e]+", b" ", text[: 2 * _COMPLAINT_BYTES])
    return b" ".join(printable.split())[:_COMPLAINT_BYTES].decode("ascii")
