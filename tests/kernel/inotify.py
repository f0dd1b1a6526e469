"""Whether a file was opened by anybody: open(2) is an event, an O_PATH fd or a stat is none (inotify(7))."""

import ctypes
import os
import select
from typing import Final, Self

IN_OPEN: Final = 0x20


class Opened:
    """Watches one file while it is entered."""

    def __init__(self, path: os.PathLike[str]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_CLOEXEC)
        if libc.inotify_add_watch(self._fd, os.fsencode(path), IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def happened(self) -> bool:
        """Whether it was opened since it is watched: the kernel queues the event before open(2) returns."""
        return bool(select.select([self._fd], [], [], 0)[0])
