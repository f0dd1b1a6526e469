"""Reports that no receiver has taken yet: a directory of its own, one file for each, oldest first.

A file begins with a line of its format's name, the SHA-256 of what follows, and its length; then comes a line of JSON
about the report, then the report. Names are numbers that grow. Each is put there whole by a rename, so that a kill
at any moment leaves a whole one or none; one that is damaged on disk is told, counted and removed.

One program at a time uses a spool (flock(2) on the directory). What else lies in it is never touched: the spool is
refused then.
"""

import fcntl
import hashlib
import json
import os
import re
from contextlib import suppress
from errno import EIO, EWOULDBLOCK
from pathlib import Path
from typing import Any, Final

from nsagent.agent.outputs.report import WrittenReport
from nsagent.errors import PathRefused
from nsagent.model.choices import OutputFormat
from nsagent.scan.held_directory import (
    check_own_file,
    check_unshared,
    hold_directory,
    is_unfinished,
    open_directory,
    open_listing,
    remove_unfinished,
    replace_file,
    sync_directory,
)

MAX_FILES: Final = 100_000

_MAGIC: Final = b"nsagent-spool-1"
_HEAD: Final = re.compile(rb"nsagent-spool-1 ([0-9a-f]{64}) (\d{1,12})\n", re.ASCII)
_NAME: Final = re.compile(r"\d{16}\.report", re.ASCII)
_RECORD_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Spool:
    """An open spool; its user guards it against being used by two threads at once.

    The directory is made if its parent is there. Raises OSError and PathRefused.
    """

    def __init__(self, path: str, max_bytes: int, *, max_files: int = MAX_FILES) -> None:
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._directory = _open_spool(Path(path))
        self._listing = -1
        try:
            self._listing = open_listing(self._directory)
            check_unshared(self._listing)
            self._lock()
            self._sizes = self._take_stock()
        except BaseException:
            self.close()
            raise
        self._next = 1 + max((int(name[:16]) for name in self._sizes), default=0)
        self._bytes = sum(self._sizes.values())

    def __len__(self) -> int:
        return len(self._sizes)

    def append(self, report: WrittenReport) -> int:
        """How many of the oldest had to go for it; raises OSError if it is not kept, and then all others are.

        A report that is larger than the whole spool is kept alone.
        """
        record = encode_record(report)
        name = f"{self._next:016d}.report"
        replace_file(name, self._directory, record)
        self._next += 1
        self._sizes[name] = len(record)
        self._bytes += len(record)
        dropped = 0
        while len(self) > 1 and (self._bytes > self._max_bytes or len(self) > self._max_files):
            self.remove(next(iter(self._sizes)))
            dropped += 1
        return dropped

    def first(self) -> tuple[str, WrittenReport | None] | None:
        """The name and the report of the oldest record, None for the report if it is damaged; None if there is none.

        Raises OSError if it cannot be read.
        """
        for name in self._sizes:
            return name, self._read(name)
        return None

    def remove(self, name: str) -> None:
        """Let go of a record, if it is there still; one that cannot be removed is there again at the next start."""
        if name in self._sizes:
            self._bytes -= self._sizes.pop(name)
            with suppress(OSError):
                os.unlink(name, dir_fd=self._directory)

    def close(self) -> None:
        """Let others use it."""
        for fd in (self._listing, self._directory):
            if fd >= 0:
                os.close(fd)
        self._listing = self._directory = -1

    def _lock(self) -> None:
        try:
            fcntl.flock(self._listing, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            if err.errno == EWOULDBLOCK:
                raise PathRefused("another agent uses it") from err
            raise

    def _take_stock(self) -> dict[str, int]:
        """Name and size of each record, oldest first; raises PathRefused if anything else is there."""
        names = sorted(os.listdir(self._listing))
        for name in names:
            if not _NAME.fullmatch(name) and not is_unfinished(name):
                raise PathRefused(f"it holds {name[:80]!r}, which is none of its own")
        remove_unfinished(self._directory)
        sizes = {}
        for name in names:
            if not is_unfinished(name):
                found = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
                try:
                    check_own_file(found)
                except PathRefused as err:
                    raise PathRefused(f"{name} in it: {err}") from err
                sizes[name] = found.st_size
        return sizes

    def _read(self, name: str) -> WrittenReport | None:
        try:
            fd = os.open(name, _RECORD_FILE, dir_fd=self._directory)
            with os.fdopen(fd, "rb") as file:
                check_own_file(os.fstat(fd))
                return decode_record(file.read())
        except (FileNotFoundError, PathRefused):
            return None
        except OSError as err:
            if err.errno == EIO:  # Damaged where the checksum does not reach.
                return None
            raise


def encode_record(report: WrittenReport) -> bytes:
    """The bytes of a record."""
    told = {"name": report.name, "format": report.format.value, "content_type": report.content_type}
    told |= {"taken_at": report.taken_at, "host": report.host}
    rest = json.dumps(told).encode() + b"\n" + report.data
    return b"%s %s %d\n" % (_MAGIC, hashlib.sha256(rest).hexdigest().encode(), len(rest)) + rest


def decode_record(record: bytes) -> WrittenReport | None:
    """The report of a record, None if it is not, byte for byte, what encode_record gives for one."""
    head = _HEAD.match(record)
    if head is None:
        return None
    rest = record[head.end() :]
    if len(rest) != int(head[2]) or hashlib.sha256(rest).hexdigest().encode() != head[1]:
        return None
    line, _, data = rest.partition(b"\n")
    try:
        told: dict[str, Any] = json.loads(line)
        told["format"] = OutputFormat(told["format"])
        return WrittenReport(data=data, **told)
    except (ValueError, TypeError, KeyError):  # Of a version with more formats.
        return None


def _open_spool(path: Path) -> int:
    """An O_PATH fd on the directory, which is made if it is not there."""
    with hold_directory(path.parent, guarded=True) as parent, suppress(FileExistsError):
        os.mkdir(path.name, 0o700, dir_fd=parent)
        sync_directory(parent)
    return open_directory(path, guarded=True)
