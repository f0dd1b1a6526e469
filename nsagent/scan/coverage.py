"""What a pass saw, held against what the kernel counts, and its checks of itself. Pure.

Source: net/ipv4/proc.c sockstat_seq_show(): `inuse` and `tw` are per netns; `alloc` and `orphan`
are host-wide.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.sockstat import SockStat, parse_sockstat
from nsagent.model.choices import OwnersWanted
from nsagent.model.facts import Facts, FoundBy, Gap, NetnsReading, ProcessCounts, Stage
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol, SocketRow, SocketState
from nsagent.model.snapshot import (
    Coverage,
    HostCount,
    NetnsCounts,
    OwnedSocket,
    RowCount,
    VerdictKind,
)

_COUNTERS: Final = {
    "tcp": (("TCP", "inuse"), ("TCP6", "inuse")),
    "time_wait": (("TCP", "tw"),),
    "udp": (("UDP", "inuse"), ("UDP6", "inuse")),
    "udplite": (("UDPLITE", "inuse"), ("UDPLITE6", "inuse")),
    "raw": (("RAW", "inuse"), ("RAW6", "inuse")),
}
"""The counters of sockstat that add up to the rows of each kind; `tw` counts both families."""

_UNCOUNTED: Final = (SocketState.TIME_WAIT, SocketState.SYN_RECV, SocketState.BOUND_INACTIVE)
"""States that the counter `inuse` of TCP leaves out."""


_FIRST: Final = tuple(FoundBy)
"""In the order in which a pass looks: what led to a netns first."""


def count_rows(reading: NetnsReading, rows: Iterable[SocketRow], protocols: Sequence[Protocol]) -> tuple[RowCount, ...]:
    """The rows of one netns by kind, beside what the netns itself counts; () if its tables were not read."""
    if reading.engine is None:
        return ()
    if reading.empty:
        return tuple(RowCount(kind, 0, 0) for kind in _COUNTERS if kind in protocols or kind == "time_wait")
    counters = _read_counters(reading.sockstat)
    counts: Counter[tuple[Protocol, SocketState]] = Counter(map(itemgetter(0, 3), rows))
    # A late FIN_WAIT2 is a mini-socket too: it counts as a TIME_WAIT.
    late = 0
    if (Protocol.TCP, SocketState.FIN_WAIT2) in counts:
        late = sum(row.uid is None and row.state is SocketState.FIN_WAIT2 for row in rows)
    seen = {
        "tcp": sum(n for (of, state), n in counts.items() if of is Protocol.TCP and state not in _UNCOUNTED) - late,
        "time_wait": counts[Protocol.TCP, SocketState.TIME_WAIT] + late,
    }
    for protocol in (Protocol.UDP, Protocol.UDPLITE, Protocol.RAW):
        seen[protocol.value] = sum(n for (of, _), n in counts.items() if of is protocol)
    asked = {*protocols, "time_wait"}
    return tuple(RowCount(kind, count, _add_up(counters, kind)) for kind, count in seen.items() if kind in asked)


def count_host(facts: Facts, sockets: Iterable[OwnedSocket], counts: Iterable[RowCount]) -> tuple[HostCount, ...]:
    """The host-wide counters of TCP, beside what the rows of all netns add up to; () where none could be read."""
    texts = [one.sockstat for one in sorted(facts.netns, key=lambda one: not one.is_host) if one.sockstat]
    counters = _read_counters(texts[0]) if texts else {}
    if ("TCP", "alloc") not in counters or ("TCP", "orphan") not in counters:
        return ()
    in_tables = sum(count.rows for count in counts if count.kind == "tcp")
    orphans = sum(
        socket.verdict is not None and socket.verdict.kind is VerdictKind.ORPHAN and socket.row.protocol is Protocol.TCP
        for socket in sockets
    )
    return (
        HostCount("tcp_sockets", in_tables, counters["TCP", "alloc"]),
        HostCount("tcp_orphans", orphans, counters["TCP", "orphan"]),
    )


def check_rows(subject: str, rows: Sequence[SocketRow], listed: set[SocketInode]) -> list[Gap]:
    """Whether each socket of a netns stands there once, and in no netns before; adds its inodes to `listed`."""
    inodes = set(map(itemgetter(7), rows))  # 10^4 to 10^6 of them: 0.1 us each.
    bare = [row for row in rows if not row[7]] if 0 in inodes else []
    inodes.discard(SocketInode(0))
    broken = []
    if len(inodes) + len({row[:9] for row in bare}) < len(rows) and not _are_unique(rows):
        broken.append(Gap(Stage.CHECKS, subject, "a row stands there twice"))
    if not listed.isdisjoint(inodes):
        broken.append(Gap(Stage.CHECKS, subject, "a socket stands in another netns too"))
    listed |= inodes
    return broken


def check_owners(sockets: Iterable[OwnedSocket], owners: OwnersWanted) -> list[Gap]:
    """Whether every row with owners has the container of the first, and every other row a verdict.

    A row has no owners, and one with an inode no verdict, where nobody was looked for who holds it.
    """
    if owners is OwnersWanted.CONTAINER:
        wrong = [one for one in sockets if one.owners or (one.verdict is None) != bool(one.row.inode)]
        return [Gap(Stage.CHECKS, "owners of rows", "told and not looked for", len(wrong))] if wrong else []
    # 10^4 to 10^6 times: 0.3 us each.
    wrong = [one for one in sockets if (one[4] != one[3][0][0].container_id if one[3] else one[8] is None)]
    return [Gap(Stage.CHECKS, "owners of rows", "not those of its container", len(wrong))] if wrong else []


def cover(
    facts: Facts, sockets: Sequence[OwnedSocket], counts: Iterable[RowCount], unlisted: int, gaps: Iterable[Gap]
) -> Coverage:
    """The coverage block; an account that does not add up is one more gap."""
    netns = _count_netns(facts.netns)
    merged = merge_gaps([*gaps, *_check_accounts(facts.process_counts, netns)])
    processes = facts.process_counts
    return Coverage(
        complete=not (
            processes.denied or processes.skipped or netns.failed or any(gap.stage is not Stage.NAMES for gap in merged)
        ),
        processes=processes,
        netns=netns,
        socket_fds_unlisted=unlisted,
        gaps=merged,
        protocols=facts.protocols,
        host=count_host(facts, sockets, counts),
        visibility=facts.visibility,
        rewalk=facts.rewalk,
        stale_names=facts.stale_names,
        owners=facts.owners,
    )


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


def _are_unique(rows: Iterable[SocketRow]) -> bool:
    """Whether no two rows show the same socket: one inode, or without it the same tuple and cookie.

    An SCTP socket has a row for each of its associations.
    """
    keys = [row[7] if row[7] and row[0] is not Protocol.SCTP else row[:9] for row in rows]
    return len(set(keys)) == len(keys)


def _check_accounts(processes: ProcessCounts, netns: NetnsCounts) -> list[Gap]:
    broken = []
    if processes.seen != processes.ok + processes.vanished + processes.denied + processes.skipped:
        broken.append(Gap(Stage.CHECKS, "processes", "their counts do not add up"))
    if netns.seen != netns.read + netns.empty + netns.failed + netns.skipped:
        broken.append(Gap(Stage.CHECKS, "netns", "their counts do not add up"))
    return broken


def _count_netns(netns: Sequence[NetnsReading]) -> NetnsCounts:
    led_here = Counter(min(one.found_by, key=_FIRST.index) for one in netns if one.found_by)
    return NetnsCounts(
        seen=len(netns),
        read=sum(one.engine is not None and not one.empty for one in netns),
        empty=sum(one.empty for one in netns),
        failed=sum(one.engine is None and not one.skipped for one in netns),
        skipped=sum(one.skipped for one in netns),
        found_by=tuple((found_by, led_here[found_by]) for found_by in _FIRST if led_here[found_by]),
    )


def _read_counters(sockstat: str | None) -> SockStat:
    try:
        return parse_sockstat(sockstat or "")
    except FormatError:
        return {}


def _add_up(counters: SockStat, kind: str) -> int | None:
    values = [counters[name] for name in _COUNTERS[kind] if name in counters]
    return sum(values) if values else None
