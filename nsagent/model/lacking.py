"""What was asked for and a capture, or a pass, does not hold: known only at its end, and put into words by report/."""

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
    INTERFACES = "interfaces"
    """Those of any netns, and so the addresses of containers."""
    TCP_INFO = "tcp_info"
    """What TCP knows of its connections: /proc does not tell."""


class Lacking(NamedTuple):
    """One thing that is lacking."""

    kind: LackingKind
    protocols: tuple[Protocol, ...] = ()
    """Those without a table, of `tables` only."""
    skipped: int = 0
    """How many netns were not read, of `netns`; of how many netns it is lacking, of `tcp_info` and `idle_sockets`."""
    seen: int = 0
    """How many netns there were, of these three."""
