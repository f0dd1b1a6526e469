"""Bounds on what a pass looks at, shared by containers and users: a flood costs those who make it, and nobody else."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from nsagent.identity.cgroup_path import CgroupParser
from nsagent.identity.share import name_share

T = TypeVar("T")


class Shares:
    """How much each of those who share (identity.share) may use of something: `most`.

    While all of them together have used no more than that, who shares with whom makes no difference, and is
    not asked: on an ordinary host this costs 0.4 us a process.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._unnamed: Counter[tuple[str, int]] = Counter()
        self._used: Counter[str] = Counter()
        self._parser = CgroupParser()

    def name(self, cgroup: str, uid: int) -> str:
        """Whose share a process with this cgroup file and uid uses up."""
        return name_share(cgroup, uid, self._parser)

    def take(self, cgroup: str, uid: int, count: int) -> int:
        """How much of `count` such a process gets."""
        self._total += count
        if self._total <= self._most:
            self._unnamed[cgroup, uid] += count
            return count
        for who, used in self._unnamed.items():
            self._used[self.name(*who)] += used
        self._unnamed.clear()
        share = self.name(cgroup, uid)
        taken = min(count, max(0, self._most - self._used[share]))
        self._used[share] += taken
        return taken


def in_turns(items: Iterable[T], key: Callable[[T], Hashable]) -> list[T]:
    """The items so that the first of each key come first, then the second of each, and so on."""
    turns: Counter[Hashable] = Counter()
    placed = []
    for item in items:
        turn = key(item)
        placed.append((turns[turn], item))
        turns[turn] += 1
    return [item for _, item in sorted(placed, key=lambda one: one[0])]
