"""Files and links of one process, through its held directory, that the kernel tells without waiting for anybody.

Those that may wait, for its mmap lock or for a file system of somebody else's, are read by a child (kernel.questions).

Source: proc(5), fs/proc/base.c; a link is put together from names in memory (fs/d_path.c d_path()).
"""

import os
from collections.abc import Callable
from errno import ENOENT
from typing import NamedTuple, TypeVar

from nsagent.errors import NotRead
from nsagent.kernel.files import read_file, translate_errno
from nsagent.kernel.libc import close_fd
from nsagent.kernel.procfs import ProcessDir, is_number
from nsagent.model.ids import Fd

T = TypeVar("T")


class FdTargets(NamedTuple):
    """What the links of an fd table say, by ascending fd; `unread` are those that the kernel does not tell, and why."""

    targets: tuple[tuple[Fd, str], ...]
    unread: tuple[tuple[Fd, NotRead], ...]
    left_out: int
    """How many more fds there are."""


def read_detail(process: ProcessDir, name: str, most_bytes: int = 0) -> bytes:
    """A file of a process; of one with more than `most_bytes`, if that is not 0, not all. Raises Gone and NotRead."""
    return _call(process, lambda: read_file(name, dir_fd=process.fileno(), most=most_bytes))


def read_link(process: ProcessDir, name: str) -> str:
    """What a link of a process says, which is not followed; raises Gone and NotRead."""
    return _call(process, lambda: os.readlink(name, dir_fd=process.fileno()))


def list_fd_targets(process: ProcessDir, most: int) -> FdTargets:
    """The links of its fds, of the first so many; raises Gone and NotRead.

    An fd that is closed meanwhile is left out. Takes 4 us for each.
    """
    directory = _call(
        process, lambda: os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process.fileno())
    )
    try:
        fds = sorted(int(name) for name in _call(process, lambda: os.listdir(directory)) if is_number(name))
        targets, unread = [], []
        for fd in fds[:most]:
            try:
                targets.append((Fd(fd), os.readlink(str(fd), dir_fd=directory)))
            except OSError as err:
                failed = translate_errno(err, f"fd {fd}")
                if isinstance(failed, NotRead):
                    unread.append((Fd(fd), failed))
                elif err.errno != ENOENT:  # ESRCH: not the fd is gone, but the process.
                    raise failed from err
    finally:
        close_fd(directory)
    return FdTargets(tuple(targets), tuple(unread), max(len(fds) - most, 0))


def _call(process: ProcessDir, read: Callable[[], T]) -> T:
    try:
        return read()
    except OSError as err:
        raise translate_errno(err, process.subject) from err
