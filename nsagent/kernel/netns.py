"""Network namespaces: opened, told apart, and entered. The only module that calls setns(2).

setns moves the calling thread alone. A thread that is made for it enters one netns after the
other, makes a socket in each and ends: it never has to come back. A socket belongs to the netns
it was made in, whichever thread uses it.

Source: setns(2), network_namespaces(7), namespaces(7), fs/nsfs.c.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

from nsagent.errors import AccessDenied, ReadFailed
from nsagent.kernel.procfs import read_file, translate_errno
from nsagent.model.ids import NetnsId

CLONE_NEWNET: Final = 0x40000000


def read_own_netns() -> NetnsId:
    """The netns of the main thread, which no thread of this program moves."""
    found = os.stat("/proc/self/ns/net")
    return NetnsId(found.st_dev, found.st_ino)


def read_netns_id(fd: int) -> NetnsId:
    """Identity of an open nsfs file, sure as long as the fd is held."""
    found = os.fstat(fd)
    return NetnsId(found.st_dev, found.st_ino)


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
        self._setns = _load_setns()

    def enter(self, fd: int) -> str | None:
        """Move into an open netns; the text of its sockstat and sockstat6, None if unreadable.

        Raises AccessDenied and ReadFailed; the thread then stays where it is. Needs CAP_SYS_ADMIN
        for every netns but the own one. Takes 0.02 ms.
        """
        try:
            there = read_netns_id(fd)
            if there != self._here:
                self._setns(fd)
                self._here = there
        except OSError as err:
            raise _translate(err) from err
        return _read_sockstat(self._proc_root)


def _translate(err: OSError) -> AccessDenied | ReadFailed:
    translated = translate_errno(err, "setns", gone=False)
    return translated if isinstance(translated, AccessDenied | ReadFailed) else ReadFailed("setns", str(err))


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


def _load_setns() -> Callable[[int], None]:
    """A function that moves the calling thread into a netns; os.setns exists from Python 3.12 only."""
    if sys.version_info >= (3, 12):
        return lambda fd: os.setns(fd, CLONE_NEWNET)
    libc = ctypes.CDLL(None, use_errno=True)

    def setns(fd: int) -> None:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return setns
