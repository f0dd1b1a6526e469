"""A FUSE server that answers no look-up, or late, or nothing at all (include/uapi/linux/fuse.h, fuse(4))."""

import os
import struct
import time
from contextlib import suppress
from enum import StrEnum

from tests.live.hostile.calls import mount

_LOOKUP, _GETATTR, _INIT = 1, 3, 26
_NO_ANSWER = frozenset((2, 36, 42))
"""FORGET, INTERRUPT and BATCH_FORGET have none."""
_REQUEST = struct.Struct("=IIQQIIII")
_ENOSYS, _ENOENT = 38, 2
_LATE_SECONDS = 0.5


class Manner(StrEnum):
    """What becomes of a LOOKUP."""

    MUTE = "mute"
    HOLDS = "holds"
    LATE = "late"


def mount_fuse(device: str, place: str) -> int:
    """Cover `place`; the fd on which the kernel now asks."""
    fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        who = f"user_id={os.geteuid()},group_id={os.getegid()}"
        mount("fuse", place, "fuse", 0, f"fd={fd},rootmode=40000,{who},allow_other")
    except OSError:
        os.close(fd)
        raise
    return fd


def serve(fd: int, manner: Manner) -> None:
    """Answer as that manner is, until the mount is gone."""
    with suppress(OSError):
        while manner is not Manner.MUTE:
            answer(fd, os.read(fd, 1 << 20), manner)


def answer(fd: int, request: bytes, manner: Manner) -> None:
    _, operation, unique, *_ = _REQUEST.unpack_from(request)
    data, error = b"", 0
    if operation in _NO_ANSWER or (operation == _LOOKUP and manner is Manner.HOLDS):
        return
    if operation == _LOOKUP:
        time.sleep(_LATE_SECONDS)
        error = -_ENOENT
    elif operation == _INIT:
        data = struct.pack("=IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0, *[0] * 7)
    elif operation == _GETATTR:
        data = struct.pack("=QII6Q10I", 1, 0, 0, 1, *[0] * 5, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
    else:
        error = -_ENOSYS
    os.write(fd, struct.pack("=IiQ", 16 + len(data), error, unique) + data)
