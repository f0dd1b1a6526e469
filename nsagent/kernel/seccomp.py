"""System calls that a filter may kill for: SystemCallFilter= of systemd does, at each that is not on its list.

What a filter says to a call can be found out by making it only: a child does, and shows whether it
outlives that.

Source: seccomp(2), proc_pid_status(5) Seccomp, systemd.exec(5) SystemCallFilter=.
"""

import sys
from functools import cache

from nsagent.kernel.files import read_file

_SECONDS = 10
_TRY = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: its end leaves no core.
libc.syscall(int(sys.argv[1]), -1, -1, -1, -1, -1)
"""


def has_filter() -> bool:
    """Whether a filter decides about the system calls of this program; also where that cannot be read."""
    try:
        return b"\nSeccomp:\t2\n" in read_file("/proc/self/status")
    except OSError:
        return True


@cache
def survives(number: int) -> bool:
    """Whether the system call of this number can be made at all, whatever it then says.

    Asked once of each: with a filter that takes a child, and 20 ms. The child makes the call with
    arguments that are none, so that it does nothing.
    """
    return not has_filter() or try_call(number)


def try_call(number: int) -> bool:
    """Whether a child that makes the system call of this number outlives it; False too where none can be started."""
    import subprocess

    command = [sys.executable, "-I", "-S", "-c", _TRY, str(number)]
    nothing = subprocess.DEVNULL
    try:
        done = subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
