"""What the rows of a pass themselves show to be wrong, or missing: each a gap. Pure."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final

from nsagent.errors import Reason
from nsagent.identity.records import list_strangers
from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.model.container import Container
from nsagent.model.facts import Facts, ProcessCounts
from nsagent.model.gap import Gap, Kind, Stage, Subject, make_gap
from nsagent.model.ids import ROOT_CGROUP_ID, ContainerId, SocketInode, tell_netns
from nsagent.model.net import Protocol, SocketRow
from nsagent.model.snapshot import NetnsCounts, OwnedSocket, RowCount
from nsagent.scan.creators import Creators
from nsagent.scan.own import number_of
from nsagent.scan.rows import NetnsRows

TELL_RUNNING: Final = frozenset(("docker", "podman", "cri", "bundles"))
"""The sources of names that tell of containers which have processes; of Container.source."""

_PROTOCOLS: Final = frozenset((Protocol.TCP, Protocol.UDP, Protocol.UDPLITE, Protocol.RAW))
"""The kinds of rows that are one protocol."""


def check_rows(decoded: Iterable[NetnsRows], listed: set[SocketInode]) -> list[Gap]:
    """What was damaged, and whether each socket stands in its netns once, and in no other; adds inodes to `listed`."""
    gaps = []
    for reading, rows, damage in decoded:
        number = tell_netns(number_of(reading))
        gaps += [make_gap(Stage.TABLES, Subject(Kind.TABLE, number, table.protocol), err) for table, err in damage]
        inodes = set(map(attrgetter("inode"), rows))  # 10^4 to 10^6 of them: 0.1 us each.
        bare = [row for row in rows if not row.inode] if 0 in inodes else []
        inodes.discard(SocketInode(0))
        netns = Subject(Kind.NETNS, number)
        if len(inodes) + len(set(map(_key_of, bare))) < len(rows) and not _are_unique(rows):
            gaps.append(Gap(Stage.CHECKS, netns, Reason.REPEATED))
        if not listed.isdisjoint(inodes):
            gaps.append(Gap(Stage.CHECKS, netns, Reason.ELSEWHERE_TOO))
        listed |= inodes
    return gaps


def check_tables(decoded: Iterable[NetnsRows], counts: Iterable[Iterable[RowCount]], gaps: Iterable[Gap]) -> list[Gap]:
    """Tables without a row of which the netns itself counts some: what was refused must not look empty.

    By /proc alone: sock_diag's dumps are held against the counters while they are made. None where a
    gap tells of the table already.
    """
    told = {gap.subject for gap in gaps if gap.subject.kind is Kind.TABLE}
    found = []
    for one, kinds in zip(decoded, counts, strict=True):
        number = tell_netns(number_of(one.reading))
        tables = {table.protocol for table in one.reading.tables}
        for count in kinds:
            if count.kind not in _PROTOCOLS or count.rows or not count.counted:
                continue
            subject = Subject(Kind.TABLE, number, Protocol(count.kind))
            unread = one.reading.engine is EngineName.PROC or subject.protocol not in tables
            if unread and subject not in told:
                found.append(Gap(Stage.TABLES, subject, Reason.SHORT, count=count.counted))
    return found


def check_owners(sockets: Iterable[OwnedSocket], owners: OwnersWanted) -> list[Gap]:
    """Whether every row with owners has the container of the first, and every other row a verdict.

    A row has no owners, and one with an inode no verdict, where nobody was looked for who holds it.
    """
    if owners is OwnersWanted.CONTAINER:
        wrong = [one for one in sockets if one.owners or (one.verdict is None) != bool(one.row.inode)]
    else:
        # 10^4 to 10^6 times: 0.3 us each.
        wrong = [
            one
            for one in sockets
            if (one.container_id != one.owners[0].process.container_id if one.owners else one.verdict is None)
        ]
    return [Gap(Stage.CHECKS, Subject(Kind.OWNERS), Reason.MISMATCH, count=len(wrong))] if wrong else []


def check_sandboxed(containers: Iterable[Container]) -> list[Gap]:
    """The containers whose sockets are in a network stack of their own."""
    return [
        Gap(Stage.TABLES, Subject(Kind.CONTAINER, one.name or one.id), Reason.SANDBOXED, detail=one.sandboxed)
        for one in containers
        if one.sandboxed is not None and not one.sandbox
    ]


def check_seen(facts: Facts, holders: Iterable[ContainerId | None]) -> list[Gap]:
    """The sources of which no container has a process here, though they tell of running ones.

    Their processes are elsewhere: outside of this PID namespace, or on another host. Where the PID
    namespace tells that itself nothing is added, but of those who may be another host's.
    """
    seen = {id_ for id_ in holders if id_ is not None}
    strangers = list_strangers(facts.containers, seen)
    is_told = any(gap.reason is Reason.PID_NAMESPACE for gap in facts.gaps)
    told: dict[str, list[ContainerId]] = {}
    for one in facts.containers:
        if one.told_by is not None and one.source in TELL_RUNNING and one.sandboxed is None:
            told.setdefault(one.told_by.subject, []).append(one.id)
    return [
        Gap(
            Stage.PROCESSES,
            Subject(Kind.CONTAINERS, source),
            Reason.OTHER_HOST if source in strangers else Reason.UNSEEN,
            count=len(ids),
        )
        for source, ids in told.items()
        if seen.isdisjoint(ids) and (source in strangers or not is_told)
    ]


def check_creators(facts: Facts, creators: Creators | None, sockets: Iterable[OwnedSocket]) -> list[Gap]:
    """Whether the rows tell which container made each socket, where only that is asked for.

    Those of /proc, of netlink, packet and vsock sockets, and of kernels before Linux 5.8 name no cgroup.
    """
    if facts.owners is not OwnersWanted.CONTAINER:
        return []
    if creators is None:
        return [Gap(Stage.CGROUPS, Subject(Kind.CREATORS), Reason.NO_CGROUP2)]
    told = {None, ROOT_CGROUP_ID, *(id_ for id_, _ in facts.cgroup_paths)}
    named = [socket.row.cgroup_id for socket in sockets if socket.row.inode]
    gaps = []
    if silent := named.count(None):
        gaps.append(Gap(Stage.CGROUPS, Subject(Kind.CREATORS), Reason.NOT_TOLD, count=silent))
    if lost := set(named) - told:
        gaps.append(Gap(Stage.CGROUPS, Subject(Kind.CGROUPS), Reason.UNREACHABLE, count=len(lost)))
    return gaps


def check_accounts(processes: ProcessCounts, netns: NetnsCounts) -> list[Gap]:
    """Whether the counts of processes and of netns add up."""
    broken = []
    if processes.seen != processes.ok + processes.vanished + processes.denied + processes.skipped:
        broken.append(Gap(Stage.CHECKS, Subject(Kind.COUNTS, "processes"), Reason.MISMATCH))
    if netns.seen != netns.read + netns.empty + netns.failed + netns.skipped:
        broken.append(Gap(Stage.CHECKS, Subject(Kind.COUNTS, "netns"), Reason.MISMATCH))
    return broken


def _are_unique(rows: Sequence[SocketRow]) -> bool:
    """Whether no two rows show the same socket.

    One inode may stand in several rows: the subflows of an MPTCP connection have their owner's, and an
    SCTP socket has a row for each of its associations. These differ by cookie or tuple.
    """
    return len({(row.inode, _key_of(row)) for row in rows}) == len(rows)


def _key_of(row: SocketRow) -> tuple[object, ...]:
    """What makes a row without an inode the same one."""
    return row.protocol, row.family, row.mapped, row.state, row.local, row.remote, row.interface, row.cookie
