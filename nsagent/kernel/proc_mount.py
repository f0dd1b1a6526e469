"""Whether a directory is a procfs of the running kernel, and no copy of one; and what is hidden in there by mounts.

Source: proc_pid_mountinfo(5), statfs(2), include/uapi/linux/magic.h.
"""

import os
import struct
from typing import Final, NamedTuple

from nsagent.kernel.files import read_file
from nsagent.kernel.formats.mountinfo import list_covered_pids
from nsagent.kernel.libc import call_libc

_PROC_SUPER_MAGIC: Final = 0x9FA0
_STATFS_BYTES: Final = 256
"""More than a struct statfs has anywhere; it begins with the kind of the file system, a long."""


class ProcMount(NamedTuple):
    """What the mounts of this mount namespace tell of a directory.

    `live`: it is a procfs. `covered` are the processes over whose directory in there something is mounted: a
    directory of another process above all hides them from whoever looks there.
    """

    live: bool
    covered: frozenset[int]


def read_proc_mount(root: str) -> ProcMount:
    """Of a mount of type proc, of this mount namespace, as nearly always, or of another one.

    A path may lead there through a link of procfs, as /proc/PID/root/proc does.
    """
    try:
        device = os.stat(root).st_dev
        mounts = read_file("/proc/self/mountinfo")
    except OSError:
        return ProcMount(live=False, covered=frozenset())
    number = f" {os.major(device)}:{os.minor(device)} ".encode()
    live = any(number in line and b" - proc " in line for line in mounts.splitlines()) or _is_elsewhere(root)
    return ProcMount(live, list_covered_pids(mounts, root))


def _is_elsewhere(root: str) -> bool:
    import ctypes  # For whoever names such a path, or a copy: it takes 2-5 ms.

    found = ctypes.create_string_buffer(_STATFS_BYTES)
    try:
        call_libc("statfs", os.fsencode(root), ctypes.addressof(found))
    except OSError:
        return False
    (kind,) = struct.unpack_from("@l", found)
    return bool(kind == _PROC_SUPER_MAGIC)
