"""What an earlier pass knew about sockets that have no owner any more. Pure.

The kernel keeps a socket's cookie into TIME_WAIT, so that a closed connection can be told from
another one with the same addresses. A cgroup's id is not given out again before the next boot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nsagent.identity.believe import believe
from nsagent.model.container import Container
from nsagent.model.facts import Facts
from nsagent.model.ids import ContainerId, Pid, SocketCookie
from nsagent.model.net import Protocol
from nsagent.model.snapshot import Attribution, Snapshot
from nsagent.scan.creators import Creators, identify_all, map_creators


class Holder(NamedTuple):
    """The first owner of a socket, as that pass saw it."""

    pid: Pid
    start_ticks: int
    container_id: ContainerId | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Who held which TCP socket of this boot, by cookie; the containers, and what was made in which of them."""

    holders: Mapping[SocketCookie, Holder] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()
    creators: Creators = field(default_factory=dict)


def remember(facts: Facts, snapshot: Snapshot) -> Memory:
    """What these facts and their snapshot know; no more than these hold."""
    holders = {}
    for socket in snapshot.sockets:
        row = socket.row
        if socket.attribution is Attribution.FD and row.protocol is Protocol.TCP and row.cookie and row.remote.port:
            process = socket.owners[0].process
            holders[row.cookie] = Holder(process.pid, process.start_ticks, process.container_id)
    identities = believe(identify_all(facts), (*snapshot.containers, *snapshot.folded))
    return Memory(holders, snapshot.containers, map_creators(facts, identities) or {})
