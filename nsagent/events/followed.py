"""Which processes are followed, so that sockets can be told that they hold. Pure."""

from collections.abc import Iterable

from nsagent.model.change import Change
from nsagent.model.ids import Pid
from nsagent.model.process_event import ProcessEvent, ProcessEventKind


class Followed:
    """Some processes, with `children` those too that they get; for one thread.

    One that has ended still counts until two passes more have been compared: its sockets end with it.
    """

    def __init__(self, pids: Iterable[Pid], *, children: bool) -> None:
        self._children = children
        self._live = set(pids)
        self._ended: set[Pid] = set()
        self._ended_before: set[Pid] = set()

    @property
    def are_gone(self) -> bool:
        """Whether all have ended, and nothing of them is left to be told."""
        return not (self._live or self._ended or self._ended_before)

    def add(self, event: ProcessEvent) -> None:
        """Take what a process did."""
        if event.kind is ProcessEventKind.EXIT and event.pid in self._live:
            self._live.remove(event.pid)
            self._ended.add(event.pid)
        elif event.child is not None and self._children and event.pid in self._live:
            self._live.add(event.child)

    def hold(self, change: Change) -> bool:
        """Whether one of them holds the socket of a change, or held it before."""
        holders = (*change.before, *(change.socket.holders if change.socket else ()))
        return any(pid in self._live or pid in self._ended or pid in self._ended_before for pid, _, _ in holders)

    def end_pass(self) -> None:
        """A pass has been compared with the one before."""
        self._ended_before, self._ended = self._ended, set()
