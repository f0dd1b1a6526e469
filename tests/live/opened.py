"""Whether anybody has opened a file: inotify(7), which does not tell of O_PATH."""

import ctypes
import os
import select
from typing import Self

_IN_OPEN = 0x20


class OpenWatch:
    """Watches files from now on."""

    def __init__(self, *paths: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_CLOEXEC)
        for path in paths:
            if libc.inotify_add_watch(self._fd, path.encode(), _IN_OPEN) < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch", path)

    def has_seen(self) -> bool:
        """Whether one of them has been opened."""
        return bool(select.select([self._fd], [], [], 0)[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
