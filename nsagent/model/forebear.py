"""Whose child a process was when it began, as somebody remembers it who heard of that."""

from typing import NamedTuple

from nsagent.model.ids import ContainerId, Pid
from nsagent.model.process_event import ExitStatus


class Forebear(NamedTuple):
    """A parent of a process, or of its parent, when that began; None for what is not known."""

    pid: Pid
    start_ticks: int | None
    """In clock ticks since boot."""
    comm: str | None
    """May hold any character. Its own parent's, if it has run no other program."""
    container_id: ContainerId | None
    ended_seconds: float | None
    """When it ended, since the epoch; None of one that goes on."""
    status: ExitStatus | None
    """How; None too where its end was found out later."""
