"""What the directories that tell names without a runtime have in common: bounds, and an end before the end."""

import errno
import os
import stat
import threading
from typing import Final

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.model.container import Container
from nsagent.runtimes.connect import translate

ENTRY_LIMIT = 100_000
"""More entries than any node has in such a directory: reading them takes longer than a runtime may."""

ERRNOS_OF_ALL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""The state of the machine and not of a file: the next one would fail as well."""

# A FIFO opens at once, and a terminal does not become ours, before fstat(2) tells what it is.
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


class DirectorySource:
    """One directory; `name` is the records' source, `named` says whether somebody asked for it.

    `entry_limit` bounds what is in the directory and below it, together.
    """

    def __init__(self, directory: str, name: str, *, named: bool = True, entry_limit: int = ENTRY_LIMIT) -> None:
        self.directory = directory
        self.name = name
        self.named = named
        self.subject = f"{name} ({directory})"
        self.entry_limit = entry_limit
        self._abandoned = threading.Event()

    def list_containers(self) -> tuple[Container, ...]:
        """What the directory tells, each id once. Raises RuntimeUnavailable with one line."""
        self._abandoned.clear()
        try:
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                return self._read(descriptor)
            finally:
                os.close(descriptor)
        except OSError as err:
            raise translate(err, 0.0) from err
        except ValueError as err:
            raise RuntimeUnavailable(f"no path: {err}") from err

    def abandon(self) -> None:
        """End the call of `list_containers` that another thread is in, if any: it fails at the next entry."""
        self._abandoned.set()

    def check_wanted(self) -> None:
        """Raises RuntimeUnavailable once nobody waits for the answer."""
        if self._abandoned.is_set():
            raise RuntimeUnavailable("given up before the end")

    def _read(self, descriptor: int) -> tuple[Container, ...]:
        """The containers, by the open directory; raises OSError and RuntimeUnavailable."""
        raise NotImplementedError


def list_entries(descriptor: int, limit: int) -> list[str]:
    """The names in a directory, ascending. Raises OSError, and RuntimeUnavailable if there are more than `limit`."""
    names: list[str] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if len(names) >= limit:
                raise RuntimeUnavailable("too many entries")
            names.append(entry.name)
    names.sort()
    return names


def read_file(directory: int, name: str, limit_bytes: int) -> bytes | Reason | None:
    """A file in a directory; None if there is none, or it is no regular file, TOO_LARGE if it is a longer one.

    Raises OSError where the reason may be another one than the file.
    """
    try:
        descriptor = os.open(name, _FILE_FLAGS, dir_fd=directory)
    except OSError as err:
        if isinstance(err, PermissionError) or err.errno in ERRNOS_OF_ALL:
            raise
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > limit_bytes:
            return Reason.TOO_LARGE
        return os.read(descriptor, status.st_size)
    finally:
        os.close(descriptor)
