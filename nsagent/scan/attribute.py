"""Facts to Snapshot: who holds which row. Pure.

A row belongs to the processes with an fd on its inode, wherever they are, and to the netns of the
table it stands in. Nothing is joined by address or port.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain

from nsagent.identity.believe import believe
from nsagent.identity.cgroup_path import CgroupIdentity
from nsagent.identity.join import join_containers
from nsagent.model.choices import EngineName
from nsagent.model.container import Container
from nsagent.model.facts import Facts, NetnsReading, ProcessReading
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.process import Process
from nsagent.model.snapshot import Netns, OwnedSocket, RowCount, Snapshot
from nsagent.scan.coverage import count_rows, cover
from nsagent.scan.creators import identify_all, map_creators
from nsagent.scan.memory import Memory
from nsagent.scan.own import Owning, number_of, read_netns_number
from nsagent.scan.rows import RowDecoder, sort_sockets


def attribute(facts: Facts, memory: Memory | None = None, decoder: RowDecoder | None = None) -> Snapshot:
    """What the facts of one pass mean; `memory` is what an earlier pass knew about closed sockets.

    With the `decoder` of that pass rows that have not changed cost less.
    """
    memory = memory or Memory()
    claimed = identify_all(facts)
    containers = join_containers(claimed.values(), facts.containers, facts.kept)
    identities = believe(claimed, containers)
    keys = {one.key: one.id.inode for one in facts.netns if one.id and one.key is not None}
    placed = {(one.pid, one.start_ticks): one.container_id for one in facts.placed}
    processes = [_make_process(reading, identities[reading.cgroup], keys, placed) for reading in facts.processes]
    distinct = tuple(dict.fromkeys(processes))
    members: defaultdict[int | None, list[Process]] = defaultdict(list)
    for process in distinct:
        members[process.netns].append(process)
    creators = map_creators(facts, identities)
    owning = Owning(facts, processes, containers, creators={**memory.creators, **(creators or {})}, memory=memory)
    # The host's netns first, the others by their inodes, as facts have them.
    netns = sorted(facts.netns, key=lambda reading: not reading.is_host)
    decoded = (decoder or RowDecoder()).decode(netns, facts.byteorder)
    owned = [owning.own(one.reading, one.rows, members[number_of(one.reading)]) for one in decoded]
    sockets = list(chain.from_iterable(owned))
    counts = [count_rows(one.reading, one.rows, facts.protocols) for one in decoded]
    if gone := _list_gone(facts, memory, sockets):
        containers = join_containers(claimed.values(), facts.containers, facts.kept, gone)
    by_id = {container.id: container for container in containers}
    lived_in = [claimed[text] for text in {reading.cgroup for reading in facts.processes}]
    seen_in = {id_ for one in lived_in for id_ in (*one.chain, one.container_id) if id_ is not None}
    seen_in.update(placed.values())
    host_is_known = any(one.is_host for one in facts.netns)
    holders = [process for process, one in zip(processes, facts.processes, strict=True) if one.socket_fds]
    unfolded, folded = _fold_sandboxes(containers, holders, (creators or {}).values())
    return Snapshot(
        host=facts.host,
        boot_id=facts.boot_id,
        taken_at=format_time(facts.taken_at_ns),
        duration_seconds=facts.duration_seconds,
        engine=_name_engine(facts),
        netns=tuple(
            _make_netns(one, members[number_of(one)], rows, by_id, host_is_known=host_is_known)
            for one, rows in zip(netns, counts, strict=True)
        ),
        containers=unfolded,
        processes=distinct,
        sockets=tuple(chain.from_iterable(map(sort_sockets, owned))),
        coverage=cover(facts, decoded, sockets, counts, containers, creators, owning.holders.keys(), seen_in),
        sources=facts.sources,
        folded=folded,
    )


def _list_gone(facts: Facts, memory: Memory, sockets: Iterable[OwnedSocket]) -> list[Container]:
    """Containers of earlier passes to which a row is charged: they may be gone."""
    earlier = (*facts.kept, *memory.containers)
    charged = {socket.container_id for socket in sockets} if earlier else set()
    return [container for container in earlier if container.id in charged]


def _fold_sandboxes(
    containers: Iterable[Container], processes: Iterable[Process], creators: Iterable[ContainerId | None]
) -> tuple[tuple[Container, ...], tuple[Container, ...]]:
    """The containers, and the pause containers apart, which are part of their pods.

    One stays that holds or made a socket: `processes` are those that hold any.
    """
    named = {process.container_id for process in processes}.union(creators)
    unfolded: list[Container] = []
    folded: list[Container] = []
    for container in containers:
        (folded if container.sandbox and container.id not in named else unfolded).append(container)
    return tuple(unfolded), tuple(folded)


def _make_process(
    reading: ProcessReading,
    identity: CgroupIdentity,
    keys: Mapping[int, int],
    placed: Mapping[tuple[Pid, int], ContainerId],
) -> Process:
    return Process(
        pid=reading.pid,
        start_ticks=reading.start_ticks,
        comm=reading.comm,
        uid=reading.uid,
        netns=read_netns_number(reading, keys),
        container_id=identity.container_id or placed.get((reading.pid, reading.start_ticks)),
        unit=identity.unit,
        kernel_thread=reading.kernel_thread,
        around=identity.chain,
        inner=identity.inner,
    )


def _make_netns(
    reading: NetnsReading,
    members: Sequence[Process],
    rows: tuple[RowCount, ...],
    containers: Mapping[ContainerId, Container],
    *,
    host_is_known: bool,
) -> Netns:
    ids = sorted({process.container_id for process in members if process.container_id})
    found = (containers[id_].pod for id_ in ids if id_ in containers)
    pods = {(pod.uid, pod.kube_namespace, pod.name): pod for pod in found if pod is not None}
    return Netns(
        inode=reading.id.inode if reading.id else None,
        key=None if reading.id else reading.key,
        cookie=reading.cookie,
        names=tuple(sorted({name for path in reading.mounts if (name := _ip_netns_name(path))})),
        mounts=reading.mounts,
        is_host=reading.is_host,
        engine=reading.engine,
        found_by=reading.found_by,
        processes=len(members),
        containers=tuple(id_ for id_ in ids if id_ not in containers or not containers[id_].sandbox),
        interfaces=reading.interfaces,
        rows=rows,
        pods=tuple(pods.values()),
        is_init=not host_is_known and any(process.pid == 1 for process in members),
        foreign_mounts=reading.foreign_mounts,
        client_ports=reading.client_ports,
        own_addresses=reading.own_addresses,
        broadcasts=reading.broadcasts,
        linked=reading.linked,
    )


def _ip_netns_name(path: str) -> str | None:
    """The name that `ip netns` shows for a mount at this path (ip-netns(8)), None elsewhere."""
    directory, _, name = path.rpartition("/")
    return name if directory in ("/run/netns", "/var/run/netns") else None


def _name_engine(facts: Facts) -> EngineName:
    """The engine that read all netns, `auto` if they differ: each netns then names its own."""
    used = {one.engine for one in facts.netns if one.engine is not None}
    return used.pop() if len(used) == 1 else facts.engine


def format_time(nanoseconds: int) -> str:
    """A time since the epoch as snapshots and changes have it: RFC 3339 in UTC, with ms."""
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}Z"
