"""The child that looks things up: how it begins, and that it ends, unless it is held up.

It has its own interpreter (posix_spawn(3), which is vfork and exec: no fork beside threads) and nothing of ours but one
end of a socketpair. What it is asked is kernel.lookups'.

Source: posix_spawn(3), pidfd_open(2), waitpid(2); the program is kernel.lookup_child.
"""

import fcntl
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

from nsagent.kernel.libc import close_fd

_CHILD_FD: Final = 3
_FIRST_FREE_FD: Final = 10
_PROGRAM: Final = (
    f"import sys; sys.path.append(sys.argv[1]); from nsagent.kernel.lookup_child import main; main({_CHILD_FD})"
)


def spawn(connection: socket.socket) -> int:
    """Start the child with this socket as its fd 3 and /dev/null as the others; its pid. Raises OSError."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    passed = fcntl.fcntl(connection, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _PROGRAM, package],
            os.environ,
            file_actions=[
                *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(_CHILD_FD)),
                (os.POSIX_SPAWN_DUP2, passed, _CHILD_FD),
            ],
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE),
        )
    finally:
        close_fd(passed)


def end(pid: int, seconds: float) -> bool:
    """Kill a child; whether it has ended within so many seconds."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return has_ended(pid)
    try:
        # Of a process of which one thread is held up this tells nothing: its other threads have ended, it has not.
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(int(seconds * 1000))
    finally:
        close_fd(pidfd)
    return has_ended(pid)


def has_ended(pid: int) -> bool:
    """Whether a child has ended; it is waited for then."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True  # Somebody else has waited for it, or nobody needs to: SIGCHLD is ignored.
