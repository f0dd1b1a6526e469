"""What was asked for and a capture does not hold: known only once it was read, and put into words by report/."""

from enum import StrEnum
from typing import NamedTuple

from nsagent.model.net import Protocol


class LackingKind(StrEnum):
    """What there is none of, or not all."""

    TABLES = "tables"
    """Tables of some protocols."""
    IDLE_SOCKETS = "idle_sockets"
    """Sockets that are bound and do nothing."""
    OWNERS = "owners"
    """Processes that hold sockets."""
    NETNS = "netns"
    """Netns that a pass about some containers left out."""
    TCP_INFO = "tcp_info"
    """What TCP knows of its connections."""


class Lacking(NamedTuple):
    """One thing that a capture lacks."""

    kind: LackingKind
    protocols: tuple[Protocol, ...] = ()
    """Those without a table, of `tables` only."""
    skipped: int = 0
    """How many netns were not read, of `netns` only."""
    seen: int = 0
    """How many netns there were, of `netns` only."""
