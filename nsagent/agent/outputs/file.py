"""Reports in files: each in the place of the one before, or all in one that is rotated.

The way to the file is walked anew for each report, so that a directory that was gone may come back, and that a file
that others have moved away (logrotate) is made anew. Nobody but root and the own user may be able to put
something else there: see nsagent/scan/held_directory.py. One thread at a time writes to one path.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from nsagent.agent.outputs.report import Tell
from nsagent.errors import PathRefused
from nsagent.scan.held_directory import (
    check_own,
    check_own_file,
    hold_directory,
    remove_unfinished,
    replace_file,
    sync_directory,
)

REPORT_MODE: Final = 0o640
TEXTFILE_MODE: Final = 0o644
"""node_exporter runs as a user of its own."""

_APPENDED: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class WholeFile:
    """A file that each report replaces: a reader sees the old one or the new one, never a part."""

    def __init__(self, path: str, mode: int) -> None:
        self._path = Path(path)
        self._mode = mode
        self._is_tidy = _tidy(self._path)

    def put(self, data: bytes) -> None:
        """Raises OSError and PathRefused; the old report stays then."""
        self._is_tidy = self._is_tidy or _tidy(self._path)
        with hold_directory(self._path.parent, guarded=True) as directory:
            check_own(self._path.name, directory)
            replace_file(self._path.name, directory, data, self._mode)


class AppendedFile:
    """A file that reports are appended to, each as a whole or not at all.

    Where the next one would make it larger than `max_bytes` it becomes path.1, path.1 becomes path.2, and so
    on up to path.`keep`. A report that is larger by itself gets a file of its own.
    """

    def __init__(self, path: str, max_bytes: int, keep: int, tell: Tell) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._keep = keep
        self._tell = tell
        self._is_tidy = _tidy(self._path)

    def put(self, data: bytes) -> None:
        """Raises OSError and PathRefused; the file is as it was then."""
        if not data.endswith(b"\n"):
            data += b"\n"
        self._is_tidy = self._is_tidy or _tidy(self._path)
        with hold_directory(self._path.parent, guarded=True) as directory:
            size = self._append(directory, data)
            if size is not None and size > 0:
                self._rotate(directory)
                self._append(directory, data, always=True)

    def _append(self, directory: int, data: bytes, *, always: bool = False) -> int | None:
        """None if it is written, else the size of the file, which is too large for it."""
        is_new = not check_own(self._path.name, directory)
        fd = os.open(self._path.name, _APPENDED, REPORT_MODE, dir_fd=directory)
        try:
            found = os.fstat(fd)
            check_own_file(found)
            if found.st_size and found.st_size + len(data) > self._max_bytes and not always:
                return found.st_size
            if not found.st_size:  # The umask is the caller's, the mode is not.
                os.fchmod(fd, REPORT_MODE)
            if found.st_size and os.pread(fd, 1, found.st_size - 1) != b"\n":
                self._tell(f"{self._path}: its last line was cut off, as by a kill; it is ended where it is")
                data = b"\n" + data
            _write_whole(fd, data, found.st_size)
        finally:
            os.close(fd)
        if is_new:
            sync_directory(directory)
        return None

    def _rotate(self, directory: int) -> None:
        """Each older file one further, from the first free number on: after a kill in the midst nothing is lost."""
        names = [self._path.name, *(f"{self._path.name}.{number}" for number in range(1, self._keep + 1))]
        last = 0
        while last < self._keep and check_own(names[last], directory):
            last += 1
        check_own(names[last], directory)
        for number in range(last, 0, -1):
            os.rename(names[number - 1], names[number], src_dir_fd=directory, dst_dir_fd=directory)
        sync_directory(directory)


def _tidy(path: Path) -> bool:
    """Remove what an agent that was killed has left beside the file; whether its directory was there."""
    try:
        with hold_directory(path.parent, guarded=True) as directory:
            remove_unfinished(directory)
    except (OSError, PathRefused):  # The report that cannot be written tells it.
        return False
    return True


def _write_whole(fd: int, data: bytes, size: int) -> None:
    """All of it at the end of a file of that size, on disk; raises OSError, and the file has that size again."""
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    except BaseException:
        with suppress(OSError):  # Then its last line is ended before the next report.
            os.ftruncate(fd, size)
        raise
