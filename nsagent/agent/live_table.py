"""Which processes there are, and who lived where lately: what the kernel tells between passes, held against each pass.

Pure. A process that no event told of stays until the next pass, which has read all there are.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from nsagent.agent.lineage import Lineage
from nsagent.agent.living import Ended, Living
from nsagent.kernel.boot_clock import BIRTH_SLACK_TICKS
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.process_event import ExitStatus
from nsagent.scan.memory import Lodger

_MOST_UNSEEN: Final = 1 << 15
"""So many may end during a pass until it brings some of them back, up to the next one: 4 MiB."""


class LiveTable:
    """Every process that has not ended, and those that ended lately; for one thread at a time."""

    def __init__(
        self,
        count_ticks: Callable[[int], int],
        *,
        grace_ns: int,
        most_ended: int,
        count_slept_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        """`count_ticks` gives the clock ticks since boot of a time by CLOCK_MONOTONIC in nanoseconds.

        `count_slept_ns` tells how long the machine has slept since boot.

        Who has ended is remembered for the grace time, the last `most_ended` one by one; as many more as long as a
        child lives.
        """
        self._count_ticks = count_ticks
        self._count_slept_ns = count_slept_ns
        self._grace_ns = grace_ns
        self._living: dict[Pid, Living] = {}
        self._lodgers: defaultdict[int, Counter[Lodger]] = defaultdict(Counter)
        """How many processes each one has that lives in a netns, by the number of that."""
        self._left: defaultdict[int, dict[Lodger, int]] = defaultdict(dict)
        """When the last process of a lodger ended, by the number of the netns. As many as are told apart by reads."""
        self.ended: deque[Ended] = deque(maxlen=most_ended)
        """By when they ended."""
        self._lineage = Lineage(most_ended)
        self._gone: deque[tuple[int, Pid, int | None]] = deque(maxlen=_MOST_UNSEEN)
        """When who ended since the last pass did, by their pids and starts: the next one may have seen them before."""

    def __len__(self) -> int:
        return len(self._living)

    def list_pids(self) -> list[Pid]:
        """Those of the processes that have not ended."""
        return list(self._living)

    def find(self, pid: Pid) -> Living | None:
        """The process that has this pid now."""
        return self._living.get(pid)

    def fork(self, at_ns: int, pid: Pid, parent: Pid, *, is_told: bool = True) -> None:
        """A process has begun; one of this pid that began earlier has ended unheard.

        `is_told`: the kernel told so. A look finds it later, and by then its parent may be whoever adopted it.
        """
        was, of = self._living.get(pid), self._living.get(parent)
        if was is not None and self._began_by(was, at_ns):
            if of is not None and is_told:
                self._lineage.begin(pid, parent)
            return
        if was is not None:
            self.end(at_ns, pid)
        if of is not None and is_told:
            self._lineage.begin(pid, parent)
        self.put(Living(pid, at_ns, None, None if of is None else of.comm, None if of is None else of.lodger))

    def put(self, now: Living) -> None:
        """A process as it is now."""
        self._take_out(now.pid)
        self._living[now.pid] = now
        if now.lodger is not None:
            self._lodgers[now.lodger.netns][now.lodger] += 1

    def end(self, at_ns: int, pid: Pid, status: ExitStatus | None = None) -> None:
        """A process has ended like this, unless who has its pid now was there later."""
        was = self._living.get(pid)
        if was is None or at_ns < was.seen_ns:
            return
        self._take_out(pid)
        ended = Ended(at_ns, was, status, self._count_slept_ns())
        self.ended.append(ended)
        self._lineage.end(ended)
        self._gone.append((at_ns, pid, was.start_ticks))
        if was.lodger is not None:
            left = self._left[was.lodger.netns]
            left[was.lodger] = max(at_ns, left.get(was.lodger, 0))

    def hold_against(self, seen: Iterable[Living], there: Iterable[Pid], started_ns: int) -> int:
        """How many processes began or ended that nobody told of, by a pass that began then; the table is now as that.

        `there` are all that the pass saw, or may not have seen, `seen` those of which it knows more.
        """
        found = 0
        gone = {(pid, start_ticks) for ended_ns, pid, start_ticks in self._gone if ended_ns >= started_ns}
        for now in seen:
            was = self._living.get(now.pid)
            if was is None:
                if gone.isdisjoint(((now.pid, now.start_ticks), (now.pid, None))):
                    self.put(now)
                    found += 1
            elif self._is_same(was, now):
                self.put(now)
            elif was.seen_ns < started_ns:
                self.end(started_ns, now.pid)
                self.put(now)
                found += 1
        present = set(there)
        for pid, living in list(self._living.items()):
            if living.seen_ns < started_ns and pid not in present:
                self.end(started_ns, pid)
                found += 1
        self._gone.clear()
        return found

    def forget(self, now_ns: int) -> None:
        """Let go of who ended longer ago than the grace time."""
        until_ns = now_ns - self._grace_ns
        while self.ended and self.ended[0].ended_ns < until_ns:
            self.ended.popleft()
        for netns, left in list(self._left.items()):
            kept = {lodger: ended_ns for lodger, ended_ns in left.items() if ended_ns >= until_ns}
            if kept:
                self._left[netns] = kept
            else:
                del self._left[netns]

    def list_parents(self, pid: Pid, start_ticks: int) -> list[Living | Ended] | None:
        """Whose child a process was when it began, whose that one, and so on; None where no such one is known to live.

        As far as that was told: of whom only a pass has seen no parents are known, whoever that are by /proc.
        """
        was = self._living.get(pid)
        if was is None or not self._is_same(was, was._replace(seen_ns=was.seen_ns + 1, start_ticks=start_ticks)):
            return None
        found: list[Living | Ended] = []
        for each in self._lineage.list_parents(pid):
            one = each if isinstance(each, Ended) else self._living.get(each)
            if one is None:
                break
            found.append(one)
        return found

    def find_cookie(self, netns: int, cookie: int | None) -> int | None:
        """`cookie` if somebody who lives there shows that this number is still that netns's; else None."""
        return cookie if any(lodger.cookie == cookie for lodger in self._lodgers.get(netns, ())) else None

    def list_lodgers(self, netns: int, cookie: int | None, now_ns: int) -> frozenset[ContainerId | None]:
        """The containers of all who live in a netns or did within the grace time; None among them is the host.

        By its number; where its cookie is known, without those who lived in another one of that number.
        """
        until_ns = now_ns - self._grace_ns
        left = (lodger for lodger, ended_ns in self._left.get(netns, {}).items() if ended_ns >= until_ns)
        found = (*self._lodgers.get(netns, ()), *left)
        return frozenset(one.container_id for one in found if one.may_be_in(cookie))

    def map_lodgers(self) -> Mapping[int, frozenset[Lodger]]:
        """Who lives in each netns, by its number, and whose processes ended lately."""
        return {
            netns: frozenset((*self._lodgers.get(netns, ()), *self._left.get(netns, ())))
            for netns in (*self._lodgers, *self._left)
        }

    def _take_out(self, pid: Pid) -> None:
        was = self._living.pop(pid, None)
        if was is None or was.lodger is None:
            return
        lodgers = self._lodgers[was.lodger.netns]
        lodgers[was.lodger] -= 1
        if not lodgers[was.lodger]:
            del lodgers[was.lodger]
        if not lodgers:
            del self._lodgers[was.lodger.netns]

    def _began_by(self, was: Living, at_ns: int) -> bool:
        """Whether a process is the one whose birth is told of a time: a pass may have seen it before that is told."""
        if was.start_ticks is None:
            return was.seen_ns >= at_ns
        return was.start_ticks + BIRTH_SLACK_TICKS >= self._count_ticks(at_ns)

    def _is_same(self, was: Living, now: Living) -> bool:
        """Whether a pid is still the same process's: of one that only its birth is known of by when that was."""
        if was.start_ticks is not None or now.start_ticks is None:
            return was.start_ticks == now.start_ticks
        return was.seen_ns < now.seen_ns and now.start_ticks <= self._count_ticks(was.seen_ns)
