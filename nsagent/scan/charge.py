"""Whom a row without an owner is charged to. Pure.

A charge is an inference and says so: a listener takes the connections that come in on its port, a
cookie tells who held a socket before, a cgroup where it was made, and in a netns of one container
nobody else was there to make it. It is never made against what the row itself tells.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from nsagent.model.container import Pod
from nsagent.model.ids import Pid
from nsagent.model.net import SocketRow
from nsagent.model.snapshot import Attribution, ChargedTo, Confidence, VerdictKind
from nsagent.scan.creators import Creators
from nsagent.scan.listeners import Listeners, date_close
from nsagent.scan.memory import Memory
from nsagent.scan.residents import Household

_ORDER: Final = {
    VerdictKind.ACCEPT_QUEUE: (Attribution.LISTENER, Attribution.CGROUP),
    VerdictKind.SYN_RECV: (Attribution.LISTENER,),
    VerdictKind.TIME_WAIT: (Attribution.MEMORY, Attribution.LISTENER),
    VerdictKind.ORPHAN: (Attribution.MEMORY, Attribution.CGROUP, Attribution.LISTENER),
}
"""What is asked first, by verdict; the others have the cgroup alone. Last comes the netns, for what no fd can hold."""


class Charge(NamedTuple):
    """Who answers for a row, and what says so; `attribution` is what names the container, or the `pod` without one."""

    charged_to: ChargedTo | None
    attribution: Attribution
    confidence: Confidence
    pod: Pod | None = None


NO_CHARGE: Final = Charge(None, Attribution.NONE, Confidence.NONE)


class Charger:
    """Charges rows of one netns.

    `start_ticks` are those of the processes that live now, by PID; `read_at_ticks` is that of the netns.
    """

    def __init__(
        self,
        listeners: Listeners | None,
        household: Household | None,
        memory: Memory,
        creators: Creators,
        start_ticks: Mapping[Pid, Collection[int]],
        read_at_ticks: int | None = None,
    ) -> None:
        self._listeners = listeners
        self._household = household
        self._memory = memory
        self._creators = creators
        self._start_ticks = start_ticks
        self._read_at_ticks = read_at_ticks

    def charge(self, row: SocketRow, kind: VerdictKind) -> Charge:
        """The first of what may be asked for this verdict that knows an answer; else that several are possible."""
        undecided = NO_CHARGE
        for attribution in _ORDER.get(kind, (Attribution.CGROUP,)):
            charged = self._ask(attribution, row, kind)
            if charged is None:
                continue
            if charged.container_id is not None:
                confidence = Confidence.HIGH if attribution is Attribution.CGROUP else Confidence.INFERRED
                return Charge(charged, attribution, confidence)
            if charged.pid is not None:
                return Charge(charged, Attribution.NONE, Confidence.INFERRED)
            undecided = Charge(charged, Attribution.NONE, Confidence.NONE)
        home = self._household
        closed = date_close(row, self._read_at_ticks)
        if home is None or row.inode or not home.may_have_made(row, self._creators, closed):
            return undecided
        return Charge(ChargedTo(None, home.container_id), Attribution.NETNS, Confidence.INFERRED, home.pod)

    def _ask(self, attribution: Attribution, row: SocketRow, kind: VerdictKind) -> ChargedTo | None:
        if attribution is Attribution.LISTENER:
            return self._ask_listeners(row, kind)
        if attribution is Attribution.MEMORY:
            return self._ask_memory(row)
        container_id = self._creators.get(row.cgroup_id) if row.cgroup_id is not None else None
        return None if container_id is None else ChargedTo(None, container_id)

    def _ask_listeners(self, row: SocketRow, kind: VerdictKind) -> ChargedTo | None:
        """The listener's first owner; of several listeners the process, and the container, on which all agree."""
        common = self._listeners.find_common(row, kind) if self._listeners else None
        if common is None or (common.pid is None and common.container_id is None and not common.several):
            return None
        return ChargedTo(common.pid, common.container_id)

    def _ask_memory(self, row: SocketRow) -> ChargedTo | None:
        """The holder of that pass; without its PID where that is another process's by now."""
        holder = self._memory.holders.get(row.cookie) if row.cookie is not None else None
        if holder is None:
            return None
        now = self._start_ticks.get(holder.pid)
        gone = now is not None and holder.start_ticks not in now
        return ChargedTo(None if gone else holder.pid, holder.container_id)
