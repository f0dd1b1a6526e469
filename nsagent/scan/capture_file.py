"""Captures on disk; what is in them is the business of scan/capture.py, imported where a capture is read or written."""

import os
import stat
from pathlib import Path
from typing import Final

from nsagent.errors import CaptureError, PathRefused
from nsagent.model.facts import Facts

MAX_FILE_BYTES: Final = 1 << 29
"""A capture of a million sockets has a tenth of it."""

STDIN: Final = Path("-")
"""Where a capture is read from standard input."""

_STDIN_FD: Final = 0
_ANY_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_capture(path: Path) -> Facts:
    """The facts in a file or a pipe, or on standard input; raises CaptureError."""
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


def _read_bytes(path: Path) -> bytes:
    """No more than one byte beyond the limit; raises OSError, and CaptureError for what may have no end."""
    fd = os.dup(_STDIN_FD) if path == STDIN else os.open(path, _ANY_FILE)
    with os.fdopen(fd, "rb") as file:
        if stat.S_ISCHR(os.fstat(fd).st_mode):
            raise CaptureError(f"{path}: cannot be read: it is a device")
        # A pipe may be slow; opening one that nobody writes to must not wait. What others share is left as it is.
        if path != STDIN:
            os.set_blocking(fd, True)
        return file.read(MAX_FILE_BYTES + 1)
