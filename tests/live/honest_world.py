"""An honest world with written truth in a closed bed, and what a scan says against it.

Two containers by their cgroups, netns with and without names, sockets that several processes hold or that are held from
another netns, and some in the netns of PID 1, where anybody may be. All of it is made before and stays as it is: what
a scan has said of it once, and was right, the next one says too, whoever else is there.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.live.actors import Actor, Held, owners_of
from tests.live.closed_bed import ClosedBed
from tests.live.made_cgroups import MadeCgroups, find_hierarchies
from tests.live.netns_bed import MadeNetns
from tests.live.nsagent_cli import Scan, Socket, owners_in, verdict_kind
from tests.live.rows import ANY

MOVING = frozenset(("accept_queue", "timer", "cookie"))
"""Of a row: anybody may wait at a listener where all may be, and a cookie is given when it is first asked for."""
OF_THE_HOST = frozenset(("rows", "processes", "found_by", "mounts", "foreign_mounts"))


class Honest(NamedTuple):
    """A socket, as it has to be shown."""

    netns: int
    state: str
    local: tuple[str, int]
    remote: tuple[str, int]
    owners: Mapping[int, list[int]]
    container_id: str | None


class HonestWorld:
    """What was made, and the truth about it by inode."""

    def __init__(self, bed: ClosedBed, cgroups: MadeCgroups) -> None:
        self._bed = bed
        self._cgroups = cgroups
        first_id, second_id = secrets.token_hex(32), secrets.token_hex(32)
        self.ids = {first_id, second_id}
        self.truth: dict[int, Honest] = {}
        self.host_netns = bed.host_netns
        self.listeners: dict[tuple[str, int], int] = {}
        host = bed.netns_bed.actor()
        self._fill(host, self.host_netns, None)
        first, netns = self._live_in(bed.netns_bed.named(), first_id)
        second, _ = self._live_in(netns, first_id)
        everywhere = first.listen("0.0.0.0")
        self._note(netns.inode, first_id, everywhere, *first.pair(everywhere, second))
        parent = bed.netns_bed.actor(netns)
        self._join(parent, first_id)
        shared = parent.udp(family="ipv6", address="::1")
        child = parent.fork()
        self._note(netns.inode, first_id, shared, shared._replace(pid=child))
        other, keeper = bed.netns_bed.anonymous()
        self._join(keeper, second_id)
        self._fill(keeper, other.inode, second_id)
        lonely = bed.netns_bed.named()
        mover = bed.netns_bed.actor(lonely)
        kept = mover.listen(family="ipv6", address="::")
        mover.ask("enter_netns", path=netns.path)
        self._note(lonely.inode, None, kept)
        self.netns = {netns.inode, other.inode, lonely.inode, self.host_netns}
        self.names = {str(one.name) for one in (netns, lonely)}
        self.pids = {pid for honest in self.truth.values() for pid in honest.owners}

    def _live_in(self, netns: MadeNetns, id_: str) -> tuple[Actor, MadeNetns]:
        actor = self._bed.netns_bed.actor(netns)
        self._join(actor, id_)
        self._fill(actor, netns.inode, id_)
        return actor, netns

    def _join(self, actor: Actor, id_: str) -> None:
        for directory in self._cgroups.make(f"/docker/{id_}", find_hierarchies()):
            self._bed.run("sh", "-c", 'echo "$1" > "$2"', "sh", str(actor.pid), f"{directory}/cgroup.procs")

    def _fill(self, actor: Actor, netns: int, id_: str | None) -> None:
        actor.ask("rename", comm=f"honest-{actor.pid}")
        listener = actor.listen()
        twice = actor.udp()
        self._note(netns, id_, twice, actor.dup(twice))
        for held in (
            listener,
            *actor.pair(listener),
            actor.listen(family="ipv6", address="::1"),
            *actor.listen_many(5),
        ):
            self._note(netns, id_, held)

    def _note(self, netns: int, id_: str | None, *held: Held) -> None:
        """Sockets by what holds them: all of one inode are one."""
        for inode in {one.inode for one in held}:
            holders = [one for one in held if one.inode == inode]
            one = holders[0]
            state = "close" if one.protocol == "udp" else "established" if one.remote else "listen"
            self.truth[inode] = Honest(netns, state, one.local, one.remote or (ANY, 0), owners_of(*holders), id_)
            if state == "listen" and netns == self.host_netns:
                self.listeners[one.local] = one.pid

    def describe(self, scan: Scan) -> dict[int, Honest]:
        """What a scan says of the sockets of this world."""
        return {row["inode"]: describe(row) for row in scan.sockets if row["inode"] in self.truth}


def describe(row: Socket) -> Honest:
    local, remote = ((row[end]["address"], row[end]["port"]) for end in ("local", "remote"))
    remote = remote if row["state"] == "established" else (ANY, 0)
    return Honest(row["netns"], row["state"], local, remote, owners_in(row), row["container_id"])


def find_faults(world: HonestWorld, before: Scan, now: Scan) -> Iterator[str]:
    """What a scan says of the honest world that `before` did not, and what of others it lays upon it."""
    rows = {row["inode"]: row for row in now.sockets if row["inode"] in world.truth}
    for row in before.sockets:
        if row["inode"] in world.truth:
            yield from compare(f"inode {row['inode']}", row, rows.get(row["inode"]), MOVING)
    for row in now.sockets:
        if row["inode"] not in world.truth:
            yield from find_laid_upon(world, row)
    for entry in before.netns:
        if entry["inode"] in world.netns:
            moving = OF_THE_HOST if entry["inode"] == world.host_netns else frozenset[str]()
            yield from compare(f"netns {entry['inode']}", entry, now.find_netns(entry["inode"]), moving)
    for entry in now.netns:
        if entry["inode"] not in world.netns and (
            world.names & {*entry["names"]} or world.ids & {*entry["containers"]}
        ):
            yield f"netns {entry['inode']} is no honest one: {entry}"
    containers = {entry["id"]: entry for entry in now.containers}
    for entry in before.containers:
        yield from compare(f"container {entry['id']}", entry, containers.get(entry["id"]), frozenset(("accept_queue",)))
    for gap in now.coverage["gaps"]:
        about = {"process": world.pids, "threads": world.pids, "netns": world.netns, "table": world.netns}
        if about.get(gap["kind"], set()) & {int(id_) for id_ in gap["ids"] if str(id_).isdigit()}:
            yield f"a gap of the honest world: {gap}"


def compare(
    what: str, before: Mapping[str, Any], now: Mapping[str, Any] | None, moving: frozenset[str]
) -> Iterator[str]:
    if now is None:
        yield f"{what} is lost"
        return
    for key in before.keys() - moving:
        if before[key] != now[key]:
            yield f"{what}: {key} is {now[key]!r}, not {before[key]!r}"


def find_laid_upon(world: HonestWorld, row: Socket) -> Iterator[str]:
    """What is wrong with a row that is none of the honest sockets.

    Of honest processes it can only be a connection that waits at their listener, in the netns of PID 1.
    """
    local = (row["local"]["address"], row["local"]["port"])
    if row["inode"] is None and row["netns"] == world.host_netns and local in world.listeners:
        return
    charged = (row["verdict"] or {}).get("charged_to") or {"pid": None, "container_id": None}
    pids = {*owners_in(row), charged["pid"]} & world.pids
    ids = {
        row["container_id"],
        charged["container_id"],
        *(owner["container_id"] for owner in row["owners"]),
    } & world.ids
    if pids or ids:
        yield f"not of honest processes, but of {pids or ''} {ids or ''}: {row}"
    if row["netns"] in world.netns - {world.host_netns}:
        yield f"nobody made that in an honest netns: {row}"
    if row["uid"] and verdict_kind(row) == "kernel":
        yield f"a plain user's socket is the kernel's: {row}"


def list_ports(world: HonestWorld) -> Sequence[int]:
    """Those of all its listeners."""
    return sorted({honest.local[1] for honest in world.truth.values() if honest.state == "listen"})
