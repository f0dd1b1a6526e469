"""The host states that are measured: how many netns, processes, descriptors and sockets each has.

Pure; holder.c makes them, host.py starts it.
"""

from dataclasses import dataclass
from typing import Final

FDS_OF_EVERY_HOLDER: Final = 4
"""0, 1, 2 and the pipe on which a holder says that it is ready."""

SHARED: Final = 3
"""Sockets that the first two processes of a netns share, as in holder.c."""


@dataclass(frozen=True, slots=True)
class State:
    """One synthetic host.

    `processes` are per netns; `plain` and `sockets` are the other descriptors and the sockets that
    each of them opens. `waiting` connections lie in accept queues and `time_wait` rows exist in
    the whole state, spread evenly over the netns: rows that no descriptor can hold. `empty` netns
    have no process and no socket, only a mount. With `movers`, that many processes hold all sockets:
    they share the work of the `processes`, entering one netns after the other, all of which are mounts.
    """

    name: str
    netns: int
    processes: int
    plain: int
    sockets: int
    waiting: int
    time_wait: int
    empty: int = 0
    movers: int = 0

    @property
    def holders(self) -> int:
        """How many processes hold sockets."""
        return self.movers or self.netns * self.processes

    @property
    def held(self) -> int:
        """How many sockets are held by at least one process."""
        return self.netns * self.processes * self.sockets

    @property
    def rows(self) -> int:
        """How many rows the tables of all netns have."""
        return self.held + self.waiting + self.time_wait

    @property
    def owner_pairs(self) -> int:
        """How many (socket, pid) pairs there are."""
        return self.held + (SHARED * self.netns if self.processes > 1 and not self.movers else 0)

    @property
    def fds(self) -> int:
        """How many descriptors the holders have; a shared socket takes the place of a plain one."""
        return self.holders * FDS_OF_EVERY_HOLDER + self.netns * self.processes * (self.plain + self.sockets)


IDLE: Final = State("idle", netns=0, processes=0, plain=0, sockets=0, waiting=0, time_wait=0)
"""A host where nothing has a socket."""

STATES: Final = {
    state.name: state
    for state in (
        State("small", netns=5, processes=4, plain=20, sockets=10, waiting=5, time_wait=5),
        State("node", netns=100, processes=5, plain=50, sockets=20, waiting=50, time_wait=50),
        State("large", netns=200, processes=10, plain=100, sockets=50, waiting=100, time_wait=100),
        State("flat", netns=1, processes=50, plain=20, sockets=1000, waiting=5, time_wait=5),
        State("empty-ns", netns=1000, processes=1, plain=0, sockets=10, waiting=0, time_wait=0, empty=9000),
        State("million", netns=200, processes=4, plain=0, sockets=1250, waiting=0, time_wait=0, movers=60),
        IDLE,
    )
}
