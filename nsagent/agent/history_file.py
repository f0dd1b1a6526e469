"""The file of a history: an SQLite database, made, opened, checked, and moved aside where it is damaged.

Source: sqlite.org/wal.html, fileformat.html, pragma.html. With WAL and synchronous=FULL what is committed
outlives a SIGKILL at any moment and a power cut.
"""

import fcntl
import os
import sqlite3
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from errno import EWOULDBLOCK
from itertools import chain
from pathlib import Path
from typing import Final

from nsagent.agent.history_rows import APPLICATION_ID, FIRST_VERSION, SCHEMA, UPGRADES, VERSION
from nsagent.errors import HistoryError, PathRefused
from nsagent.scan.held_directory import check_own, check_unshared, hold_directory, open_listing

_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = struct.Struct(">16s44xI4xI28x")
"""The magic, user_version and application_id of its 100 bytes."""

_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY: Final = 0xFF
"""The part of an extended error code that is a plain one (sqlite.org/rescode.html)."""

_NEW_FILE: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OLD_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
WAIT_SECONDS: Final = 1.0
"""For another process that is just opening the file; readers and the writer never wait for each other."""

_WAL_BYTES: Final = 1 << 20
"""What stays of the WAL after it has been larger."""


class Damaged(HistoryError):
    """The file is one of a history, and parts of it are not what was written: move it aside."""


def open_writable(path: Path, max_size_bytes: int) -> sqlite3.Connection:
    """The database, made if there is none, 0640; raises HistoryError, and Damaged.

    One of an earlier version becomes one of this. What is no history, or one of a later version, is left as it is. No
    other user may write in its directory.
    """
    with telling(path):
        with _hold_place(path) as directory:
            fd = os.open(path.name, _NEW_FILE, 0o640, dir_fd=directory)
            try:
                _check_header(path, fd)
            finally:
                os.close(fd)
        connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path, max_size_bytes)
        except BaseException:
            connection.close()
            raise
        return connection


def hold_alone(path: Path) -> int:
    """An fd on the file, made if there is none, that keeps other agents from writing to it; raises HistoryError.

    It is to be closed after the database: whoever closes any fd on a file lets go of all locks of this process that
    SQLite has on it (fcntl(2)). This lock is another one (flock(2)), of which SQLite knows nothing.
    """
    with telling(path), _hold_place(path) as directory:
        fd = os.open(path.name, _NEW_FILE, 0o640, dir_fd=directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            os.close(fd)
            if err.errno == EWOULDBLOCK:
                raise HistoryError(f"{path}: another agent writes to it") from err
            raise
        return fd


def open_readable(path: Path) -> sqlite3.Connection:
    """The database, to be read only, also while an agent writes to it; a copy without its WAL too.

    Raises HistoryError, also where there is none.
    """
    with telling(path):
        fd = os.open(path, _OLD_FILE)
        try:
            if not _check_header(path, fd):
                raise HistoryError(f"{path}: not a history: it is empty")
        finally:
            os.close(fd)
        # Whoever has it open has a WAL beside it; without one nothing has to be made to read it.
        way = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
        address = f"{path.absolute().as_uri()}?{way}"
        connection = sqlite3.connect(address, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            _check_version(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def set_aside(path: Path) -> Path:
    """Give the file another name, and its WAL with it; the new name. Raises HistoryError."""
    aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    with telling(path):
        os.rename(path, aside)
        with suppress(FileNotFoundError):
            os.rename(f"{path}-wal", f"{aside}-wal")
        with suppress(FileNotFoundError):
            os.unlink(f"{path}-shm")
    return aside


def check_place(path: Path) -> None:
    """Raises HistoryError where the directory is gone, or another user has a say in it, in the file or on the way."""
    with telling(path), _hold_place(path):
        pass


@contextmanager
def _hold_place(path: Path) -> Iterator[int]:
    """An fd on the directory of the file, in which nobody else makes files; raises PathRefused and OSError."""
    with hold_directory(path.parent, guarded=True) as directory:
        listing = open_listing(directory)
        try:
            check_unshared(listing)
        finally:
            os.close(listing)
        check_own(path.name, directory)
        yield directory


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Errors of the system and of SQLite as HistoryError, which names the file; of rows that nobody wrote, too."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as err:
        raise Damaged(f"{path}: damaged: {err}") from err
    except PathRefused as err:
        raise HistoryError(f"{path}: {err}") from err
    except OSError as err:
        raise HistoryError(f"{path}: {err.strerror}") from err
    except sqlite3.Error as err:
        raise tell_error(path, err) from err


def tell_error(path: Path, err: sqlite3.Error) -> HistoryError:
    """The error for one of SQLite's: Damaged where the file is."""
    if getattr(err, "sqlite_errorcode", 0) & _PRIMARY in _DAMAGED:
        return Damaged(f"{path}: damaged: {err}")
    return HistoryError(f"{path}: {err}")


def _check_header(path: Path, fd: int) -> bool:
    """Whether anything is in the file; raises HistoryError for what is no history, or that of another version."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise HistoryError(f"{path}: not a history: it is no regular file")
    header = os.pread(fd, _HEADER.size, 0)
    if not header:
        return False
    magic, version, application_id = _HEADER.unpack(header.ljust(_HEADER.size, b"\0"))
    if magic != _MAGIC or application_id not in (0, APPLICATION_ID):
        raise HistoryError(f"{path}: not a history, but another file: it is left as it is")
    if application_id and version:
        _check_known(version, path)
    return True


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Of which version it is; raises HistoryError for what is no history, or none that can be read."""
    version: int
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise HistoryError(f"{path}: not a history, but another database: it is left as it is")
    _check_known(version, path)
    return version


def _check_known(version: int, path: Path) -> None:
    if not FIRST_VERSION <= version <= VERSION:
        raise HistoryError(f"{path}: a history of version {version}, and this nsagent has version {VERSION}")


def _prepare(connection: sqlite3.Connection, path: Path, max_size_bytes: int) -> None:
    """Make the tables in a file that has none, or has those of an earlier version; set what holds for a connection."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if not tables and application_id in (0, APPLICATION_ID):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        # All at once, and before there is a WAL: the header tells at any moment whose file it is.
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")
    if (version := _check_version(connection, path)) != VERSION:
        connection.execute("BEGIN EXCLUSIVE")
        for statement in chain.from_iterable(UPGRADES[each] for each in range(version, VERSION)):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {max(16, max_size_bytes // page_bytes)}")
    with closing(connection.execute("PRAGMA quick_check(1)")) as check:
        (found,) = check.fetchone()
    if found != "ok":
        raise Damaged(f"{path}: damaged: {found}")
