"""Proof that a dump has every row: held against the netns's own counters.

A dump walks its table bucket by bucket while sockets come and go: under churn it may have fewer rows
than there were at any one time. A shortage is therefore told only where nothing else changed in
three dumps; where sockets came and went it cannot be told from churn, and is not.
"""

import sys
from collections.abc import Callable
from typing import Final

from nsagent.errors import DumpInterrupted, FormatError, ReadFailed
from nsagent.kernel.formats.raw_table import index_rows
from nsagent.kernel.formats.sockstat import SockStat
from nsagent.kernel.sock_diag import Dump
from nsagent.model.facts import RawTable
from nsagent.model.net import Protocol
from nsagent.scan.plan import list_counters, read_counters

MORE_DUMPS: Final = 2
"""How often a table that is short of rows is dumped again."""


def dump_whole(
    dump: Callable[[], Dump], protocol: Protocol, counters: SockStat, read_sockstat: Callable[[], str | None]
) -> tuple[RawTable, int]:
    """The fullest of up to three dumps, and how many rows it lacks for sure.

    `counters` were read before. One dump is enough where it has as many rows as they tell, which
    costs nothing to see. Raises what the first dump raises.
    """
    first = dump()
    counted = list_counters(protocol, counters)
    if first.rows >= sum(counted):
        return first.table, 0
    dumps, counts = [first], [counted]
    while True:
        counts.append(list_counters(protocol, read_counters(read_sockstat())))
        fullest = max(dumps, key=lambda one: one.rows)
        missing = min(map(sum, counts)) - fullest.rows
        if missing <= 0:
            return fullest.table, 0
        if len(dumps) > MORE_DUMPS:
            quiet = len(set(counts)) == 1 and _are_alike(dumps)
            return fullest.table, missing if quiet else 0
        try:
            dumps.append(dump())
        except (DumpInterrupted, ReadFailed, FormatError):
            return fullest.table, 0


def _are_alike(dumps: list[Dump]) -> bool:
    """Whether all dumps show the same sockets; those without an inode are compared by their number."""
    shown = set()
    for dump in dumps:
        shown.add((dump.rows, frozenset(index_rows(dump.table, sys.byteorder).inodes)))
    return len(shown) == 1
