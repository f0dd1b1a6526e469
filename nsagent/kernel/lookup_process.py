"""What the look-up child reads of a process, for any of which it may wait for as long as that process likes.

A file of /proc/PID that is read from its memory, or under a lock of it, waits for whoever holds its mmap lock; the
status, or the bytes, of a file of its own come from a file system that may be of its making (kernel.lookups). Nothing
is opened but such files of procfs, files by an O_PATH fd, which asks no driver and no file system to open anything, and
what it runs, which is a regular file. All raise OSError.

Source: proc(5), open(2), openat2(2); fs/proc/base.c proc_mem_open() and mm_access(), of which the last waits for an
execve(2) of the process.
"""

import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from errno import EFBIG, EINVAL, EIO
from typing import TYPE_CHECKING, Final

from nsagent.kernel.libc import close_fd
from nsagent.kernel.nsfs import open_below

if TYPE_CHECKING:
    from hashlib import _Hash

FILE: Final = struct.Struct("=iIQQIQqH")
"""An errno, then of stat(2) mode, device, inode, links, size and mtime in ns; the length of a link, which follows."""
RANGE: Final = struct.Struct("=QQ")
"""The first address of a mapping, and that behind it."""
READ_COUNTS: Final = struct.Struct("=QQ")
"""How many bytes of memory were read, and how many could not be."""
MOST_HASHED_BYTES: Final = 4 << 30
"""Of a file of which checksums are made; of a larger one none is."""

_MOST_NS: Final = (1 << 63) - 1
"""Of a time that is told."""
_PIECE_BYTES: Final = 1 << 20
_PAGE_BYTES: Final = 1 << 12


def read_file(process: int, number: int, name: bytes) -> bytes:
    """A file of a process: of one with more than `number` bytes one byte more, and not all of it."""
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=process)
    try:
        pieces, room = [], number + 1
        while room > 0 and (piece := os.read(fd, min(room, _PIECE_BYTES))):
            pieces.append(piece)
            room -= len(piece)
        return b"".join(pieces)
    finally:
        close_fd(fd)


def stat_links(process: int, _: int, names: bytes) -> bytes:
    """A FILE for each of these links of a process, with what the link of this very file says, or the errno."""
    return b"".join(_stat_link(process, name) for name in names.split(b"\0"))


def _stat_link(process: int, name: bytes) -> bytes:
    try:
        with _open_path(name, process) as fd:
            # Of the file that is held: the fd of the process may be another file by now.
            return _pack(os.fstat(fd), os.fsencode(os.readlink(f"/proc/self/fd/{fd}")))
    except OSError as err:
        return FILE.pack(err.errno or EIO, 0, 0, 0, 0, 0, 0, 0)


def stat_below(process: int, _: int, path: bytes) -> bytes:
    """A FILE for what is at a path below the root directory of a process; no symbolic link is followed."""
    with _open_path(b"root", process, os.O_DIRECTORY) as root:
        fd = open_below(root, path)
        try:
            return _pack(os.fstat(fd))
        finally:
            close_fd(fd)


def hash_image(process: int, _: int, algorithms: bytes) -> bytes:
    """A FILE for what a process runs, then its checksums by these algorithms, in hexadecimal, with NUL between them.

    EFBIG for one of more than MOST_HASHED_BYTES, EINVAL for one that has changed meanwhile.
    """
    hashes = _make_hashes(algorithms)
    with _open_path(b"exe", process) as held:
        before = os.fstat(held)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(EINVAL, "no regular file")
        if before.st_size > MOST_HASHED_BYTES:
            raise OSError(EFBIG, "too large")
        fd = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            _update_all(hashes, iter(lambda: os.read(fd, _PIECE_BYTES), b""), MOST_HASHED_BYTES)
        finally:
            close_fd(fd)
        after = os.fstat(held)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise OSError(EINVAL, "changed")
    return _pack(before) + _join(hashes)


def hash_memory(process: int, number: int, question: bytes) -> bytes:
    """READ_COUNTS, then the checksums as hash_image has them, of memory of a process: of so many ranges.

    The ranges, each a RANGE, come behind each other, the algorithms follow. A page that cannot be read is left out.
    """
    hashes = _make_hashes(question[number * RANGE.size :])
    fd = os.open(b"mem", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=process)
    try:
        done = unreadable = 0
        for start, end in RANGE.iter_unpack(question[: number * RANGE.size]):
            while start < end:
                piece = _read_memory(fd, start, min(end - start, _PIECE_BYTES))
                if piece:
                    _update_all(hashes, (piece,), _PIECE_BYTES)
                    done += len(piece)
                else:
                    unreadable += min(end - start, _PAGE_BYTES)
                start += len(piece) or _PAGE_BYTES
    finally:
        close_fd(fd)
    return READ_COUNTS.pack(done, unreadable) + _join(hashes)


def _read_memory(fd: int, start: int, size: int) -> bytes:
    """Some of it from there on, b"" where nothing can be read: EIO of a page behind the end of its file."""
    try:
        return os.pread(fd, size, start)
    except OSError as err:
        if err.errno != EIO:
            raise
        return b""


def _make_hashes(algorithms: bytes) -> "list[_Hash]":
    import hashlib

    return [hashlib.new(name, usedforsecurity=False) for name in algorithms.decode("ascii").split("\0")]


def _update_all(hashes: "Iterable[_Hash]", pieces: Iterable[bytes], most_bytes: int) -> None:
    """Raises OSError, EFBIG, where there is more: what it waits for may never end."""
    for piece in pieces:
        most_bytes -= len(piece)
        if most_bytes < 0:
            raise OSError(EFBIG, "too large")
        for each in hashes:
            each.update(piece)


def _join(hashes: "Iterable[_Hash]") -> bytes:
    return "\0".join(each.hexdigest() for each in hashes).encode("ascii")


def _pack(found: os.stat_result, link: bytes = b"") -> bytes:
    # A file may be dated beyond the year 2262 by its owner, and have any size by its file system.
    mtime_ns = max(-_MOST_NS - 1, min(found.st_mtime_ns, _MOST_NS))
    numbers = found.st_mode, found.st_dev, found.st_ino, found.st_nlink, max(found.st_size, 0), mtime_ns
    return FILE.pack(0, *numbers, len(link)) + link


@contextmanager
def _open_path(name: bytes, process: int, flags: int = 0) -> Iterator[int]:
    fd = os.open(name, os.O_PATH | os.O_CLOEXEC | flags, dir_fd=process)
    try:
        yield fd
    finally:
        close_fd(fd)


READS: Final[Mapping[bytes, Callable[[int, int, bytes], bytes]]] = {
    b"r": read_file,
    b"s": stat_links,
    b"p": stat_below,
    b"h": hash_image,
    b"m": hash_memory,
}
"""By the byte that a question about a process begins with: what answers it, of a process, a number and the rest."""
