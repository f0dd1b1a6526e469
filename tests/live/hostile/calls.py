"""System calls that Python has no name for, as the hostile processes use them; each raises OSError.

Sources: unshare(2), setns(2), mount(2), prctl(2), user_namespaces(7), io_uring_setup(2).
"""

import ctypes
import fcntl
import os
import platform
import socket
import struct

CLONE_FILES, CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x400, 0x20000, 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME = 1, 4, 15
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_SYS_EXIT = {"x86_64": 60}
_SYS_IO_URING_SETUP, _SYS_IO_URING_REGISTER, _URING_PARAMS_BYTES = 425, 427, 120
_REGISTER_FILES, _REGISTER_RING_FDS = 2, 20
_LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, name: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def unshare(flags: int) -> None:
    _checked(_LIBC.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    _checked(_LIBC.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    _checked(_LIBC.mount(source.encode(), os.fsencode(target), kind.encode(), flags, data.encode()), "mount")


def unmount(target: str) -> None:
    """Lazily, what lies on top."""
    _checked(_LIBC.umount2(os.fsencode(target), MNT_DETACH), "umount2")


def die_with_parent() -> None:
    _checked(_LIBC.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl")


def set_dumpable(value: int) -> None:
    """Whether files in /proc/PID are those of the uid of the process (1) or of root (0)."""
    _checked(_LIBC.prctl(_PR_SET_DUMPABLE, value, 0, 0, 0), "prctl")


def set_comm(name: bytes) -> None:
    """The comm of the calling thread."""
    _checked(_LIBC.prctl(_PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0), "prctl")


def exit_thread() -> None:
    """End the calling thread alone; if it is the first one, its process is a zombie with threads."""
    _LIBC.syscall(_SYS_EXIT.get(platform.machine(), 93), 0)


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def make_ring(files: list[int]) -> int:
    """The fd of an io_uring in which these are registered."""
    ring = _checked(_LIBC.syscall(_SYS_IO_URING_SETUP, 1, ctypes.create_string_buffer(_URING_PARAMS_BYTES)), "io_uring")
    array = (ctypes.c_int * len(files))(*files)
    _checked(_LIBC.syscall(_SYS_IO_URING_REGISTER, ring, _REGISTER_FILES, array, len(files)), "io_uring")
    return ring


def register_ring(ring: int) -> None:
    """Let this thread use the ring without its fd, which may be closed then."""
    update = ctypes.create_string_buffer(struct.pack("=IIQ", 0xFFFFFFFF, 0, ring), 16)
    _checked(_LIBC.syscall(_SYS_IO_URING_REGISTER, ring, _REGISTER_RING_FDS, update, 1), "io_uring")


def become(uid: int) -> None:
    """Be that ordinary user for good, readable for that user."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    set_dumpable(1)


def enter_user_namespace(inner: int, more: int) -> None:
    """A new user namespace in which this user is `inner`, and other new namespaces of the kinds `more`."""
    outer = os.geteuid()
    unshare(CLONE_NEWUSER | more)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{inner} {outer} 1"), ("gid_map", f"{inner} {outer} 1")):
        with open(f"/proc/self/{name}", "wb") as file:
            file.write(text.encode())
