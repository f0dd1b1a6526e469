"""Captures on disk; what is in them is the business of scan/capture.py, imported where a capture is read or written."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP
from pathlib import Path
from typing import Final

from nsagent.errors import CaptureError
from nsagent.model.facts import Facts

MAX_FILE_BYTES: Final = 1 << 29
"""A capture of a million sockets has a tenth of it."""

_MAX_LINKS: Final = 40
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ANY_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_capture(path: Path) -> Facts:
    """The facts in a file or a pipe; raises CaptureError."""
    from nsagent.scan.capture import decode_capture

    try:
        data = _read_bytes(path)
    except OSError as err:
        raise CaptureError(f"{path}: cannot be read: {err.strerror}") from err
    if len(data) > MAX_FILE_BYTES:
        raise CaptureError(f"{path}: has more than {MAX_FILE_BYTES >> 20} MiB")
    return decode_capture(data, str(path))


def write_capture(facts: Facts, path: Path) -> None:
    """Write a capture as a whole or not at all, readable by its owner only: it names every process.

    Raises CaptureError.
    """
    from nsagent.scan.capture import encode_capture

    if not path.name:
        raise CaptureError(f"{path}: cannot be written: it names no file")
    data = encode_capture(facts)
    try:
        with _hold_directory(path) as directory:
            _check_replaceable(path, directory)
            _replace(path.name, directory, data)
    except OSError as err:
        raise CaptureError(f"{path}: cannot be written: {err.strerror}") from err


def _read_bytes(path: Path) -> bytes:
    """No more than one byte beyond the limit; raises OSError, and CaptureError for what may have no end."""
    fd = os.open(path, _ANY_FILE)
    if stat.S_ISCHR(os.fstat(fd).st_mode):
        os.close(fd)
        raise CaptureError(f"{path}: cannot be read: it is a device")
    os.set_blocking(fd, True)  # A pipe may be slow; opening one that nobody writes to must not wait.
    with os.fdopen(fd, "rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


@contextmanager
def _hold_directory(path: Path) -> Iterator[int]:
    """An fd on the directory of a file, each on the way reached from the one before: none can be put in its place.

    A link is followed that is root's or the own user's; another user could have put it there to have a
    file written elsewhere (proc_sys_fs(5), protected_symlinks). Raises OSError and CaptureError.
    """
    fd = os.open("/" if path.is_absolute() else ".", _DIRECTORY)
    try:
        rest = [part for part in path.parent.parts[::-1] if part != "/"]
        links = 0
        while rest:
            part = rest.pop()
            try:
                step = os.open(part, _DIRECTORY, dir_fd=fd)
            except NotADirectoryError:
                target = _read_link(path, part, fd)
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(ELOOP, os.strerror(ELOOP)) from None
                rest += [name for name in target.split("/")[::-1] if name]
                if not target.startswith("/"):
                    continue
                step = os.open("/", _DIRECTORY)
            os.close(fd)
            fd = step
        yield fd
    finally:
        os.close(fd)


def _read_link(path: Path, name: str, directory: int) -> str:
    """Where a link leads; raises NotADirectoryError for what is none, and CaptureError for another user's."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        found = os.fstat(fd)
        if not stat.S_ISLNK(found.st_mode):
            raise NotADirectoryError(0, "Not a directory")
        if found.st_uid not in (0, os.geteuid()):
            raise CaptureError(f"{path}: cannot be written: {name} on its way is a link of another user")
        return os.readlink("", dir_fd=fd)
    finally:
        os.close(fd)


def _check_replaceable(path: Path, directory: int) -> None:
    """Raises CaptureError: /dev/null, and where /dev/stdout leads, would be gone for everybody."""
    with suppress(FileNotFoundError):
        if stat.S_ISLNK(os.stat(path.name, dir_fd=directory, follow_symlinks=False).st_mode):
            _read_link(path, path.name, directory)
        if not stat.S_ISREG(os.stat(path.name, dir_fd=directory).st_mode):
            raise CaptureError(f"{path}: cannot be written: it is no regular file")


def _replace(name: str, directory: int, data: bytes) -> None:
    """Put a new file in the place of `name`, and nothing else there whatever happens; raises OSError."""
    unfinished = f".nsagent-{os.urandom(8).hex()}"
    try:
        with os.fdopen(os.open(unfinished, _NEW_FILE, 0o600, dir_fd=directory), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)
    except FileExistsError:
        raise  # Somebody else's.
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished, dir_fd=directory)
        raise
    with suppress(OSError):  # A directory that may not be read; the file is there all the same.
        listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.fsync(listing)
        finally:
            os.close(listing)
