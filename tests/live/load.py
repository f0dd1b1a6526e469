"""What programs/churn.c and programs/storm.c have logged of their sockets, and scans held against it.

All times are ns of CLOCK_MONOTONIC, which is the same inside a closed bed and outside.
"""

import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.live.nsagent_cli import Scan, Socket, verdict_kind

FORKER = "forker-0"
"""A child of the forker still has its comm for a moment, with the sockets that it inherits."""


class Life(NamedTuple):
    """One process's hold on one socket: not before `before_open`, surely from `opened` to `before_close`."""

    pid: int
    comm: str
    before_open: int
    opened: int
    before_close: float = math.inf
    closed: float = math.inf


class Owner(NamedTuple):
    """An owner of a row."""

    pid: int
    comm: str
    start_ticks: int


class Born(NamedTuple):
    """A process of the storm, and when it had its listener."""

    process: Owner
    time: int


class Seen(NamedTuple):
    """A row of a scan, as far as it is scored."""

    inode: int
    owners: tuple[Owner, ...]
    verdict: str | None


class Pass(NamedTuple):
    """A scan's rows with an inode, and when it had not begun yet and was over."""

    start: int
    end: int
    rows: list[Seen]


Lives = Mapping[int, list[Life]]


def take_passes(scan: Callable[[], Scan], wanted: Callable[[int], bool]) -> list[Pass]:
    """Scans one after the other, as long as the number of those taken is `wanted`."""
    passes: list[Pass] = []
    while wanted(len(passes)):
        start = time.monotonic_ns()
        taken = scan()
        end = time.monotonic_ns()
        passes.append(Pass(start, end, [_see(row) for row in taken.sockets if row["inode"] is not None]))
    return passes


def _see(row: Socket) -> Seen:
    owners = tuple(Owner(owner["pid"], sys.intern(owner["comm"]), owner["start_ticks"]) for owner in row["owners"])
    return Seen(row["inode"], owners, verdict_kind(row))


def count_stale_events(path: str) -> int:
    """How often the server of programs/churn.c was told of a connection that it had closed."""
    with open(path, encoding="ascii") as lines:
        return sum(1 for line in lines if line.startswith("!"))


def read_lives(path: str) -> Lives:
    """The log of programs/churn.c: who held each inode."""
    lives: defaultdict[int, list[Life]] = defaultdict(list)
    with open(path, encoding="ascii") as lines:
        for words in map(str.split, lines):
            if words[0] == "+":
                pid, inode, before, after = int(words[1]), *map(int, words[3:])
                lives[inode].append(Life(pid, words[2], before, after))
            elif words[0] == "-":
                pid, inode, before, after = map(int, words[1:])
                holders = lives[inode]
                last = next(i for i in range(len(holders) - 1, -1, -1) if holders[i].pid == pid)
                holders[last] = holders[last]._replace(before_close=before, closed=after)
    return lives


def read_births(path: str) -> dict[int, Born]:
    """The log of programs/storm.c: who made each inode."""
    births: dict[int, Born] = {}
    with open(path, encoding="ascii") as lines:
        for _, pid, comm, ticks, inode, _, moment in map(str.split, lines):
            births[int(inode)] = Born(Owner(int(pid), comm, int(ticks)), int(moment))
    return births


def find_faults(passes: Sequence[Pass], lives: Lives) -> Iterator[str]:
    """What the passes say that was not so, and whom they leave out who held a socket all the time."""
    shortest = min(taken.end - taken.start for taken in passes)
    long = [
        (inode, life)
        for inode, holders in lives.items()
        for life in holders
        if life.before_close - life.opened >= shortest
    ]
    for taken in passes:
        rows = {row.inode: row for row in taken.rows}
        if len(rows) != len(taken.rows):
            yield f"{len(taken.rows) - len(rows)} rows are there twice"
        for row in taken.rows:
            yield from _find_wrong(row, lives.get(row.inode, ()), taken)
        for inode, life in long:
            if life.opened <= taken.start and life.before_close >= taken.end:
                yield from _find_missing(life, rows.get(inode), inode)


def count_short_lived(passes: Iterable[Pass], lives: Lives) -> tuple[int, int]:
    """The rows in all passes whose socket somebody closed before the end, and those of them without an owner."""
    rows = [
        row
        for taken in passes
        for row in taken.rows
        if any(life.closed < math.inf for life in lives.get(row.inode, ()))
    ]
    return len(rows), sum(1 for row in rows if not row.owners)


def _find_wrong(row: Seen, lives: Iterable[Life], taken: Pass) -> Iterator[str]:
    possible = [life for life in lives if life.before_open <= taken.end and life.closed >= taken.start]
    allowed = {(life.pid, life.comm) for life in possible}
    if any(life.comm == FORKER for life in possible):
        allowed |= {(life.pid, FORKER) for life in possible}
    return (f"wrong owner of inode {row.inode}: {one}" for one in row.owners if (one.pid, one.comm) not in allowed)


def _find_missing(life: Life, row: Seen | None, inode: int) -> Iterator[str]:
    if row is None:
        yield f"lost: inode {inode}, held by {life.comm}"
    elif not row.owners:
        yield f"ownerless: inode {inode}, held by {life.comm}: {row.verdict}"
    elif life.pid not in {owner.pid for owner in row.owners}:
        yield f"owner missing: inode {inode}, held by {life.comm}"
