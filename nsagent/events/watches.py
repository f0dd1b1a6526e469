"""Which processes somebody wants to hear of, and what of them."""

from collections.abc import Collection
from typing import Final, NamedTuple

from nsagent.model.ids import Pid
from nsagent.model.process_event import ProcessEvent, ProcessEventKind

_EXIT: Final = ProcessEventKind.EXIT
"""A name of its own: to ask an enum for its member takes a tenth of what an event does."""


class Watch(NamedTuple):
    """What is wanted of one process; `follow`: of the children that it gets, too, and of theirs."""

    kinds: frozenset[ProcessEventKind]
    follow: bool


class Watches:
    """One for each process, which ends with it, and perhaps one for all; for one thread at a time."""

    def __init__(self) -> None:
        self._of: dict[Pid, Watch] = {}
        self._of_all: frozenset[ProcessEventKind] = frozenset()

    def __contains__(self, pid: Pid) -> bool:
        return pid in self._of

    def list_pids(self) -> list[Pid]:
        """Those that are watched by their pid."""
        return sorted(self._of)

    def put(self, pid: Pid, watch: Watch) -> None:
        """Watch it like this, and no more as before."""
        self._of[pid] = watch

    def put_all(self, kinds: Collection[ProcessEventKind]) -> None:
        """Want these of every process, beside what single watches want."""
        self._of_all = frozenset(kinds)

    def remove(self, pid: Pid) -> bool:
        """Watch it no more; whether it was."""
        return self._of.pop(pid, None) is not None

    def take(self, event: ProcessEvent) -> bool:
        """Whether it is wanted. A child that is followed is watched from here on, who has ended no more."""
        watch = self._of.get(event.pid)
        if watch is not None and event.kind is _EXIT:
            del self._of[event.pid]
        if watch is not None and watch.follow and event.child is not None:
            self._of.setdefault(event.child, watch)
        return event.kind in self._of_all or (watch is not None and event.kind in watch.kinds)
