"""Facts to Snapshot: who holds which row. Pure.

A row belongs to the processes with an fd on its inode, wherever they are, and to the netns of the
table it stands in. Nothing is joined by address or port.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from nsagent.identity.cgroup_path import CgroupIdentity, parse_cgroup
from nsagent.identity.join import join_containers
from nsagent.kernel.formats import inet_diag, net_inet
from nsagent.model.choices import EngineName
from nsagent.model.facts import Facts, Gap, HeldBy, NetnsReading, ProcessReading, Stage, TableFormat
from nsagent.model.ids import Fd, SocketInode
from nsagent.model.net import ByteOrder, SocketRow
from nsagent.model.process import Process
from nsagent.model.snapshot import (
    Attribution,
    Confidence,
    Coverage,
    Flag,
    Netns,
    NetnsCounts,
    OwnedSocket,
    Owner,
    Snapshot,
)
from nsagent.scan.verdicts import judge_ownerless

_new = tuple.__new__

Holders = dict[SocketInode, tuple[Owner, ...]]
"""Who holds which socket of the whole host: one map, because a holder may sit in another netns."""


def attribute(facts: Facts) -> Snapshot:
    """What the facts of one pass mean."""
    identities = {text: parse_cgroup(text) for text in {reading.cgroup for reading in facts.processes}}
    keys = {one.key: one.id.inode for one in facts.netns if one.id and one.key is not None}
    processes = [_make_process(reading, identities[reading.cgroup], keys) for reading in facts.processes]
    holders = join_holders(processes, facts.processes)
    gaps = list(facts.gaps)
    sockets: list[OwnedSocket] = []
    listed: set[SocketInode] = set()
    for one in facts.netns:
        rows, damage = decode_rows(one, facts.byteorder)
        gaps += damage
        listed.update([row.inode for row in rows])
        sockets += own_rows(one, rows, holders, denied=facts.process_counts.denied > 0)
    distinct = tuple(dict.fromkeys(processes))
    members: defaultdict[int | None, list[Process]] = defaultdict(list)
    for process in distinct:
        members[process.netns].append(process)
    return Snapshot(
        host=facts.host,
        boot_id=facts.boot_id,
        taken_at=_format_time(facts.taken_at_ns),
        duration_seconds=facts.duration_seconds,
        engine=_name_engine(facts),
        netns=tuple(_make_netns(one, members[_number(one)]) for one in facts.netns),
        containers=join_containers(identities.values(), facts.containers),
        processes=distinct,
        sockets=tuple(sockets),
        coverage=_cover(facts, len(holders.keys() - listed), merge_gaps(gaps)),
        sources=facts.sources,
    )


def join_holders(processes: Sequence[Process], readings: Sequence[ProcessReading]) -> Holders:
    """Who holds which inode: of each process the ascending fds, processes by (start_ticks, pid).

    `processes` are those of the `readings`, in the same order. A later reading of a process that
    was read before adds its fds to the same owner.
    """
    holders: Holders = {}
    shared: set[SocketInode] = set()
    for process, reading in zip(processes, readings, strict=True):
        for fd, inode in reading.socket_fds or ():  # 10^4 to 10^6 times: 0.4 us each.
            known = holders.get(inode)
            if known is None:
                holders[inode] = (_new(Owner, (process, (fd,), None, HeldBy.FD)),)
            else:
                holders[inode] = _add_fd(known, process, fd)
                shared.add(inode)
    # A row without an inode belongs to nobody, whatever a broken link says.
    holders.pop(SocketInode(0), None)
    for inode in shared - {0}:
        holders[inode] = tuple(sorted(holders[inode], key=lambda owner: (owner.process.start_ticks, owner.process.pid)))
    return holders


def decode_rows(reading: NetnsReading, byteorder: ByteOrder) -> tuple[list[SocketRow], list[Gap]]:
    """The rows of all tables of a netns, without those that closed during the pass; damage becomes gaps."""
    rows: list[SocketRow] = []
    gaps: list[Gap] = []
    for table in reading.tables:
        protocol = table.protocol
        if table.format is TableFormat.INET_DIAG:
            decoded, errors = inet_diag.decode_table(table.data, protocol, byteorder)
        else:
            decoded, errors = net_inet.parse_table(table.data, protocol, byteorder=byteorder)
        rows += decoded
        gaps += [Gap(Stage.TABLES, f"{protocol} of {_subject(reading)}", str(error)) for error in errors]
    if reading.closed:
        rows = [row for row in rows if row.inode not in reading.closed]
    return rows, gaps


def own_rows(reading: NetnsReading, rows: Iterable[SocketRow], holders: Holders, *, denied: bool) -> list[OwnedSocket]:
    """The rows of one netns with their owners, or with the reason why they have none."""
    number = _number(reading)
    names = dict(reading.interface_names)
    sockets: list[OwnedSocket] = []
    mismatch = (Flag.NETNS_MISMATCH,)
    fd, exact, none, unsure = Attribution.FD, Confidence.EXACT, Attribution.NONE, Confidence.NONE
    for row in rows:  # 10^4 to 10^6 times: 0.7 us each.
        owners = holders.get(row.inode)
        interface = names.get(row.interface, str(row.interface)) if row.interface else None
        if owners is None:
            verdict = judge_ownerless(row, denied=denied)
            socket = _new(OwnedSocket, (number, row, interface, (), None, none, unsure, (), verdict))
        else:
            first = owners[0][0]
            at_home = (len(owners) == 1 and first.netns == number) or _all_in(owners, number)
            flags = () if at_home else mismatch
            socket = _new(OwnedSocket, (number, row, interface, owners, first.container_id, fd, exact, flags, None))
        sockets.append(socket)
    return sockets


def merge_gaps(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """The gaps of one stage and reason as one, which names the first three subjects and counts the rest."""
    groups: defaultdict[tuple[Stage, str], list[Gap]] = defaultdict(list)
    for gap in gaps:
        groups[gap.stage, gap.reason].append(gap)
    merged = []
    for (stage, reason), alike in groups.items():
        subjects = list(dict.fromkeys(gap.subject for gap in alike))
        text = ", ".join(subjects[:3]) + (f" and {len(subjects) - 3} more" if len(subjects) > 3 else "")
        merged.append(Gap(stage, text, reason, sum(gap.count for gap in alike)))
    return tuple(merged)


def _add_fd(owners: tuple[Owner, ...], process: Process, fd: Fd) -> tuple[Owner, ...]:
    """The owners of a socket with one more fd of `process`."""
    for index, owner in enumerate(owners):
        if owner.process is process or owner.process == process:
            fds = tuple(sorted({*owner.fds, fd}))
            return (*owners[:index], Owner(owner.process, fds), *owners[index + 1 :])
    return (*owners, Owner(process, (fd,)))


def _all_in(owners: tuple[Owner, ...], number: int) -> bool:
    """Whether every owner whose netns is known is in this one."""
    return all(owner[0].netns == number or owner[0].netns is None for owner in owners)


def _make_process(reading: ProcessReading, identity: CgroupIdentity, keys: Mapping[int, int]) -> Process:
    netns = reading.netns_inode
    if netns is None and reading.netns_key is not None:
        netns = keys.get(reading.netns_key, reading.netns_key)
    return Process(
        pid=reading.pid,
        start_ticks=reading.start_ticks,
        comm=reading.comm,
        uid=reading.uid,
        netns=netns,
        container_id=identity.container_id,
        unit=identity.unit,
        kernel_thread=reading.kernel_thread,
    )


def _make_netns(reading: NetnsReading, members: Sequence[Process]) -> Netns:
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
    )


def _ip_netns_name(path: str) -> str | None:
    """The name that `ip netns` shows for a mount at this path (ip-netns(8)), None elsewhere."""
    directory, _, name = path.rpartition("/")
    return name if directory in ("/run/netns", "/var/run/netns") else None


def _cover(facts: Facts, unlisted: int, gaps: tuple[Gap, ...]) -> Coverage:
    empty = sum(one.empty for one in facts.netns)
    failed = sum(one.engine is None for one in facts.netns)
    processes = facts.process_counts
    return Coverage(
        complete=not (
            processes.denied or processes.skipped or failed or any(gap.stage is not Stage.NAMES for gap in gaps)
        ),
        processes=processes,
        netns=NetnsCounts(len(facts.netns), len(facts.netns) - empty - failed, empty, failed, 0),
        socket_fds_unlisted=unlisted,
        gaps=gaps,
    )


def _name_engine(facts: Facts) -> EngineName:
    """The engine that read all netns, `auto` if they differ: each netns then names its own."""
    used = {one.engine for one in facts.netns if one.engine is not None}
    return used.pop() if len(used) == 1 else facts.engine


def _number(reading: NetnsReading) -> int:
    return reading.id.inode if reading.id else reading.key or 0


def _subject(reading: NetnsReading) -> str:
    return f"netns {_number(reading)}"


def _format_time(nanoseconds: int) -> str:
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}Z"
