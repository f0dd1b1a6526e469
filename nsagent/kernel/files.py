"""Files that the kernel makes up as they are read, of procfs above all; and what a failed read is for the caller.

Source: fs/seq_file.c; read(2), open(2).
"""

import os
from collections.abc import Iterator
from errno import EACCES, ENOENT, EPERM, ESRCH, errorcode

from nsagent.errors import AccessDenied, Gone, NotRead, ProcessGone, ReadFailed, Reason
from nsagent.kernel.libc import close_fd

_GONE = (ENOENT, ESRCH)
_DENIED = (EACCES, EPERM)
_READ_BYTES = 1 << 16
_MOST_LINES_BYTES = 1 << 26
_MOST_LINE_BYTES = 1 << 20


def read_file(path: str, *, dir_fd: int | None = None, whole: bool = False, most: int = 0) -> bytes:
    """A file of procfs, whose size is not known before; raises OSError.

    `whole`: the kernel prints it in one piece (single_open of fs/seq_file.c), one read has it all.
    `most`: of a file with more bytes than that at least one byte more is read, and not all of it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        data = os.read(fd, _READ_BYTES)
        # stat, cgroup and the like are printed as a whole: one read has them. Tables come in parts.
        if whole and len(data) < _READ_BYTES:
            return data
        chunks = [data]
        total = len(data)
        while data and not 0 < most < total:
            data = os.read(fd, _READ_BYTES)
            chunks.append(data)
            total += len(data)
        return b"".join(chunks)
    finally:
        close_fd(fd)


def read_lines(fd: int, subject: str) -> Iterator[bytes]:
    """The lines of an open file, few of them in memory at a time; raises OSError, and NotRead if it is too long."""
    rest = b""
    total = 0
    while data := os.read(fd, _READ_BYTES):
        total += len(data)
        if total > _MOST_LINES_BYTES or len(rest) > _MOST_LINE_BYTES:
            raise NotRead(subject, Reason.TOO_MANY)
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
    yield rest


def translate_errno(err: OSError, subject: str) -> Gone | NotRead:
    """What the caller should do about a failed read of `subject`: ENOENT and ESRCH both mean gone.

    ESRCH is what a read through the held directory of a process gives that is no more.
    """
    if err.errno in _GONE:
        return (ProcessGone if err.errno == ESRCH else Gone)(f"{subject}: {errorcode[err.errno]}")
    return translate_failure(err, subject)


def translate_failure(err: OSError, subject: str) -> NotRead:
    """The same for what no process takes along when it goes."""
    name = errorcode.get(err.errno or 0, str(err))
    return AccessDenied(subject, name) if err.errno in _DENIED else ReadFailed(subject, name)
