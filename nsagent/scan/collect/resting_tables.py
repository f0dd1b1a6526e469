"""Tables of TCP and UDP that need not be dumped again: those of netns at rest are what they were.

A row changes by a packet, by a timer of TCP, by a datagram that leaves the host at last, or by a thread that makes
a system call. So a table holds as long as the netns has counted neither a packet nor a socket more or less, no
row has a timer that does more than to run down, nor datagrams on their way, and of whoever holds one of its
sockets nobody has run (run_marks). That is asked for over two intervals between passes: the one before the dump, so
that nothing was under way while it was made, and the one after it. Who takes an fd out of a process that
rests (pidfd_getfd(2)) can set an option unseen, and who ends a UDP socket by netlink (SOCK_DESTROY) takes its peer
away: each table is dumped again now and then all the same.

For a dump of TCP the kernel walks the hash of the whole host: 0.24 ms where that has 262,144 buckets, hardly a socket,
and is in the caches of the CPU, 1 ms where it is not. The counters take 0.02 ms.

Source: net/ipv4/tcp_ipv4.c tcp_v4_rcv(), net/ipv4/tcp_output.c __tcp_transmit_skb(), net/ipv4/ip_input.c
ip_rcv_core(), net/ipv4/inet_diag.c.
"""

import sys
from collections.abc import Collection, Set
from typing import Final, NamedTuple

from nsagent.kernel.formats.inet_diag import age_timers, is_changing
from nsagent.model.facts import RawTable, TableFormat
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from nsagent.scan.collect.state import Activity, NetnsState

MOST_PASSES: Final = 10
"""So often in a row a table is taken for what it was."""


class Stirred(NamedTuple):
    """The sockets that a walk has seen held, by whether a holder has run since the walk before."""

    rested: Set[SocketInode]
    """Somebody holds it who has not."""
    others: Set[SocketInode]
    """Somebody holds it who has, or held it then."""
    whole: bool
    """Nobody was left out."""


class _Known(NamedTuple):
    """One table as a pass read it; `table` is None where it may have been about to change."""

    activity: Activity
    table: RawTable | None
    passes: int
    """How many have taken the table for what it was."""
    at_seconds: float
    """When, as TablesRead has it."""


class RestingTables:
    """Those of a pass, and of the one before, by the cookies of their netns and their protocols."""

    def __init__(self) -> None:
        self._before: dict[tuple[int, Protocol], _Known] = {}
        self._now: dict[tuple[int, Protocol], _Known] = {}
        self._netns = 0

    def begin(self) -> None:
        """Another pass: of one that was not finished nothing is known."""
        self._before, self._now = self._now, {}

    def count_netns(self) -> int:
        """How many the pass before has met, empty ones too, if most tables may still be what they were; 0 else."""
        known = sum(one.table is not None for one in self._before.values())
        return self._netns if 2 * known > len(self._before) else 0

    def find(self, cookie: int | None, protocol: Protocol, activity: Activity, at_seconds: float) -> RawTable | None:
        """A table of a netns as it is at that time, if nothing has changed it as far as the netns can tell.

        Whether its holders have run is told by keep(), once all are known. For any thread.
        """
        known = None if cookie is None else self._before.get((cookie, protocol))
        if known is None or known.activity != activity or known.passes >= MOST_PASSES:
            return None
        if known.table is None or protocol is not Protocol.TCP:
            return known.table
        data = age_timers(known.table.data, round((at_seconds - known.at_seconds) * 1000), sys.byteorder)
        return known.table if data is known.table.data else known.table._replace(data=data)

    def keep(self, states: Collection[NetnsState], stirred: Stirred) -> list[NetnsState]:
        """Know these netns in the next pass. Those of which a table was taken for what it was, and may not be it."""
        self._netns = len(states)
        return [one for one in states if one.cookie is not None and self._keep(one, one.cookie, stirred)]

    def _keep(self, state: NetnsState, cookie: int, stirred: Stirred) -> bool:
        """Know the tables of a netns; whether one that was taken for what it was may not be it."""
        moved = False
        for protocol, activity in state.activities.items():
            before = self._before.get((cookie, protocol))
            steady = before is not None and before.activity == activity
            table = _find_resting(state, protocol, stirred) if steady else None
            taken = protocol in state.resting
            passes = before.passes + 1 if before is not None and taken else 0
            self._now[cookie, protocol] = _Known(activity, table, passes, state.at_seconds)
            moved |= taken and table is None
        return moved


def _find_resting(state: NetnsState, protocol: Protocol, stirred: Stirred) -> RawTable | None:
    """The table of a protocol, if nothing is about to change a row. What waits to be accepted may be, by the unseen."""
    for table, index in zip(state.tables, state.indexes, strict=True):
        if table.protocol is protocol and table.format is TableFormat.INET_DIAG:
            held = index.inodes <= stirred.rested and index.inodes.isdisjoint(stirred.others)
            seen = held and (stirred.whole or not index.bare)
            return table if seen and not is_changing(table.data, protocol, sys.byteorder) else None
    return None
