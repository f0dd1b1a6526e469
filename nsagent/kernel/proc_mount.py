"""Whether a directory is a procfs of the running kernel, and no copy of one.

Source: proc_pid_mountinfo(5), statfs(2), include/uapi/linux/magic.h.
"""

import os
import struct
from typing import Final

from nsagent.kernel.files import read_file
from nsagent.kernel.libc import call_libc

_PROC_SUPER_MAGIC: Final = 0x9FA0
_STATFS_BYTES: Final = 256
"""More than a struct statfs has anywhere; it begins with the kind of the file system, a long."""


def is_procfs(root: str) -> bool:
    """Whether it lies on a mount of type proc: of this mount namespace, as nearly always, or of another one.

    A path may lead there through a link of procfs, as /proc/PID/root/proc does.
    """
    try:
        device = os.stat(root).st_dev
        mounts = read_file("/proc/self/mountinfo")
    except OSError:
        return False
    number = f" {os.major(device)}:{os.minor(device)} ".encode()
    return any(number in line and b" - proc " in line for line in mounts.splitlines()) or _is_elsewhere(root)


def _is_elsewhere(root: str) -> bool:
    import ctypes  # For whoever names such a path, or a copy: it takes 2-5 ms.

    found = ctypes.create_string_buffer(_STATFS_BYTES)
    try:
        call_libc("statfs", os.fsencode(root), ctypes.addressof(found))
    except OSError:
        return False
    (kind,) = struct.unpack_from("@l", found)
    return bool(kind == _PROC_SUPER_MAGIC)
