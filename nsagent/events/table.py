"""The processes that there are: what events and looks at /proc say, put together. Pure.

An event that is older than the last look at its process is passed over: the look has shown what it tells. So looks and
events may come in any order, and a pid that was given out anew keeps what is its own.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from nsagent.events.running import Look, Running
from nsagent.kernel.formats.cn_proc import Ack, Comm, Event, Exec, Exit, Fork, Gid, Uid
from nsagent.model.ids import Pid
from nsagent.model.process_event import EventEngine, ExitStatus, Ids, ProcessEvent, ProcessEventKind

_CONNECTOR, _POLL = EventEngine
_FORK, _EXEC, _EXIT, _COMM, _UID, _GID = ProcessEventKind
"""Names of their own: to ask an enum for its member takes a tenth of what an event does."""
_NO_THREADS: Final[frozenset[int]] = frozenset()


class ProcessTable:
    """Every process that has not ended, as far as it is known; for one thread at a time.

    `count_ticks` gives the clock ticks since boot of a time by CLOCK_MONOTONIC in nanoseconds.
    """

    def __init__(self, count_ticks: Callable[[int], int]) -> None:
        self._count_ticks = count_ticks
        self._running: dict[Pid, Running] = {}
        """Without their threads."""
        self._threads: dict[Pid, set[int]] = {}
        """Of those that have some beside their first one. Changed in place: a process may have 30,000, and begin and
        end one of them again and again."""

    def __contains__(self, pid: Pid) -> bool:
        return pid in self._running

    def __len__(self) -> int:
        return len(self._running)

    def list_descendants(self, pid: Pid) -> list[Pid]:
        """Its children, and theirs."""
        children: dict[Pid, list[Pid]] = {}
        for each, running in self._running.items():
            children.setdefault(running.parent, []).append(each)
        found, new = {pid}, [pid]
        while new:
            new = [each for parent in new for each in children.get(parent, ()) if each not in found]
            found.update(new)
        return sorted(found - {pid})

    def apply(self, timestamp_ns: int, event: Event) -> Sequence[ProcessEvent]:
        """What this event of a thread means for processes: none or one, two where an end was not told."""
        if isinstance(event, Fork) and event.pid == event.tgid:
            return self._add_child(timestamp_ns, event)
        if isinstance(event, Ack):
            return ()
        pid = Pid(event.tgid)
        running = self._running.get(pid)
        if running is None or timestamp_ns < running.seen_ns:
            return ()
        if isinstance(event, Exit):
            return self._end_thread(timestamp_ns, event, running)
        if isinstance(event, Fork):
            self._threads.setdefault(pid, set()).add(event.pid)
        elif event.pid == event.tgid:
            return (self._change(timestamp_ns, event, running),)
        return ()

    def learn_start(self, pid: Pid, start_ticks: int) -> None:
        """When a process began of which only events have told."""
        running = self._running.get(pid)
        if running is not None and running.start_ticks is None:
            self._running[pid] = running._replace(start_ticks=start_ticks)

    def add(self, look: Look) -> Iterator[ProcessEvent]:
        """What a look shows that events have not told, but who has ended; the oldest processes first."""
        for pid, running in sorted(look.processes.items(), key=lambda item: (item[1].start_ticks or 0, item[0])):
            yield from self.add_one(pid, running)

    def add_one(self, pid: Pid, now: Running) -> Iterator[ProcessEvent]:
        """The same of one process."""
        was = self._running.get(pid)
        if was is not None and not self._is_same(was, now):
            yield ProcessEvent(_EXIT, pid, now.seen_ns, _POLL, start_ticks=was.start_ticks)
            was = None
        self._threads.pop(pid, None)
        if now.threads:
            self._threads[pid] = set(now.threads)
        self._running[pid] = now._replace(threads=_NO_THREADS, code=was.code if was and was.left else None)
        if was is None:
            yield ProcessEvent(_FORK, now.parent, now.seen_ns, _POLL, pid, None, now.comm, None, now.start_ticks)
        else:
            yield from _compare(pid, was, now)

    def drop(self, look: Look) -> Iterator[ProcessEvent]:
        """Who has ended by a look that has been added; events that came meanwhile are to be applied in between."""
        for pid, running in list(self._running.items()):
            if pid not in look.processes and pid not in look.unread and running.seen_ns < look.started_ns:
                self._forget(pid)
                yield ProcessEvent(_EXIT, pid, look.started_ns, _POLL, start_ticks=running.start_ticks)

    def _add_child(self, timestamp_ns: int, event: Fork) -> Sequence[ProcessEvent]:
        child, parent = Pid(event.tgid), Pid(event.parent_tgid)
        was = self._running.get(child)
        if was is not None and timestamp_ns < was.seen_ns:
            return ()
        # Its name and ids are those of the thread that forked, which need not be its parent's.
        self._threads.pop(child, None)
        self._running[child] = Running(timestamp_ns, parent, _NO_THREADS)
        born = ProcessEvent(_FORK, parent, timestamp_ns, _CONNECTOR, child)
        if was is None:
            return (born,)
        return ProcessEvent(_EXIT, child, timestamp_ns, _CONNECTOR, start_ticks=was.start_ticks), born

    def _end_thread(self, timestamp_ns: int, event: Exit, running: Running) -> Sequence[ProcessEvent]:
        """A process ends with its last thread, be it the first one or not.

        Its parent is told how that one ended if exit_group(2) or a signal ended it, else how the first did.
        """
        pid, code, left = Pid(event.tgid), running.code, running.left
        threads = self._threads.get(pid)
        if event.pid == event.tgid:
            code, left = event.code, True
        elif threads:
            threads.discard(event.pid)
        if threads or not left:
            if event.pid == event.tgid:
                self._running[pid] = running._replace(left=left, code=code)
            return ()
        self._forget(pid)
        known = event.code or code
        status = None if known is None else ExitStatus(known >> 8 & 0xFF, known & 0x7F, bool(known & 0x80))
        return (ProcessEvent(_EXIT, pid, timestamp_ns, _CONNECTOR, None, status, None, None, running.start_ticks),)

    def _change(self, timestamp_ns: int, event: Exec | Comm | Uid | Gid, running: Running) -> ProcessEvent:
        pid = Pid(event.tgid)
        make = partial(ProcessEvent, timestamp_ns=timestamp_ns, found_by=_CONNECTOR, start_ticks=running.start_ticks)
        if isinstance(event, Exec):
            # The thread that calls execve(2) goes on as the first one, and all others have ended.
            self._threads.pop(pid, None)
            self._running[pid] = running._replace(left=False, code=None, comm=None, start_stack=0)
            return make(_EXEC, pid)
        if isinstance(event, Comm):
            self._running[pid] = running._replace(comm=event.comm)
            return make(_COMM, pid, comm=event.comm)
        ids = Ids(event.real, event.effective)
        if isinstance(event, Uid):
            self._running[pid] = running._replace(uids=ids)
            return make(_UID, pid, ids=ids)
        self._running[pid] = running._replace(gids=ids)
        return make(_GID, pid, ids=ids)

    def _forget(self, pid: Pid) -> None:
        self._running.pop(pid, None)
        self._threads.pop(pid, None)

    def _is_same(self, was: Running, now: Running) -> bool:
        """Whether a pid is still the same process's: of one that only events have told of no start is known."""
        if was.start_ticks is None or now.start_ticks is None:
            return now.start_ticks is None or now.start_ticks <= self._count_ticks(was.seen_ns)
        return was.start_ticks == now.start_ticks


def _compare(pid: Pid, was: Running, now: Running) -> Iterator[ProcessEvent]:
    """What has changed between two looks, or between an event and a look."""
    make = partial(ProcessEvent, pid=pid, timestamp_ns=now.seen_ns, found_by=_POLL, start_ticks=now.start_ticks)
    if 0 != was.start_stack != now.start_stack != 0:
        yield make(_EXEC, comm=now.comm)
    elif None is not was.comm != now.comm:
        yield make(_COMM, comm=now.comm)
    if None is not was.uids != now.uids:
        yield make(_UID, ids=now.uids)
    if None is not was.gids != now.gids:
        yield make(_GID, ids=now.gids)
