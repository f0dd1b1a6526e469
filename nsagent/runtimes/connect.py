"""A stream to an engine: `unix:///PATH` or `tcp://HOST:PORT` -> a connected socket, and errors in one line.

Source: unix(7), tcp(7). An engine that is absent, stopped or forbidden is told here, before the
client of any protocol is imported; and a socket made here is one that another thread can shut
down, which is how a question that takes too long is ended.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterator

from nsagent.errors import RuntimeUnavailable
from nsagent.runtimes.wire.one_line import one_line

_DOCKER_PORT = 2375


def connect(base_url: str, timeout_seconds: float) -> socket.socket:
    """A stream socket connected to the engine; each wait for it lasts at most `timeout_seconds`.

    `tcp://` is without TLS, its port 2375 if none is given; the lookup of a host name is not
    bounded. Raises RuntimeUnavailable for any other kind of address; else OSError, or ValueError
    (a path that is too long, a port that is none): `explain` says in words what was wrong.
    """
    scheme, separator, path = base_url.partition("://")
    if separator and scheme == "tcp":
        # Costs 6 ms of import, which few need to pay.
        from urllib.parse import urlsplit

        parts = urlsplit(base_url)
        return socket.create_connection((parts.hostname or "", parts.port or _DOCKER_PORT), timeout_seconds)
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


def identify(base_url: str) -> tuple[int, int, int] | None:
    """What a socket file is known by: (st_dev, st_ino, st_ctime_ns); an engine that starts anew makes another.

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


def explain(err: BaseException, timeout_seconds: float) -> str:
    """One line for why an engine did not answer: the errno's name where one is at the bottom of it."""
    for cause in _list_causes(err):
        if isinstance(cause, TimeoutError):
            return f"no answer within {timeout_seconds:g} s"
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            # A lookup that fails has a number of getaddrinfo(3) there, which has no name of errno's.
            name = errno.errorcode.get(cause.errno)
            return f"{cause.strerror} ({name})" if name else cause.strerror
    return one_line(str(err)) or type(err).__name__


def is_silence(err: BaseException) -> bool:
    """Whether an error says that an engine did not answer in time, and not what it answered or that it is absent."""
    return any(isinstance(cause, TimeoutError) for cause in _list_causes(err))


def _list_causes(err: BaseException) -> Iterator[BaseException]:
    """An error, and what led to it."""
    cause: BaseException | None = err
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
