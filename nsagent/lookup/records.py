"""What a program is told that asks who holds the ends of a connection."""

from typing import NamedTuple

from nsagent.model.container import Container
from nsagent.model.ids import Pid
from nsagent.model.snapshot import OwnedSocket


class Holder(NamedTuple):
    """A process that holds an end, as the last pass saw it. What could not be read is None."""

    pid: Pid
    start_ticks: int
    """In clock ticks since boot: with the pid it makes a process the same one."""
    started_at: float
    """In seconds since the epoch, by the time of day as it is set now: from look to look it differs a little."""
    ppid: Pid | None
    """0 where its parent is not seen in the PID namespace of the procfs."""
    name: str
    """Its own name (comm), whatever its aliases are."""
    exe: str | None
    """The path of its program in its own mount namespace, ` (deleted)` behind one that is not there any more."""
    cwd: str | None
    argv: tuple[str, ...] | None
    """At most 4 KiB; as the process shows them, secrets included."""
    argv_cut: bool
    container: Container | None
    aliases: tuple[str, ...]
    """Those of all patterns that match it, in the order in which they were given."""


class End(NamedTuple):
    """One end of a connection, whose address is an own one of this host."""

    holders: tuple[Holder, ...]
    """By ascending (start_ticks, pid); of a connection that was not accepted yet those of its listener. None where
    nobody holds it, or nobody is known."""
    container: Container | None
    """The first holder's; of what nobody holds any more that to which it is charged."""
    netns: tuple[int, ...]
    """The numbers of those in which it is, ascending: several where an address is in several, as 127.0.0.1."""
    sockets: tuple[OwnedSocket, ...]
    """The sockets of the connection; where there are none those that get what comes for it."""


class Resolution(NamedTuple):
    """Both ends of a connection."""

    source: End | None
    """None where the address is none of this host's, like `destination`."""
    destination: End | None
    pending: bool = False
    """Whether a pass is still to come that may tell more."""


NOTHING = Resolution(None, None)
"""That of a resolver that is not enabled."""


def keep_holders(now: Resolution, before: Resolution) -> Resolution:
    """The same with who held, before, what nobody holds by now of these very sockets: what is left of closed ones."""
    return now._replace(
        source=_keep_holders(now.source, before.source), destination=_keep_holders(now.destination, before.destination)
    )


def _keep_holders(now: End | None, before: End | None) -> End | None:
    if now is None or before is None or now.holders or any(socket.row.inode for socket in now.sockets):
        return now  # An fd may hold it that is not seen: another one's.
    # A connection may have had both its ends' addresses and ports before: its cookie it has alone.
    cookies = {socket.row.cookie for socket in now.sockets}
    if not cookies or None in cookies or cookies != {socket.row.cookie for socket in before.sockets}:
        return now
    return now._replace(holders=before.holders, container=before.container)
