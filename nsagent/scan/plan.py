"""Which tables are worth reading, and which rows are worth looking for again. Pure."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.sockstat import SockStat, list_row_counters, parse_sockstat
from nsagent.model.net import Protocol

PROTOCOLS: Final = (Protocol.TCP, Protocol.UDP)


class TablesWanted(NamedTuple):
    """Which tables a pass reads, and how far it looks.

    `deep`: the sockets that are bound and do nothing too, and every thread of every process.
    `tcp_info`: what the kernel knows about each TCP connection. `own_addresses`: those of every netns that is read,
    and not only of one whose rows ask for them.
    """

    protocols: frozenset[Protocol] = frozenset(PROTOCOLS)
    deep: bool = False
    tcp_info: bool = False
    own_addresses: bool = False


_COUNTED: Final = {
    Protocol.ICMP: ("PING", "PINGv6"),
    Protocol.PACKET: ("PACKET",),
    Protocol.SCTP: ("SCTP", "SCTPv6"),
}
"""The names in net/protocols whose counts tell whether a table has rows.

Not those of NETLINK, which leave out the kernel's own sockets, and of vsock, which are always 0.
"""

MAX_ROUNDS: Final = 3
"""How often ownerless rows are looked for in the processes again."""

PATIENCE_SECONDS: Final = 5.0
"""How long one read may take before its process is skipped; nearly all take microseconds."""


def read_counters(sockstat: str | None) -> SockStat:
    """The counters of a netns; none where they are missing or damaged, or lack those of TCP or UDP."""
    try:
        counters = parse_sockstat(sockstat or "")
    except FormatError:
        return {}
    return counters if ("TCP", "inuse") in counters and ("UDP", "inuse") in counters else {}


def plan_protocols(sockstat: str | None, wanted: TablesWanted | None = None) -> tuple[Protocol, ...]:
    """The protocols of `wanted` whose tables may hold a row, by the netns's own counters.

    Without counters, or with damaged ones, every table is read, and so is one without a counter. No
    counter has the TCP sockets that are bound and do nothing, which `deep` asks for.
    """
    return plan_by_counters(read_counters(sockstat), wanted or TablesWanted())


def plan_by_counters(counters: SockStat, wanted: TablesWanted) -> tuple[Protocol, ...]:
    """What plan_protocols() plans, by counters that were read already."""
    asked = [protocol for protocol in Protocol if protocol in wanted.protocols]
    return tuple(protocol for protocol in asked if _may_have(protocol, wanted, counters))


def plan_counted(protocols: Collection[Protocol], counts: Mapping[str, int] | None) -> tuple[Protocol, ...]:
    """Those of `protocols` whose tables may hold a row, by the counts of net/protocols; all if it was not read.

    A protocol that has no line there is not in the kernel.
    """
    if counts is None:
        return tuple(protocols)
    return tuple(
        protocol
        for protocol in protocols
        if protocol not in _COUNTED or any(counts.get(name, 0) for name in _COUNTED[protocol])
    )


def needs_counts(protocols: Collection[Protocol]) -> bool:
    """Whether net/protocols tells of one of these protocols whether it has rows."""
    return any(protocol in _COUNTED for protocol in protocols)


def list_counters(protocol: Protocol, counters: SockStat) -> tuple[int, ...]:
    """The counts that add up to the least rows that the table of a protocol has; none where nothing counts them."""
    return tuple(counters.get(name, 0) for name in list_row_counters(protocol))


def _may_have(protocol: Protocol, wanted: TablesWanted, counters: SockStat) -> bool:
    names = [name for name in list_row_counters(protocol) if name in counters]
    if not names or (wanted.deep and protocol is Protocol.TCP):
        return True
    return any(counters[name] for name in names)


def plan_next_round(remaining: Collection[int], before: Collection[int], rounds: int) -> bool:
    """Whether the processes are walked once more for rows whose owner was not found.

    `remaining` and `before` are inodes without an owner after and before the last round. A socket
    of the kernel itself stays without one for ever: a round that changed nothing is the last.
    """
    return bool(remaining) and rounds < MAX_ROUNDS and (rounds == 0 or len(remaining) < len(before))
