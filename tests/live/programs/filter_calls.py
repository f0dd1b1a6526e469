"""`filter_calls.py netlink=ERRNO|refuse=ERRNO,NUMBERS|kill=NUMBERS COMMAND...`: run it under a filter of system calls.

`netlink`: socket(AF_NETLINK) is refused with that errno, as a seccomp profile does, or
RestrictAddressFamilies= of systemd. `refuse`: so are calls of these numbers. `kill`: who makes a call
of these numbers ends by SIGSYS, as by SystemCallFilter= of systemd. Source: seccomp(2), the classic
BPF of include/uapi/linux/filter.h.
"""

import ctypes
import os
import platform
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
AF_NETLINK = 16
SYS_SOCKET = {"x86_64": 41, "aarch64": 198, "riscv64": 198}
NUMBER_AT, FIRST_ARGUMENT_AT = 0, 16


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


Step = tuple[int, int, int, int]
"""struct sock_filter."""


def refuse_netlink(errno: int) -> list[Step]:
    """The filter that refuses sockets of netlink."""
    return [
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_IF_EQUAL, 0, 3, SYS_SOCKET[platform.machine()]),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        (JUMP_IF_EQUAL, 0, 1, AF_NETLINK),
        (RETURN, 0, 0, FAIL | errno),
        (RETURN, 0, 0, ALLOW),
    ]


def end_with(action: int, numbers: list[int]) -> list[Step]:
    """The filter that does this for these system calls."""
    one_by_one = [step for number in numbers for step in ((JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, action))]
    return [(LOAD, 0, 0, NUMBER_AT), *one_by_one, (RETURN, 0, 0, ALLOW)]


def install(steps: list[Step]) -> None:
    """From now on in this process, and in what it becomes."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = Program(len(steps), ctypes.cast(code, ctypes.c_void_p).value)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_NO_NEW_PRIVS, 1), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER)):
        argument = ctypes.byref(program) if option == PR_SET_SECCOMP else 0
        if libc.prctl(option, value, argument, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    kind, _, values = sys.argv[1].partition("=")
    given = [int(value) for value in values.split(",")]
    if kind == "netlink":
        install(refuse_netlink(given[0]))
    elif kind == "refuse":
        install(end_with(FAIL | given[0], given[1:]))
    else:
        install(end_with(KILL_PROCESS, given))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is what it is for.
