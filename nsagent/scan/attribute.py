"""Facts to Snapshot: who holds which row. Pure.

A row belongs to the processes with an fd on its inode, wherever they are, and to the netns of the
table it stands in. Nothing is joined by address or port.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from nsagent.identity.cgroup_path import CgroupIdentity, parse_cgroup
from nsagent.identity.join import join_containers
from nsagent.kernel.formats.raw_table import decode_netns
from nsagent.model.choices import EngineName
from nsagent.model.facts import Facts, Gap, NetnsReading, ProcessReading, Stage
from nsagent.model.ids import SocketInode
from nsagent.model.process import Process
from nsagent.model.snapshot import Netns, OwnedSocket, RowCount, Snapshot
from nsagent.scan.charge import Creators
from nsagent.scan.coverage import check_owners, check_rows, count_rows, cover
from nsagent.scan.memory import Memory
from nsagent.scan.own import Owning, number_of, read_netns_number


def attribute(facts: Facts, memory: Memory | None = None) -> Snapshot:
    """What the facts of one pass mean; `memory` is what an earlier pass knew about closed sockets."""
    identities = {text: parse_cgroup(text) for text in {reading.cgroup for reading in facts.processes}}
    keys = {one.key: one.id.inode for one in facts.netns if one.id and one.key is not None}
    processes = [_make_process(reading, identities[reading.cgroup], keys) for reading in facts.processes]
    distinct = tuple(dict.fromkeys(processes))
    members: defaultdict[int | None, list[Process]] = defaultdict(list)
    for process in distinct:
        members[process.netns].append(process)
    owning = Owning(facts, processes, creators=_map_creators(facts.cgroup_paths, identities), memory=memory or Memory())
    gaps = list(facts.gaps)
    sockets: list[OwnedSocket] = []
    netns: list[Netns] = []
    listed: set[SocketInode] = set()
    for one in facts.netns:
        rows, damage = decode_netns(one, facts.byteorder)
        subject = f"netns {number_of(one)}"
        gaps += [Gap(Stage.TABLES, f"{table.protocol} of {subject}", str(error)) for table, error in damage]
        gaps += check_rows(subject, rows, listed)
        residents = members[number_of(one)]
        sockets += owning.own(one, rows, residents)
        netns.append(_make_netns(one, residents, count_rows(one, rows, facts.protocols)))
    gaps += check_owners(sockets)
    return Snapshot(
        host=facts.host,
        boot_id=facts.boot_id,
        taken_at=_format_time(facts.taken_at_ns),
        duration_seconds=facts.duration_seconds,
        engine=_name_engine(facts),
        netns=tuple(netns),
        containers=join_containers(identities.values(), facts.containers),
        processes=distinct,
        sockets=tuple(sockets),
        coverage=cover(
            facts, sockets, [count for one in netns for count in one.rows], len(owning.holders.keys() - listed), gaps
        ),
        sources=facts.sources,
    )


def _map_creators(paths: Iterable[tuple[int, str]], identities: Mapping[str, CgroupIdentity]) -> Creators:
    """The container of each cgroup-v2 id, where containers have cgroups of version 2 at all.

    A host with a container whose `0::` line does not name it keeps them in version 1.
    """
    for text, identity in identities.items():
        second = "".join(line for line in text.splitlines(keepends=True) if line.startswith("0::"))
        if identity.container_id is not None and parse_cgroup(second).container_id != identity.container_id:
            return {}
    # The root tells nothing: where nobody uses version 2 everything is in there.
    return {id_: parse_cgroup(f"0::{path}\n").container_id for id_, path in paths if path != "/"}


def _make_process(reading: ProcessReading, identity: CgroupIdentity, keys: Mapping[int, int]) -> Process:
    return Process(
        pid=reading.pid,
        start_ticks=reading.start_ticks,
        comm=reading.comm,
        uid=reading.uid,
        netns=read_netns_number(reading, keys),
        container_id=identity.container_id,
        unit=identity.unit,
        kernel_thread=reading.kernel_thread,
    )


def _make_netns(reading: NetnsReading, members: Sequence[Process], rows: tuple[RowCount, ...]) -> Netns:
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
        containers=tuple(sorted({process.container_id for process in members if process.container_id})),
        interfaces=reading.interfaces,
        rows=rows,
    )


def _ip_netns_name(path: str) -> str | None:
    """The name that `ip netns` shows for a mount at this path (ip-netns(8)), None elsewhere."""
    directory, _, name = path.rpartition("/")
    return name if directory in ("/run/netns", "/var/run/netns") else None


def _name_engine(facts: Facts) -> EngineName:
    """The engine that read all netns, `auto` if they differ: each netns then names its own."""
    used = {one.engine for one in facts.netns if one.engine is not None}
    return used.pop() if len(used) == 1 else facts.engine


def _format_time(nanoseconds: int) -> str:
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}Z"
