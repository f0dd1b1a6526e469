"""Captures on disk; what is in them is the business of scan/capture.py, imported where a capture is read or written."""

import os
import select
import stat
from pathlib import Path
from typing import Final

from nsagent.errors import CaptureError, PathRefused
from nsagent.model.facts import Facts

MAX_FILE_BYTES: Final = 1 << 30
"""Of one that is not packed; that of a million sockets has a fifth of it, and packed a thirtieth."""

STDIO: Final = Path("-")
"""Where a capture is read from standard input, or written to standard output."""

PATIENCE_SECONDS: Final = 60.0
"""So long may a pipe be silent: a pass over a million sockets, and to pack its capture, takes half of it."""

_STDIN_FD: Final = 0
_CHUNK_BYTES: Final = 1 << 20
_ANY_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_capture(path: Path, *, patience_seconds: float = PATIENCE_SECONDS) -> Facts:
    """The facts in a file or a pipe, or on standard input; raises CaptureError.

    Of a pipe it waits so long for a writer, and for each piece that this writes.
    """
    from nsagent.scan.capture import decode_capture

    try:
        data = _read_bytes(path, patience_seconds)
    except OSError as err:
        raise CaptureError(f"{path}: cannot be read: {err.strerror}") from err
    return decode_capture(data, str(path))


def write_capture(facts: Facts, path: Path) -> None:
    """Write a capture as a whole or not at all, readable by its owner only: it names every process.

    Raises CaptureError.
    """
    from nsagent.scan.capture import encode_capture
    from nsagent.scan.held_directory import check_replaceable, hold_directory, replace_file

    if not path.name:
        raise CaptureError(f"{path}: cannot be written: it names no file")
    data = encode_capture(facts)
    try:
        with hold_directory(path.parent) as directory:
            check_replaceable(path.name, directory)
            replace_file(path.name, directory, data)
    except OSError as err:
        raise CaptureError(f"{path}: cannot be written: {err.strerror}") from err
    except PathRefused as err:
        raise CaptureError(f"{path}: cannot be written: {err}") from err


def _read_bytes(path: Path, patience_seconds: float) -> bytes:
    """All of it; raises OSError, and CaptureError for what may have no end, and for silence."""
    fd = os.dup(_STDIN_FD) if path == STDIO else os.open(path, _ANY_FILE)
    try:
        kept = os.fstat(fd)
        if stat.S_ISCHR(kept.st_mode):
            raise CaptureError(f"{path}: cannot be read: it is a device")
        return _read_to_end(fd, path, kept.st_size, patience_seconds)
    finally:
        os.close(fd)


def _read_to_end(fd: int, path: Path, size: int, patience_seconds: float) -> bytes:
    """`size` is what the file says; a pipe says nothing, and a file may grow."""
    ready = select.poll()
    ready.register(fd, select.POLLIN)
    data = bytearray()
    while max(size, len(data)) <= MAX_FILE_BYTES:
        if not ready.poll(patience_seconds * 1000):
            raise CaptureError(f"{path}: cannot be read: nothing came for {patience_seconds:g} s")
        try:
            chunk = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:  # A pipe of others: somebody else was faster.
            continue
        if not chunk:
            return bytes(data)
        data += chunk
    raise CaptureError(f"{path}: has more than {MAX_FILE_BYTES >> 20} MiB")
