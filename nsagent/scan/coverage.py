"""What a pass saw, held against what the kernel counts (kernel.formats.sockstat). Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from itertools import chain
from operator import attrgetter
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.sockstat import COUNTERS, NOT_IN_USE, TIME_WAIT, SockStat, parse_sockstat
from nsagent.model.container import Container
from nsagent.model.facts import Facts, FoundBy, NetnsReading
from nsagent.model.gap import is_complete, merge_gaps
from nsagent.model.ids import ContainerId, SocketInode
from nsagent.model.net import Protocol, SocketRow, SocketState
from nsagent.model.snapshot import (
    Coverage,
    HostCount,
    NetnsCounts,
    OwnedSocket,
    RowCount,
    VerdictKind,
)
from nsagent.scan.checks import (
    check_accounts,
    check_creators,
    check_owners,
    check_rows,
    check_sandboxed,
    check_seen,
    check_tables,
)
from nsagent.scan.creators import Creators
from nsagent.scan.rows import NetnsRows

_FIRST: Final = tuple(FoundBy)
"""In the order in which a pass looks: what led to a netns first."""


def count_rows(reading: NetnsReading, rows: Iterable[SocketRow], protocols: Sequence[Protocol]) -> tuple[RowCount, ...]:
    """The rows of one netns by kind, beside what the netns itself counts; () if its tables were not read."""
    if reading.engine is None:
        return ()
    if reading.empty:
        return tuple(RowCount(kind, 0, 0) for kind in COUNTERS if kind in protocols or kind == TIME_WAIT)
    counters = _read_counters(reading.sockstat)
    counts: Counter[tuple[Protocol, SocketState]] = Counter(map(attrgetter("protocol", "state"), rows))
    # A late FIN_WAIT2 is a mini-socket too: it counts as a TIME_WAIT.
    late = 0
    if (Protocol.TCP, SocketState.FIN_WAIT2) in counts:
        late = sum(row.uid is None and row.state is SocketState.FIN_WAIT2 for row in rows)
    seen = {
        "tcp": sum(n for (of, state), n in counts.items() if of is Protocol.TCP and state not in NOT_IN_USE) - late,
        TIME_WAIT: counts[Protocol.TCP, SocketState.TIME_WAIT] + late,
    }
    for protocol in (Protocol.UDP, Protocol.UDPLITE, Protocol.RAW):
        seen[protocol.value] = sum(n for (of, _), n in counts.items() if of is protocol)
    asked = {*protocols, TIME_WAIT}
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


def cover(
    facts: Facts,
    decoded: Sequence[NetnsRows],
    sockets: Sequence[OwnedSocket],
    counts: Sequence[Sequence[RowCount]],
    containers: Iterable[Container],
    creators: Creators | None,
    held: Set[SocketInode],
    seen_in: Iterable[ContainerId],
) -> Coverage:
    """The coverage block: the gaps of the pass, and those that its rows, owners and accounts show.

    `counts` are those of each netns, `held` the sockets that some fd holds, `seen_in` the containers that some
    process is in, those around others too.
    """
    netns = _count_netns(facts.netns)
    listed: set[SocketInode] = set()
    merged = merge_gaps(
        chain(
            facts.gaps,
            check_rows(decoded, listed),
            check_tables(decoded, counts, facts.gaps),
            check_owners(sockets, facts.owners),
            check_sandboxed(containers),
            check_seen(facts, seen_in),
            check_creators(facts, creators, sockets),
            check_accounts(facts.process_counts, netns),
        )
    )
    processes = facts.process_counts
    return Coverage(
        complete=not (processes.denied or processes.skipped or netns.failed or not is_complete(merged)),
        processes=processes,
        netns=netns,
        socket_fds_unlisted=len(held - listed),
        gaps=merged,
        protocols=facts.protocols,
        host=count_host(facts, sockets, chain.from_iterable(counts)),
        visibility=facts.visibility,
        rewalk=facts.rewalk,
        stale_names=facts.stale_names,
        owners=facts.owners,
        capabilities=facts.capabilities,
    )


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
    values = [counters[name] for name in COUNTERS[kind] if name in counters]
    return sum(values) if values else None
