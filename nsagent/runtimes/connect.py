"""A stream to a runtime: `unix:///PATH` or `tcp://HOST:PORT` -> a connected socket, and errors in one line.

Source: unix(7), tcp(7). A runtime that is absent, stopped or forbidden is told here, before the
client of any protocol is imported; and a socket made here is one that another thread can shut
down, which is how a question that takes too long is ended.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Reason, RuntimeUnavailable
from nsagent.model.ids import Pid

DOCKER_PORT: Final = 2375
DOCKER_TLS_PORT: Final = 2376
_CREDENTIALS: Final = Struct("iII")
"""struct ucred: pid, uid, gid; unix(7)."""
_REASON_LENGTH: Final = 160
_REASON_OF_ERRNO: Final = {
    errno.ENOENT: Reason.ABSENT,
    errno.ENOTDIR: Reason.ABSENT,
    errno.EACCES: Reason.DENIED,
    errno.EPERM: Reason.DENIED,
    errno.ECONNREFUSED: Reason.REFUSED,
}


def connect(base_url: str, timeout_seconds: float, default_port: int = DOCKER_PORT) -> socket.socket:
    """A stream socket connected to the runtime; each wait for it lasts at most `timeout_seconds`.

    The lookup of a host name is not bounded. Raises RuntimeUnavailable for any other kind of
    address; else OSError, or ValueError (a path that is too long, a port that is none).
    """
    scheme, separator, path = base_url.partition("://")
    if separator and scheme == "tcp":
        return socket.create_connection(split_tcp(base_url, default_port), timeout_seconds)
    if not separator or scheme != "unix":
        raise RuntimeUnavailable("only unix:///PATH and tcp://HOST:PORT can be asked")
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout_seconds)
        connected.connect(path)
    except (OSError, ValueError):
        connected.close()
        raise
    return connected


def split_tcp(base_url: str, default_port: int) -> tuple[str, int]:
    """Host and port of `tcp://HOST:PORT`; raises ValueError."""
    # Costs 6 ms of import, which few need to pay.
    from urllib.parse import urlsplit

    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or default_port


def identify(base_url: str) -> tuple[int, int, int] | None:
    """What a socket file is known by: (st_dev, st_ino, st_ctime_ns); a runtime that starts anew makes another.

    The time is needed as well, since a file system may give the number of a removed file to the
    next one. None for `tcp://`, and where no socket file can be seen.
    """
    scheme, _, path = base_url.partition("://")
    if scheme != "unix":
        return None
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino, status.st_ctime_ns) if stat.S_ISSOCK(status.st_mode) else None


def read_owner(base_url: str) -> int | None:
    """The uid that a socket file belongs to; None for `tcp://`, and where none can be seen."""
    scheme, _, path = base_url.partition("://")
    try:
        return os.stat(path).st_uid if scheme == "unix" else None
    except (OSError, ValueError):
        return None


class Peer(NamedTuple):
    """Who listens at the other end of a unix socket, as of when that began; `pid` is None where it is not seen."""

    pid: Pid | None
    uid: int


def read_peer(connected: socket.socket) -> Peer | None:
    """None of another socket than a unix one."""
    if connected.family != socket.AF_UNIX:
        return None
    pid, uid, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(Pid(pid) if pid else None, uid)


def hang_up(connected: socket.socket) -> None:
    """End what another thread is at with this socket: its calls fail at once."""
    # Where the runtime has hung up already, that ends the call as well.
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def translate(err: BaseException, timeout_seconds: float) -> RuntimeUnavailable:
    """Why a source did not answer, in one line: the errno's name where one is at the bottom of it."""
    for cause in list_causes(err):
        if isinstance(cause, RuntimeUnavailable):
            return cause
        if isinstance(cause, TimeoutError):
            return RuntimeUnavailable(f"no answer within {timeout_seconds:g} s", Reason.NO_ANSWER)
        if isinstance(cause, FormatError):
            return RuntimeUnavailable(f"no valid answer: {one_line(str(cause))}", Reason.MALFORMED)
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            # A lookup that fails has a number of getaddrinfo(3) there, which has no name of errno's.
            name = errno.errorcode.get(cause.errno)
            reason = _REASON_OF_ERRNO.get(cause.errno, Reason.FAILED)
            return RuntimeUnavailable(f"{cause.strerror} ({name})" if name else cause.strerror, reason, name)
    return RuntimeUnavailable(one_line(str(err)) or type(err).__name__)


def one_line(text: str) -> str:
    """At most 160 characters of what a runtime said, in one line of a gap."""
    line = " ".join(text.split())
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"


def list_causes(err: BaseException) -> Iterator[BaseException]:
    """An error, and what led to it."""
    cause: BaseException | None = err
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
