"""Files in a directory that is held open: nobody can put another one in its place between two steps.

Source: openat(2), rename(2), flock(2); proc_sys_fs(5), protected_symlinks. What is written is the caller's business.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP
from pathlib import Path
from typing import Final

from nsagent.errors import PathRefused

_MAX_LINKS: Final = 40
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTING: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNFINISHED_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNFINISHED: Final = re.compile(r"\.nsagent-[0-9a-f]{16}")


@contextmanager
def hold_directory(path: Path, *, guarded: bool = False) -> Iterator[int]:
    """open_directory, closed at the end."""
    fd = open_directory(path, guarded=guarded)
    try:
        yield fd
    finally:
        os.close(fd)


def open_directory(path: Path, *, guarded: bool = False) -> int:
    """An O_PATH fd on a directory, each one on the way reached from the one before.

    A link is followed that is root's or the own user's; another user could have put it there to have a
    file written elsewhere. `guarded`: no other user may write in any directory on the way, unless its sticky bit
    keeps them from what is not theirs. Raises OSError and PathRefused.
    """
    fd = os.open("/" if path.is_absolute() else ".", _DIRECTORY)
    try:
        rest = [part for part in path.parts[::-1] if part != "/"]
        links = 0
        if guarded:
            _check_guarded(fd, "/" if path.is_absolute() else ".")
        while rest:
            part = rest.pop()
            try:
                step = os.open(part, _DIRECTORY, dir_fd=fd)
            except NotADirectoryError:
                target = _read_link(part, fd)
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(ELOOP, os.strerror(ELOOP)) from None
                rest += [name for name in target.split("/")[::-1] if name]
                if not target.startswith("/"):
                    continue
                step = os.open("/", _DIRECTORY)
            os.close(fd)
            fd = step
            if guarded:
                _check_guarded(fd, part)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_listing(directory: int) -> int:
    """The held directory once more, so that it can be listed, locked and synced; raises OSError."""
    return os.open(".", _LISTING, dir_fd=directory)


def check_unshared(listing: int) -> None:
    """Raises PathRefused where another user may make files in an open directory, also by its sticky bit."""
    found = os.fstat(listing)
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise PathRefused(f"others may write in it (mode {found.st_mode & 0o7777:04o}, uid {found.st_uid})")


def check_replaceable(name: str, directory: int) -> None:
    """Raises PathRefused: /dev/null, and where /dev/stdout leads, would be gone for everybody."""
    with suppress(FileNotFoundError):
        if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            _read_link(name, directory)
        if not stat.S_ISREG(os.stat(name, dir_fd=directory).st_mode):
            raise PathRefused("it is no regular file")


def check_own(name: str, directory: int) -> bool:
    """Whether there is a file of that name; raises PathRefused for what is none of root's or the own user's."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(found.st_mode):
        raise PathRefused("it is a symbolic link")
    check_own_file(found)
    return True


def check_own_file(found: os.stat_result) -> None:
    """Raises PathRefused but for a regular file of root or of the own user that has no other name."""
    if not stat.S_ISREG(found.st_mode):
        raise PathRefused("it is no regular file")
    if found.st_uid not in (0, os.geteuid()):
        raise PathRefused(f"it belongs to uid {found.st_uid}")
    if found.st_nlink > 1:
        raise PathRefused("it has a second name (hard link)")


def replace_file(name: str, directory: int, data: bytes, mode: int = 0o600) -> None:
    """Put a new file in the place of `name`, and nothing else there whatever happens; raises OSError."""
    unfinished = f".nsagent-{os.urandom(8).hex()}"
    try:
        with os.fdopen(os.open(unfinished, _NEW_FILE, 0o600, dir_fd=directory), "wb") as file:
            _claim(file.fileno())
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)  # The umask is the caller's, the mode is not.
            os.fsync(file.fileno())
            os.rename(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)
    except FileExistsError:
        raise  # Somebody else's.
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished, dir_fd=directory)
        raise
    sync_directory(directory)


def sync_directory(directory: int) -> None:
    """Have names that were made or changed last through a power cut."""
    with suppress(OSError):  # A directory that may not be read; the file is there all the same.
        listing = open_listing(directory)
        try:
            os.fsync(listing)
        finally:
            os.close(listing)


def remove_unfinished(directory: int) -> int:
    """Remove what replace_file left when it was killed, but what is still being written; how many there were.

    Raises OSError for a directory that cannot be listed.
    """
    listing = open_listing(directory)
    try:
        names = [name for name in os.listdir(listing) if is_unfinished(name)]
    finally:
        os.close(listing)
    return sum(_remove_unclaimed(name, directory) for name in names)


def is_unfinished(name: str) -> bool:
    """Whether replace_file gives such names."""
    return _UNFINISHED.fullmatch(name) is not None


def _claim(fd: int) -> None:
    """Keep a file from remove_unfinished as long as it is open; a killed process lets go of it."""
    import fcntl

    with suppress(OSError):  # A file system without locks: there nobody can claim it to remove it, either.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_unclaimed(name: str, directory: int) -> bool:
    import fcntl

    try:
        fd = os.open(name, _UNFINISHED_FILE, dir_fd=directory)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=directory)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _check_guarded(fd: int, name: str) -> None:
    found = os.fstat(fd)
    mode = found.st_mode
    if found.st_uid not in (0, os.geteuid()):
        raise PathRefused(f"{name} on its way belongs to uid {found.st_uid}")
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise PathRefused(f"others may write in {name} on its way (mode {mode & 0o7777:04o})")


def _read_link(name: str, directory: int) -> str:
    """Where a link leads; raises NotADirectoryError for what is none, and PathRefused for another user's."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        found = os.fstat(fd)
        if not stat.S_ISLNK(found.st_mode):
            raise NotADirectoryError(0, "Not a directory")
        if found.st_uid not in (0, os.geteuid()):
            raise PathRefused(f"{name} on its way is a link of another user")
        return os.readlink("", dir_fd=fd)
    finally:
        os.close(fd)
