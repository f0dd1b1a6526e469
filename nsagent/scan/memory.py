"""What an earlier pass knew about sockets that have no owner any more. Pure.

The kernel keeps a socket's cookie into TIME_WAIT, so that a closed connection can be told from
another one with the same addresses. A cgroup's id is not given out again before the next boot.
"""

from collections.abc import Collection, Mapping
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


class Lodger(NamedTuple):
    """A container, or the host for None, of which a process lived in a netns."""

    netns: int
    """Its number then: another netns may have it by now."""
    cookie: int | None
    """None where it is not known: then it may be any of that number."""
    container_id: ContainerId | None

    def may_be_in(self, cookie: int | None) -> bool:
        """Whether the netns of that number and this cookie may be the same one."""
        return self.cookie == cookie or self.cookie is None or cookie is None


@dataclass(frozen=True, slots=True)
class Memory:
    """Who held which TCP socket of this boot, by cookie; the containers, and what was made in which of them.

    `left` are those whose processes ended within the last minute, by the numbers of netns, and may be those who live.
    """

    holders: Mapping[SocketCookie, Holder] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()
    creators: Creators = field(default_factory=dict)
    left: Mapping[int, Collection[Lodger]] = field(default_factory=dict)


def remember(facts: Facts, snapshot: Snapshot, earlier: Memory | None = None) -> Memory:
    """What these facts and their snapshot know; no more than these hold.

    With what an `earlier` one knew of sockets that stand in the tables still: they take a minute to be gone.
    """
    known = {} if earlier is None else earlier.holders
    theirs: dict[int, Holder] = {}
    holders: dict[SocketCookie, Holder] = {}
    for socket in snapshot.sockets:  # 10^4 to 10^6 times: 0.6 us each.
        row = socket.row
        cookie = row.cookie
        if row.protocol is not Protocol.TCP or not cookie or not row.remote.port:
            continue
        if socket.attribution is Attribution.FD:
            process = socket.owners[0].process
            holder = theirs.get(id(process))
            if holder is None:
                holder = theirs[id(process)] = Holder(process.pid, process.start_ticks, process.container_id)
            holders[cookie] = holder
        elif cookie in known:
            holders[cookie] = known[cookie]
    identities = believe(identify_all(facts), (*snapshot.containers, *snapshot.folded))
    named = {one.id for one in snapshot.containers}
    left = earlier.left.values() if earlier else ()
    lodgers = {one.container_id for lodgers in left for one in lodgers}
    wanted = {*lodgers, *(holder.container_id for holder in holders.values())} - named
    gone = [one for one in (earlier.containers if earlier else ()) if one.id in wanted]
    return Memory(holders, (*snapshot.containers, *gone), map_creators(facts, identities) or {})
