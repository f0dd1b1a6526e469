"""Opening netns by paths in which others have a say: nothing but a file of nsfs is ever opened.

A path is first resolved to an O_PATH fd, by which the file behind it is not opened: no FIFO, device or file of a
FUSE server notices. Then the file is asked what it is, without asking the file system of a foreigner: its link in
/proc/self/fd is written by the kernel, `net:[N]` for a netns that a link of procfs leads to, while all that has a path
is called by that, as a mounted netns is too. Only then it is opened anew, through that link, which leads to the very
same file.

Source: open(2), openat2(2), fs/namei.c do_o_path(), fs/d_path.c d_path(), fs/nsfs.c ns_dname().
"""

import os
import struct
from errno import ENOENT
from typing import Final

from nsagent.kernel.formats.fd_link import parse_inode_link
from nsagent.kernel.libc import call_libc, close_fd

_SYS_OPENAT2: Final = 437
_OPEN_HOW: Final = struct.Struct("=QQQ")
_RESOLVE_NO_MAGICLINKS: Final = 2
_RESOLVE_NO_SYMLINKS: Final = 4
_RESOLVE_IN_ROOT: Final = 0x10


def open_netns(path: str, *, dir_fd: int | None = None) -> int:
    """An fd on the netns that a link of procfs leads to, or that is mounted at a path of the own mount namespace.

    To be closed by the caller. Raises OSError, ENOENT where something else is there (by now). Takes 8 us.
    """
    found = os.open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        name = os.readlink(f"/proc/self/fd/{found}")
        # A file of somebody else's has another path than the link of procfs that leads to it.
        if parse_inode_link(name, "net") is None and not (name == path and _is_nsfs(found)):
            raise _no_netns()
        return _open_anew(found)
    finally:
        close_fd(found)


def open_netns_below(root: int, mount_point: str, inode: int) -> int:
    """The netns with this inode that is mounted in a foreign mount namespace, below the root directory of a process.

    No symbolic link is followed: a mount point has none in its path, but what is mounted over it may. May block
    for as long as a file system that its owner has mounted there wants to, and beyond SIGKILL. Raises OSError:
    ENOSYS before Linux 5.6, EPERM or ENOSYS where seccomp refuses openat2(2), ELOOP for a link.
    """
    found = open_below(root, os.fsencode(mount_point))
    try:
        if not _is_nsfs(found) or os.fstat(found).st_ino != inode:
            raise _no_netns()
        return _open_anew(found)
    finally:
        close_fd(found)


def open_below(root: int, path: bytes) -> int:
    """An O_PATH fd on what is at a path below this directory, which is taken for the root, by no symbolic link.

    To be closed by the caller. May block, and raises OSError, as open_netns_below().
    """
    how = _OPEN_HOW.pack(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
    return call_libc("syscall", _SYS_OPENAT2, root, path, how, len(how))


def _is_nsfs(fd: int) -> bool:
    """Whether a file is one of nsfs, of which there is one; asks the file system of the file."""
    return os.fstat(fd).st_dev == os.stat("/proc/self/ns/net").st_dev


def _open_anew(found: int) -> int:
    return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


def _no_netns() -> OSError:
    return OSError(ENOENT, "no netns")
