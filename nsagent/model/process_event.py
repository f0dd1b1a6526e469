"""What happens to a process, from its birth to its end."""

from enum import StrEnum
from typing import NamedTuple

from nsagent.model.ids import Pid


class ProcessEventKind(StrEnum):
    """`fork`: it has a new child. `comm`, `uid`, `gid`: it has another name, or other ids, than before."""

    FORK = "fork"
    EXEC = "exec"
    EXIT = "exit"
    COMM = "comm"
    UID = "uid"
    GID = "gid"


class EventEngine(StrEnum):
    """How it is known: the kernel told of it as it happened, or two looks at /proc differ."""

    CONNECTOR = "connector"
    POLL = "poll"


class ExitStatus(NamedTuple):
    """How a process ended, as wait(2) tells its parent."""

    code: int
    """0 where a signal ended it."""
    signal: int
    """0 where none did."""
    core_dumped: bool


class Ids(NamedTuple):
    """Two of the uids, or gids, of a process."""

    real: int
    effective: int


class ProcessEvent(NamedTuple):
    """Something that a process did, or that happened to it; None for what this kind does not have, or is not known."""

    kind: ProcessEventKind
    """What it did, or what happened to it."""
    pid: Pid
    """Of a fork the parent's, who with CLONE_PARENT is not the one that forked."""
    timestamp_ns: int
    """By CLOCK_MONOTONIC; where a look at /proc found it, that of the look."""
    found_by: EventEngine
    """How it is known."""
    child: Pid | None = None
    """Of a fork."""
    status: ExitStatus | None = None
    """Of an exit; None where only its absence was seen."""
    comm: str | None = None
    """Of another name that, of a fork and an exec what its process was called when it was looked at, soon after.

    May hold any character; bytes that are not UTF-8 are surrogate escapes.
    """
    ids: Ids | None = None
    """Of other uids or gids: what they are now."""
    start_ticks: int | None = None
    """Of the process that it is about, of a fork the child, in clock ticks since boot: with its pid what makes it the
    same one. None where no look has met it, as of one that had ended before.
    """
