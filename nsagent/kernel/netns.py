"""Network namespaces: opened, told apart, and entered. The only module that calls setns(2).

setns moves the calling thread alone. A thread that is made for it enters one netns after the
other, makes a socket in each and ends: it never has to come back. A socket belongs to the netns
it was made in, whichever thread uses it.

Source: setns(2), network_namespaces(7), namespaces(7), fs/nsfs.c.
"""

import os
import socket
import struct
import threading
from fcntl import ioctl
from typing import Final

from nsagent.kernel.files import read_file, translate_failure
from nsagent.kernel.libc import call_libc, close_fd
from nsagent.model.ids import NetnsId

CLONE_NEWNET: Final = 0x40000000
_SO_NETNS_COOKIE: Final = 71
_NS_GET_ID: Final = 0x8008B70D
"""_IOR(0xb7, 13, __u64); the architectures whose ioctl numbers differ (MIPS, PowerPC, SPARC) refuse it."""


def read_own_netns() -> NetnsId:
    """The netns of the main thread, which no thread of this program moves; raises NotRead."""
    try:
        found = os.stat("/proc/self/ns/net")
    except OSError as err:
        raise translate_failure(err, "own netns") from err
    return NetnsId(found.st_dev, found.st_ino)


def read_thread_netns() -> NetnsId:
    """The netns that the calling thread is in; raises NotRead."""
    try:
        found = os.stat("/proc/thread-self/ns/net")
    except OSError as err:
        raise translate_failure(err, "netns of a thread") from err
    return NetnsId(found.st_dev, found.st_ino)


def read_netns_id(fd: int) -> NetnsId:
    """Identity of an open nsfs file, sure as long as the fd is held."""
    found = os.fstat(fd)
    return NetnsId(found.st_dev, found.st_ino)


def list_own_netns_fds() -> frozenset[int]:
    """The fds of this program that hold a netns open; none of them should outlive a pass. Raises NotRead."""
    found = set()
    try:
        names = os.listdir("/proc/self/fd")
    except OSError as err:
        raise translate_failure(err, "own fds") from err
    for name in names:
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("net:["):
                found.add(int(name))
        except OSError:
            continue  # The fd of the listing itself.
    return frozenset(found)


class Entering:
    """Moves the thread that uses it from netns to netns.

    That thread is made for it and ends afterwards: it never comes back, so nothing that runs
    later can find itself in a foreign netns. Raises RuntimeError in the main thread.
    """

    def __init__(self, proc_root: str) -> None:
        if threading.current_thread() is threading.main_thread():
            raise RuntimeError("the main thread must stay in its netns")
        self._proc_root = proc_root
        self._here = read_own_netns()
        self._ids_are_cookies = _has_cookies_as_ids()

    def read_cookie(self, fd: int) -> int | None:
        """The cookie of an open netns, without a socket in it; None where the kernel tells it to sockets only.

        The ids of namespaces of Linux 6.18 are such cookies.
        """
        return _read_id(fd) if self._ids_are_cookies else None

    def enter(self, fd: int) -> str | None:
        """Move into an open netns; the text of its sockstat and sockstat6, None if unreadable.

        Raises NotRead; the thread then stays where it is. Needs CAP_SYS_ADMIN
        for every netns but the own one. Takes 0.02 ms.
        """
        try:
            there = read_netns_id(fd)
            if there != self._here:
                call_libc("setns", fd, CLONE_NEWNET)  # os.setns exists from Python 3.12 only.
                self._here = there
        except OSError as err:
            raise translate_failure(err, "setns") from err
        return self.read_sockstat()

    def read_sockstat(self) -> str | None:
        """The text of sockstat and sockstat6 of the netns that the thread is in, None if unreadable."""
        return _read_sockstat(self._proc_root)

    def read_key(self) -> int | None:
        """What tells the netns that the thread is in from others where inodes may not be read; None if unreadable.

        The st_ino of its net/dev, as ProcessDir.read_netns_key gives it for a process in there.
        """
        try:
            return os.stat(f"{self._proc_root}/thread-self/net/dev").st_ino
        except OSError:
            return None

    def read_net(self, name: str, *, most: int = 0) -> bytes | None:
        """The file net/NAME of the netns that the thread is in; None where this kernel has no such table.

        With `most` only its start if it has more bytes than that. Raises NotRead.
        """
        try:
            return read_file(f"{self._proc_root}/thread-self/net/{name}", most=most)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise translate_failure(err, f"net/{name}") from err


def _has_cookies_as_ids() -> bool:
    """Whether NS_GET_ID gives what SO_NETNS_COOKIE does: asked of the netns that the calling thread is in."""
    try:
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
                return _read_id(fd) == read_socket_cookie(any_socket) is not None
        finally:
            close_fd(fd)
    except OSError:
        return False


def read_socket_cookie(any_socket: socket.socket) -> int | None:
    """The cookie of the netns of a socket, unique since boot; None before Linux 5.14."""
    try:
        cookie: int = struct.unpack("=Q", any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8))[0]
    except OSError:
        return None
    return cookie


def _read_id(fd: int) -> int | None:
    """The id of an open namespace, None where the kernel has none."""
    try:
        found: int = struct.unpack("=Q", ioctl(fd, _NS_GET_ID, bytes(8)))[0]
    except OSError:
        return None
    return found


def _read_sockstat(proc_root: str) -> str | None:
    """sockstat and sockstat6 of the calling thread's netns: /proc/net would be the main thread's."""
    try:
        text = read_file(f"{proc_root}/thread-self/net/sockstat", whole=True)
    except OSError:
        return None
    try:
        text += read_file(f"{proc_root}/thread-self/net/sockstat6", whole=True)
    except FileNotFoundError:
        pass  # A kernel without IPv6.
    except OSError:
        return None
    return text.decode("ascii", "replace")
