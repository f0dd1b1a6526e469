"""Who the processes are that events tell of: looked at in /proc at once, for many have soon ended.

A child has all that its parent has until it runs another program, or somebody moves it; what a pass shows is held
against what was seen in between. Whose cgroup it is, identity tells, as of a snapshot.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead
from nsagent.identity.believe import believe
from nsagent.identity.claims import identify
from nsagent.kernel.boot_clock import count_ticks
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.container import Container, Pod
from nsagent.model.facts import Facts
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.named_event import Identity, IdentitySource, NamedProcessEvent
from nsagent.model.process import Process
from nsagent.model.process_event import EventEngine, ProcessEvent, ProcessEventKind
from nsagent.model.snapshot import Snapshot

NOBODY: Final = Identity(IdentitySource.NONE)

_MOST_PROCESSES: Final = 1 << 17
"""Of more than these no identity is kept between passes."""
_MOST_CGROUPS: Final = 64
"""So many new cgroups are read between two passes, at up to 5 ms each: whoever may make cgroups can make any number."""


class _Home(NamedTuple):
    """Whose a cgroup is."""

    container_id: ContainerId | None
    around: tuple[ContainerId, ...]
    inner: tuple[ContainerId, ...]
    unit: str | None


class _Known(NamedTuple):
    """A process, and how many passes were known when it was seen."""

    identity: Identity
    passes: int


class Identities:
    """Who each process is that lives; any number of threads may use it at once."""

    def __init__(
        self,
        procfs: ProcFs,
        *,
        looks_a_second: int | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`looks_a_second`: no more processes are looked at, 50 us each; None for all that ask for it.

        `clock_ns` is the time of day; `monotonic_ns` is what events are told by.
        """
        self._procfs, self._clock_ns, self._monotonic_ns = procfs, clock_ns, monotonic_ns
        self._most_looks = looks_a_second
        self._second, self._looks = 0, 0
        self._known: dict[Pid, _Known] = {}
        self._homes: dict[str, _Home] = {}
        """By the text of the cgroup file."""
        self._new_homes = 0
        self._containers: Mapping[ContainerId, Container] = {}
        self._passes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, snapshot: Snapshot, facts: Facts) -> None:
        """Take what a pass shows, but of those processes that were seen since it began; forget who is gone."""
        containers = {one.id: one for one in (*snapshot.folded, *snapshot.containers)}
        by_key = {(one.pid, one.start_ticks): one for one in snapshot.processes}
        placed = {(one.pid, one.start_ticks) for one in facts.placed}
        homes = {
            one.cgroup: _tell_home(by_key[one.pid, one.start_ticks])
            for one in facts.processes
            if (one.pid, one.start_ticks) in by_key and (one.pid, one.start_ticks) not in placed
        }
        shown = {one.pid: _Known(_tell_identity(one), self._passes + 1) for one in snapshot.processes}
        with self._lock:
            recent = {pid: one for pid, one in self._known.items() if one.passes == self._passes}
            self._passes += 1
            self._known = {**shown, **recent} if self._passes > 1 else {**recent, **shown}
            self._homes, self._containers, self._new_homes = homes, containers, 0

    def name(self, event: ProcessEvent) -> NamedProcessEvent:
        """The event with whose it is."""
        with self._lock:
            identity = self._follow(event)
            container = None if identity.container_id is None else self._containers.get(identity.container_id)
        pod = None if container is None else container.pod
        ago_ns = self._monotonic_ns() - event.timestamp_ns
        return NamedProcessEvent(
            at_seconds=(self._clock_ns() - ago_ns) / 1e9,
            event=event,
            identity=identity,
            container_name=None if container is None else container.container_name or container.name,
            image=None if container is None else container.image,
            pod=None if pod is None else Pod(pod.uid, pod.name, pod.kube_namespace),
        )

    def _follow(self, event: ProcessEvent) -> Identity:
        """Who it is about, as it is after the event; of an end as it was before."""
        pid = event.pid if event.child is None else event.child
        identity = self._find_out(event)
        if event.kind is ProcessEventKind.EXIT:
            self._known.pop(pid, None)
        else:
            self._keep(pid, identity)
        return identity

    def _keep(self, pid: Pid, identity: Identity) -> None:
        if len(self._known) < _MOST_PROCESSES:
            self._known[pid] = _Known(identity, self._passes)

    def _find_out(self, event: ProcessEvent) -> Identity:
        known = self._known.get(event.pid)
        before = known.identity if known else None
        if event.child is not None:
            parent = before or self._look(event.pid, event.timestamp_ns) or NOBODY
            if before is None and parent is not NOBODY:
                self._keep(event.pid, parent)
            child = parent._replace(
                source=IdentitySource.PARENT if parent.comm else IdentitySource.NONE, start_ticks=None
            )
            if parent is NOBODY or event.found_by is EventEngine.POLL:
                return self._look(event.child, event.timestamp_ns, parent) or child
            return child
        if event.kind is ProcessEventKind.EXIT:
            return before or NOBODY
        if event.kind is ProcessEventKind.EXEC:
            return self._look(event.pid, event.timestamp_ns, before) or (before or NOBODY)._replace(comm=None)
        before = before or self._look(event.pid, event.timestamp_ns) or NOBODY
        return before if event.comm is None else before._replace(comm=event.comm)

    def _look(self, pid: Pid, timestamp_ns: int, before: Identity | None = None) -> Identity | None:
        """Who a process is now, which was `before`; None where it has ended, as one has that began later than this."""
        before = before or NOBODY
        if not self._may_look():
            return None
        try:
            with self._procfs.open_process(pid) as process:
                stat = process.read_stat()
                if stat.start_ticks > count_ticks(timestamp_ns):
                    return None
                home = self._find_home(process.read_cgroup())
                uid, netns = process.read_uid(), _read_netns(process)
        except (Gone, NotRead, FormatError):
            return None
        if home is None or (home.container_id is None and before.source is IdentitySource.SNAPSHOT):
            # Not all containers have a cgroup of their own: the pass knows better.
            home = _Home(before.container_id, before.around, before.inner, before.unit)
        netns = before.netns if netns is None else netns
        return Identity(IdentitySource.LOOK, stat.start_ticks, stat.comm, uid, netns, *home)

    def _may_look(self) -> bool:
        """Whether one more process may be looked at in this second."""
        second = self._monotonic_ns() // 1_000_000_000
        self._second, self._looks = second, self._looks + 1 if second == self._second else 1
        return self._most_looks is None or self._looks <= self._most_looks

    def _find_home(self, text: str) -> _Home | None:
        """Whose a cgroup is; None where that is not looked at before the next pass."""
        home = self._homes.get(text)
        if home is None and self._new_homes < _MOST_CGROUPS:
            self._new_homes += 1
            claimed = identify((*self._homes, text))
            identity = believe({text: claimed[text]}, self._containers.values())[text]
            home = self._homes[text] = _Home(identity.container_id, identity.chain, identity.inner, identity.unit)
        return home


def _tell_home(process: Process) -> _Home:
    return _Home(process.container_id, process.around, process.inner, process.unit)


def _tell_identity(process: Process) -> Identity:
    home = _tell_home(process)
    return Identity(IdentitySource.SNAPSHOT, process.start_ticks, process.comm, process.uid, process.netns, *home)


def _read_netns(process: ProcessDir) -> int | None:
    """The number of its netns, None where that may not be read."""
    try:
        return process.read_netns_inode()
    except NotRead:
        return None
