"""Captures on disk; what is in them is the business of scan/capture.py, imported where a capture is read or written."""

import os
from pathlib import Path

from nsagent.errors import CaptureError
from nsagent.model.facts import Facts


def read_capture(path: Path) -> Facts:
    """The facts in a file; raises CaptureError."""
    from nsagent.scan.capture import decode_capture

    try:
        data = path.read_bytes()
    except OSError as err:
        raise CaptureError(f"{path}: cannot be read: {err.strerror}") from err
    return decode_capture(data, str(path))


def write_capture(facts: Facts, path: Path) -> None:
    """Write a capture as a whole or not at all, readable by its owner only: it names every process.

    Raises CaptureError.
    """
    from nsagent.scan.capture import encode_capture

    if not path.name:
        raise CaptureError(f"{path}: cannot be written: it names no file")
    data = encode_capture(facts)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            # A file is replaced as a whole: /dev/null, and where /dev/stdout leads, would be gone for everybody.
            raise CaptureError(f"{path}: cannot be written: it is no regular file")
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            os.unlink(unfinished)
            raise
    except OSError as err:
        raise CaptureError(f"{path}: cannot be written: {err.strerror}") from err
