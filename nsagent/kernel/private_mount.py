"""A file system mounted for this program alone: in no mount namespace, and gone when its fd is closed.

Source: fsopen(2), fsconfig(2), fsmount(2).
"""

import os
from collections.abc import Callable
from errno import EPERM
from typing import Final

from nsagent.kernel.libc import call_libc, close_fd
from nsagent.kernel.seccomp import survives

_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_FSOPEN_CLOEXEC: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
_FSMOUNT_CLOEXEC: Final = 1


def create(context: int) -> None:
    """Create what `context` was opened for (fsopen); raises OSError."""
    call_libc("syscall", _SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)


def mount_privately(kind: bytes, create: Callable[[int], object] = create) -> int:
    """An fd on the root directory of a new mount of this kind of file system; raises OSError.

    What it shows is settled by the namespaces of the calling thread. Needs CAP_SYS_ADMIN, and Linux 5.2.
    """
    if not survives(_SYS_FSOPEN):
        raise OSError(EPERM, os.strerror(EPERM))
    context = call_libc("syscall", _SYS_FSOPEN, kind, _FSOPEN_CLOEXEC)
    try:
        create(context)
        mount = call_libc("syscall", _SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        close_fd(context)
    try:
        # What fsmount gives is O_PATH, which open_by_handle_at(2) does not take.
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
    finally:
        close_fd(mount)
