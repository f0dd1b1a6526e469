"""The config file on disk: whose it must be, its content, whether that has changed, and the Config that it holds.

Polled, not watched: a ConfigMap is a link to a link to a directory that is swapped (..data), and an editor
puts a new file in the old one's place, so that a watch would be on what is no longer there.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from nsagent.errors import ConfigError, ConfigProblem, UsageError

if TYPE_CHECKING:
    from nsagent.config.document import Loc
    from nsagent.config.load import Misfit
    from nsagent.config.model import Config, Report

DEFAULT_PATH: Final = "/etc/nsagent/config.yaml"

MAX_BYTES: Final = 1 << 20

# A FIFO opens at once, and a terminal does not become ours, before fstat(2) tells what it is.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Identity(NamedTuple):
    """What tells one state of a config file from another."""

    device: int
    inode: int
    mtime_ns: int
    size: int
    digest: str
    """SHA-256 of the content, empty where that was not read."""
    refusal: str = ""
    """Why it was not read."""

    def is_other_than(self, earlier: "Identity") -> bool:
        """Whether there is something else to load now: the same content in another file is not."""
        return (self.digest, self.refusal) != (earlier.digest, earlier.refusal)


class ConfigFile(NamedTuple):
    """A config file as it was read once."""

    path: str
    content: bytes
    """At most one byte beyond MAX_BYTES."""
    identity: Identity


class ConfigWatch:
    """Looks whether a config file has changed, and has ended to: what is half written may be a config, too."""

    def __init__(self, file: ConfigFile) -> None:
        self._file = file
        self._found: Identity | None = None
        """What was found by the last look, None for nothing else than before."""

    @property
    def is_changing(self) -> bool:
        """Whether the last look found something else: the next one tells whether it stays so."""
        return self._found is not None

    def look(self) -> bool:
        """Whether the path leads to something else by now, and did so, to this very thing, at the look before."""
        now = identify(self._file.path)
        before, self._found = self._found, now if now.is_other_than(self._file.identity) else None
        return self._found is not None and self._found == before


def read_config_file(path: str) -> ConfigFile:
    """The file as it is now, links followed; one that is refused has no content, and load_config says why."""
    return ConfigFile(path, *_read(path))


def identify(path: str) -> Identity:
    """What the path leads to now. The content is read, which takes some 20 us: times may lie."""
    return _read(path)[1]


def judge(found: os.stat_result, own_uid: int) -> str:
    """Why a file is no config to be followed, empty if it is one.

    It decides what is written where, with this process's rights: it must be root's or the own user's.
    """
    if not stat.S_ISREG(found.st_mode):
        return "expected a regular file"
    if found.st_uid not in (0, own_uid):
        return f"is of user {found.st_uid}: expected root's, or user {own_uid}'s, who runs this"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write it (mode {stat.S_IMODE(found.st_mode):04o}): chmod go-w"
    return ""


def load_config(file: ConfigFile, environ: Mapping[str, str]) -> "Config":
    """The config that a file holds, checked against columns, formats and runtimes too.

    Raises ConfigError, also for a file that could not be read, or that others may write.
    """
    if file.identity.refusal:
        raise ConfigError([ConfigProblem(file.path, None, None, "", file.identity.refusal)])
    from nsagent.config.load import Checks, load
    from nsagent.runtimes.places import parse_runtime_option

    return load(file.content, file.path, environ, Checks(find_misfits, parse_runtime_option))


def find_misfits(report: "Report") -> "Iterator[Misfit]":
    """The columns that the rows of a report do not have, and a format that has nothing to say of them.

    Columns are checked whatever the format is: one that has none leaves them alone.
    """
    from nsagent.model.choices import View
    from nsagent.report.render import OutputOptions, check_options

    if report.diff and report.view in (View.NETNS, View.TOP, View.EVENTS):
        yield ("diff",), f"changes are told of sockets, listeners, connections and containers, not of {report.view}"
        return
    view = View.CHANGES if report.diff else report.view
    counted = report.group_by if view is View.TOP else ()
    if view is View.TOP and not counted:
        return  # Which the shape of a report forbids.
    tried: list[tuple[Loc, OutputOptions]] = []
    if view not in (View.CHANGES, View.EVENTS):  # They stand in no groups.
        tried += [(("group_by", index), OutputOptions(group_by=(name,))) for index, name in enumerate(report.group_by)]
    for key, names in (("columns", report.columns), ("sort_by", report.sort_by)):
        for index, name in enumerate(names):
            tried.append(((key, index), OutputOptions(columns=(name.removeprefix("-"),), group_by=counted)))
    tried.append((("format",), OutputOptions(report.format, group_by=counted)))
    for loc, options in tried:
        try:
            check_options(view, options, of_config=True)
        except UsageError as err:
            yield loc, str(err).partition(": ")[2]  # Its place names the field.
            if loc[0] == "group_by" and counted:
                return


def _read(path: str) -> tuple[bytes, Identity]:
    """The content and identity of a file; nothing of one that is refused."""
    try:
        fd = os.open(path, _FLAGS)
    except (OSError, ValueError) as err:  # ValueError: a NUL in the path.
        return b"", _refused(f"cannot be read: {getattr(err, 'strerror', None) or err}")
    try:
        found = os.fstat(fd)
        if refusal := judge(found, os.geteuid()):
            return b"", _refused(refusal)
        content = _read_bytes(fd)
    except OSError as err:
        return b"", _refused(f"cannot be read: {err.strerror}")
    finally:
        os.close(fd)
    digest = hashlib.sha256(content).hexdigest()
    return content, Identity(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, digest)


def _read_bytes(fd: int) -> bytes:
    chunks = []
    left = MAX_BYTES + 1
    while left and (chunk := os.read(fd, left)):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _refused(why: str) -> Identity:
    return Identity(0, 0, 0, 0, "", why)
