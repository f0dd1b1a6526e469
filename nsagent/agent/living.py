"""Processes as the agent's table has them."""

from typing import NamedTuple

from nsagent.model.ids import Pid
from nsagent.model.process_event import ExitStatus
from nsagent.scan.memory import Lodger


class Living(NamedTuple):
    """A process as it is known; None for what is not."""

    pid: Pid
    seen_ns: int
    """It was there then, by CLOCK_MONOTONIC: what is told of an earlier time was another's."""
    start_ticks: int | None
    """In clock ticks since boot."""
    comm: str | None
    """May hold any character. Its parent's, until it runs another program."""
    lodger: Lodger | None
    """Where it lives; likewise its parent's at first. None of a kernel thread, too."""


class Ended(NamedTuple):
    """A process that has ended, when, by CLOCK_MONOTONIC, and how, None where nobody told."""

    ended_ns: int
    was: Living
    status: ExitStatus | None = None
    slept_ns: int = 0
    """How long the machine had slept by then, which CLOCK_MONOTONIC leaves out."""
