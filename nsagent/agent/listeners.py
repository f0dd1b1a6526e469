"""The sockets that the agent serves at: TCP, and the unix socket of this host's root.

unix(7), tcp(7). What is opened here listens already: who connects is served as soon as somebody accepts.
"""

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Final, NamedTuple

from nsagent.errors import ServeFailed

BACKLOG: Final = 1024
"""Clients that wait until they are accepted; the kernel may allow fewer (net.core.somaxconn)."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_PATH: Final = 107
"""Bytes of sun_path, without the NUL at its end."""


class TcpListener(NamedTuple):
    """A TCP socket that listens, and who can reach it."""

    socket: socket.socket
    host: str
    """As it was configured."""
    is_loopback: bool


class UnixListener(NamedTuple):
    """A unix socket that listens, and the file that stands for it."""

    socket: socket.socket
    path: str
    file: tuple[int, int]
    """Its device and inode."""

    def is_there(self) -> bool:
        """Whether this is the file at its path still."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.file

    def remove(self) -> None:
        """Take the file away, if it is this one still."""
        if self.is_there():
            with suppress(OSError):
                os.unlink(self.path)


def open_tcp(listen: str, *, has_token: bool) -> TcpListener:
    """A listener at `ADDRESS:PORT` (`[ADDRESS]:PORT` of IPv6; port 0 takes any).

    All addresses of the host at once are only for those who ask for a token. Raises ServeFailed.
    """
    host, port = split_listen(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as err:
        raise ServeFailed(f"http: {listen}: no such address: {err}") from err
    number = ip_address(str(address[0]).partition("%")[0])
    if number.is_unspecified and not has_token:
        raise ServeFailed(f"http: {listen}: all addresses of the host are served with a token_file only")
    try:
        listener = socket.socket(family, kind, protocol)
    except OSError as err:
        raise ServeFailed(f"http: {listen}: cannot listen there: {err.strerror}") from err
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as err:
        listener.close()
        raise ServeFailed(f"http: {listen}: cannot listen there: {err.strerror}") from err
    return TcpListener(listener, host, number.is_loopback)


def split_listen(listen: str) -> tuple[str, int]:
    """Address and port; raises ServeFailed."""
    host, _, port = listen.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ServeFailed(f"http: {listen}: expected ADDRESS:PORT, like 127.0.0.1:9469 or [::1]:9469")
    return host, int(port)


def open_unix(path: str) -> UnixListener:
    """A listener at `path` that its owner alone can reach: the directory is 0700 and made where it is missing.

    What a dead agent has left is replaced; nothing else is. Raises ServeFailed.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ServeFailed(f"socket: {path}: longer than the {_LONGEST_PATH} bytes that the kernel takes")
    directory, name = os.path.split(path)
    try:
        with _hold_directory(directory) as held:
            _clear(path, name, held)
            return _bind(path, name, held)
    except OSError as err:
        raise ServeFailed(f"socket: {path}: cannot listen there: {err.strerror}") from err


@contextmanager
def _hold_directory(directory: str) -> Iterator[int]:
    """An fd on the directory, which is ours alone, locked: two agents that start at once come one after the other."""
    with suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    fd = os.open(directory, _DIRECTORY)
    try:
        found = os.fstat(fd)
        if found.st_uid not in (0, os.geteuid()):
            raise ServeFailed(f"socket: {directory}: belongs to uid {found.st_uid}: it has to be root's or the agent's")
        if stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            raise ServeFailed(f"socket: {directory}: open to others: chmod 0700, or name a directory below it")
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _clear(path: str, name: str, directory: int) -> None:
    """Take away a socket that nobody answers at; raises ServeFailed for all else that is there."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ServeFailed(f"socket: {path}: is there already, and no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(name, dir_fd=directory)
            return
        except BlockingIOError:
            pass  # So many wait there that no more may: somebody is there.
    raise ServeFailed(f"socket: {path}: another agent answers there")


def _bind(path: str, name: str, directory: int) -> UnixListener:
    listener = socket.socket(socket.AF_UNIX)
    try:
        # Nobody else gets through the directory, whatever the umask says until the next line.
        listener.bind(path)
        os.chmod(name, 0o600, dir_fd=directory)
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISSOCK(found.st_mode):
            raise ServeFailed(f"socket: {path}: its directory has been replaced meanwhile")
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return UnixListener(listener, path, (found.st_dev, found.st_ino))
