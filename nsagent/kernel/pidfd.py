"""What an fd table of another process holds, beyond its links: the netns of a socket, and whose table it is.

Source: pidfd_open(2), pidfd_getfd(2), kcmp(2), kernel/pid.c, kernel/kcmp.c; ioctl SIOCGSKNS of
net/socket.c (include/uapi/linux/sockios.h).
"""

import fcntl
import os
import stat
import sys
import threading
from collections.abc import Mapping
from errno import EBADF, EPERM
from functools import cache
from typing import Final

from nsagent.errors import AccessDenied, Gone, NotRead, ReadFailed
from nsagent.kernel.files import translate_errno
from nsagent.kernel.libc import call_libc, close_fd
from nsagent.kernel.seccomp import survives
from nsagent.kernel.threads import start_thread

_SYS_PIDFD_GETFD: Final = 438
_SIOCGSKNS: Final = 0x894C
_KCMP_FILES: Final = 2
_CLOSE_SECONDS: Final = 0.1
_ORDER: Final = (0, -1, 1, 1)
"""What kcmp(2) returns -> how the first compares to the second. 3 is unequal, told where there is no order."""
_SYS_KCMP: Final[Mapping[tuple[str, int], int]] = {
    ("x86_64", 64): 312,
    ("aarch64", 64): 272,
    ("riscv64", 64): 272,
    ("loongarch64", 64): 272,
    ("ppc64le", 64): 354,
    ("s390x", 64): 343,
    ("armv7l", 32): 378,
    ("aarch64", 32): 378,
    ("i686", 32): 349,
    ("x86_64", 32): 349,
}
"""(machine of uname(2), bits of this program) -> number of the system call."""


def open_netns_of_socket(pid: int, fd: int, inode: int, *, thread: bool = False) -> int:
    """An fd on the netns of the socket that a process holds at `fd`, to be closed by the caller.

    The only way to a netns that is held by a socket alone. `pid` is one of the own PID namespace;
    `thread`: it is that of a thread which does not lead its process (Linux 6.9, before: EINVAL).
    The socket itself is duplicated and closed at once; should its process close it in between, that
    is when the connection ends, and until then its epoll sets tell of it. So the link of the fd is
    read just before: another socket is left alone. See close_aside, too.

    Raises Gone if the process is, or holds another file there than the socket with `inode`, and NotRead
    (ENOSYS before Linux 5.6, EPERM where a seccomp filter kills for it). Needs CAP_SYS_PTRACE over the
    process and CAP_NET_ADMIN over the netns. Takes 80 us, most of them for that thread.
    """
    try:
        if not survives(_SYS_PIDFD_GETFD):
            raise OSError(EPERM, os.strerror(EPERM))
        process = os.pidfd_open(pid, os.O_EXCL if thread else 0)  # PIDFD_THREAD is O_EXCL.
        try:
            # A tid has a directory too, which is not listed (proc(5)).
            if os.readlink(f"/proc/{pid}/fd/{fd}") != f"socket:[{inode}]":
                raise OSError(EBADF, os.strerror(EBADF))
            duplicate = call_libc("syscall", _SYS_PIDFD_GETFD, process, fd, 0)
        finally:
            close_fd(process)
        try:
            found = os.fstat(duplicate)
            if not stat.S_ISSOCK(found.st_mode) or found.st_ino != inode:
                raise OSError(EBADF, os.strerror(EBADF))
            return fcntl.ioctl(duplicate, _SIOCGSKNS)
        finally:
            close_aside(duplicate)
    except OSError as err:
        raise _translate(err, f"fd {fd} of pid {pid}") from err


def close_aside(fd: int) -> None:
    """Close a duplicate of somebody else's socket in a thread that can be left behind.

    Where it is the last one by now, its SO_LINGER lets close(2) wait as long as its process wished:
    that may be hours (net/ipv4/af_inet.c inet_release()). A thread that is left behind ends by itself,
    or with the program.
    """
    closing = threading.Thread(target=close_fd, args=(fd,), daemon=True)
    try:
        start_thread(closing)
    except ReadFailed:
        close_fd(fd)
    else:
        closing.join(_CLOSE_SECONDS)


def shares_fd_table(pid: int, tid: int) -> bool | None:
    """Whether two threads (a process is its leader) have one fd table; None where that cannot be told.

    Means something only if both are numbers of the own PID namespace: in others they belong to
    someone else. A leader that has exited has no table any more: it shares none with a live
    thread. Raises Gone if either is, and NotRead. Needs CAP_SYS_PTRACE over both.
    Takes 3 us.
    """
    try:
        return compare_fd_tables(pid, tid) == 0
    except AccessDenied:
        return None
    except ReadFailed as err:
        if err.errno == "ENOSYS":
            return None
        raise


def compare_fd_tables(one: int, other: int) -> int:
    """0 if two threads have one fd table; else -1 or 1, an order of all tables that holds while they are there.

    As shares_fd_table, but for NotRead wherever it cannot be told: AccessDenied, or ENOSYS.
    """
    subject = f"fd tables of threads {one} and {other}"
    number = _find_kcmp()
    if number is None:
        raise ReadFailed(subject, "ENOSYS")
    try:
        return _ORDER[call_libc("syscall", number, one, other, _KCMP_FILES, 0, 0)]
    except OSError as err:
        raise _translate(err, subject) from err


@cache
def _find_kcmp() -> int | None:
    """The number of kcmp(2); None where this program does not know it, or a seccomp filter kills for it."""
    number = _SYS_KCMP.get((os.uname().machine, sys.maxsize.bit_length() + 1))
    return number if number is not None and survives(number) else None


def _translate(err: OSError, subject: str) -> Gone | NotRead:
    if err.errno == EBADF:
        return Gone(f"{subject}: EBADF")
    return translate_errno(err, subject)
