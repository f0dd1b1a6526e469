"""Who the processes are that events tell of: looked at in /proc at once, for many have soon ended.

A child has all that its parent has until it runs another program, or somebody moves it; what a pass shows is held
against what was seen in between. Whose cgroup it is, identity tells, as of a snapshot.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead
from nsagent.identity.believe import believe
from nsagent.identity.cgroup_path import CgroupIdentity
from nsagent.identity.claims import find_user, identify
from nsagent.identity.records import list_users
from nsagent.kernel.boot_clock import BIRTH_SLACK_TICKS, count_ticks
from nsagent.kernel.procfs import ProcessDir, ProcFs
from nsagent.model.container import Container, Pod
from nsagent.model.facts import Facts
from nsagent.model.ids import ContainerId, Pid
from nsagent.model.named_event import Identity, IdentitySource, NamedProcessEvent
from nsagent.model.process import Process
from nsagent.model.process_event import EventEngine, ProcessEvent, ProcessEventKind
from nsagent.model.snapshot import Snapshot

NOBODY: Final = Identity(IdentitySource.NONE)

_EXEC: Final = ProcessEventKind.EXEC
_EXIT: Final = ProcessEventKind.EXIT
_NONE, _LOOK, _PARENT = IdentitySource.NONE, IdentitySource.LOOK, IdentitySource.PARENT
"""Names of their own: to ask an enum for its member takes a tenth of what an event does."""

_MOST_PROCESSES: Final = 1 << 17
"""Of more than these no identity is kept between passes, and of half as many not that they have ended."""
_MOST_CGROUPS: Final = 64
"""So many new cgroups are read between two passes, at up to 5 ms each: whoever may make cgroups can make any number."""

_SHARES: Final = 4
"""So many containers at least have to run programs in loops before none is looked at any more."""


class _Home(NamedTuple):
    """Whose a cgroup is."""

    container_id: ContainerId | None
    around: tuple[ContainerId, ...]
    inner: tuple[ContainerId, ...]
    unit: str | None


_NOWHERE: Final = _Home(None, (), (), None)


class _Known(NamedTuple):
    """A process as it is known."""

    identity: Identity
    seen_ns: int
    """It was so then, by CLOCK_MONOTONIC; of a pass, when that began."""
    blank: str | None = None
    """Its cgroup text, where that tells nothing of the container that a pass has found it, or its forebear, in."""
    last_container: ContainerId | None = None
    """Of nobody, that in which it, or its forebear, was when that was last known: looks are counted for that."""

    @property
    def counted_for(self) -> ContainerId | None:
        """The container for which a look at it is counted."""
        return self.identity.container_id or self.last_container


_UNKNOWN: Final = _Known(NOBODY, 0)


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
        """`looks_a_second`: no more processes are looked at, 50 us each, and no more than a quarter of these in one
        container, which may run programs in a loop; None for all that ask for it.

        `clock_ns` is the time of day; `monotonic_ns` is what events are told by.
        """
        self._procfs, self._clock_ns, self._monotonic_ns = procfs, clock_ns, monotonic_ns
        self._most_looks = looks_a_second
        self._second = 0
        self._looks: Counter[ContainerId | None] = Counter()
        """In this second, by the container; under None all."""
        self.not_looked_at = 0
        """How many processes that asked for a look got none, for there were too many."""
        self._known: dict[Pid, _Known] = {}
        self._homes: dict[str, _Home] = {}
        """By the text of the cgroup file."""
        self._new_homes = 0
        self._containers: Mapping[ContainerId, Container] = {}
        self._began_ns = 0
        """When the last pass began."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, snapshot: Snapshot, facts: Facts, started_ns: int) -> None:
        """Take what a pass shows that began then, by CLOCK_MONOTONIC, but of those seen since; forget who is gone."""
        containers = {one.id: one for one in (*snapshot.folded, *snapshot.containers)}
        by_key = {(one.pid, one.start_ticks): one for one in snapshot.processes}
        placed = {(one.pid, one.start_ticks) for one in facts.placed}
        homes: dict[str, _Home] = {}
        blanks: dict[Pid, str] = {}
        for reading in facts.processes:
            key, text = (reading.pid, reading.start_ticks), reading.cgroup
            if key in placed:
                blanks[reading.pid] = text
            elif text not in homes and key in by_key:
                homes[text] = _tell_home(by_key[key])
        shown = {one.pid: _Known(_tell_identity(one), started_ns, blanks.get(one.pid)) for one in snapshot.processes}
        with self._lock:
            # Of who began and ended since the pass before more may be told yet: events come later than they happen.
            newer = {
                pid: known
                for pid, known in self._known.items()
                if known.seen_ns >= started_ns or (known.seen_ns > self._began_ns and pid not in shown)
            }
            self._known = {**shown, **newer}
            self._began_ns = started_ns
            self._homes, self._containers, self._new_homes = homes, containers, 0

    def follow(self, event: ProcessEvent) -> Identity:
        """Whose it is: every event has to come by here, once. Takes 3 us, without a look."""
        with self._lock:
            return self._follow(event)

    def name(self, event: ProcessEvent, identity: Identity) -> NamedProcessEvent:
        """The event of whom follow() has told, for whoever shows it."""
        container = None if identity.container_id is None else self._containers.get(identity.container_id)
        at_seconds = (self._clock_ns() - self._monotonic_ns() + event.timestamp_ns) / 1e9
        if container is None:
            return NamedProcessEvent(at_seconds, event, identity)
        pod = container.pod and Pod(container.pod.uid, container.pod.name, container.pod.kube_namespace)
        name = container.container_name or container.name
        return NamedProcessEvent(at_seconds, event, identity, name, container.image, pod)

    def _follow(self, event: ProcessEvent) -> Identity:
        """Who it is about, as it is after the event; of an end as it was before."""
        pid = event.pid if event.child is None else event.child
        was = self._known.get(pid)
        if event.kind is _EXIT:
            return self._end(event, was)
        now = self._find_out(event)
        if was is None or now.identity.source is _LOOK or not _is_later(was, event):
            self._keep(pid, now)
        return now.identity

    def _end(self, event: ProcessEvent, was: _Known | None) -> Identity:
        """Who has ended; what is known of one who has its pid since then stays."""
        if was is not None and not _had_begun(was, event.timestamp_ns):
            return NOBODY
        # A pass that has seen it is not to bring it back: its pid may be another's by then.
        if len(self._known) - (was is not None) < _MOST_PROCESSES // 2:
            self._known[event.pid] = _Known(NOBODY, event.timestamp_ns)
        else:
            self._known.pop(event.pid, None)
        return NOBODY if was is None else was.identity

    def _keep(self, pid: Pid, known: _Known) -> None:
        if pid in self._known or len(self._known) < _MOST_PROCESSES:
            self._known[pid] = known

    def _find_out(self, event: ProcessEvent) -> _Known:
        at_ns = event.timestamp_ns
        before = self._known.get(event.pid)
        if before is None or not _had_begun(before, at_ns):
            before = _UNKNOWN
        if event.child is not None:
            return self._find_child(event, event.child, before)
        if event.kind is _EXEC:
            return self._find_executing(event, before)
        if before.identity == NOBODY:
            before = self._look(event.pid, before, at_ns) or before
        identity = before.identity if event.comm is None else before.identity._replace(comm=event.comm)
        return _Known(identity, at_ns, before.blank, before.last_container)

    def _find_executing(self, event: ProcessEvent, before: _Known) -> _Known:
        """Who has run another program; nobody where it was not looked at: a runtime moves who will be a container."""
        at_ns, who = event.timestamp_ns, before.identity
        if not self._may_look(before.counted_for):
            return _Known(NOBODY, at_ns, last_container=before.counted_for)
        found = self._read(event.pid, before, at_ns)
        source = _PARENT if who.source is _LOOK else who.source
        return found or _Known(Identity(source, who.start_ticks, None, *who[3:]), at_ns, before.blank)

    def _find_child(self, event: ProcessEvent, pid: Pid, parent: _Known) -> _Known:
        at_ns, is_known = event.timestamp_ns, parent.identity != NOBODY
        if not is_known and (found := self._look(event.pid, parent, at_ns)) is not None:
            parent, is_known = found, True
            self._keep(event.pid, parent)
        source = _PARENT if parent.identity.comm else _NONE
        # Made anew, as for an exec: to replace fields of it takes six times as long.
        child = _Known(Identity(source, None, *parent.identity[2:]), at_ns, parent.blank, parent.last_container)
        if not is_known or event.found_by is EventEngine.POLL:
            return self._look(pid, child, at_ns) or child
        return child

    def _look(self, pid: Pid, before: _Known, at_ns: int) -> _Known | None:
        """As _read() has it; None too where there were too many looks."""
        return self._read(pid, before, at_ns) if self._may_look(before.counted_for) else None

    def _read(self, pid: Pid, before: _Known, at_ns: int) -> _Known | None:
        """Who a process is now, which was `before` at that time; None where it has ended, whoever has its pid now."""
        try:
            with self._procfs.open_process(pid) as process:
                stat = process.read_stat()
                if stat.start_ticks > count_ticks(at_ns):
                    return None
                text, uid, netns = process.read_cgroup(), process.read_uid(), _read_netns(process)
        except (Gone, NotRead, FormatError):
            return None
        home, was = self._find_home(text), before.identity
        # Not all containers have a cgroup of their own: the pass knew better. But who may say so of one user's
        # processes may not of another's, and who is elsewhere by now is in that container no more.
        alike = text == before.blank and uid == was.uid and was.start_ticks in (None, stat.start_ticks)
        if alike and home.container_id is None:
            home = home._replace(container_id=was.container_id)
        identity = Identity(_LOOK, stat.start_ticks, stat.comm, uid, netns, *home)
        return _Known(identity, at_ns, text if alike else None)

    def _may_look(self, container_id: ContainerId | None) -> bool:
        """Whether one more process, which was in this container, may be looked at in this second."""
        if self._most_looks is None:
            return True
        second = self._monotonic_ns() // 1_000_000_000
        if second != self._second:
            self._second = second
            self._looks.clear()
        most_there = self._most_looks if container_id is None else max(self._most_looks // _SHARES, 1)
        if self._looks[None] >= self._most_looks or self._looks[container_id] >= most_there:
            self.not_looked_at += 1
            return False
        self._looks.update({None, container_id})
        return True

    def _find_home(self, text: str) -> _Home:
        """Whose a cgroup is; nobody's where that is not looked at before the next pass."""
        home = self._homes.get(text)
        if home is None and self._new_homes < _MOST_CGROUPS:
            self._new_homes += 1
            containers = self._containers.values()
            identity = believe({text: identify((*self._homes, text), containers)[text]}, containers)[text]
            home = self._homes[text] = _Home(
                self._find_container(identity), identity.chain, identity.inner, identity.unit
            )
        return home or _NOWHERE

    def _find_container(self, identity: CgroupIdentity) -> ContainerId | None:
        """The container, None where who tells of it does not tell of this user's cgroups: the next pass tells more."""
        container = None if identity.container_id is None else self._containers.get(identity.container_id)
        if container is None or container.told_by is None or find_user(identity) in list_users(container):
            return identity.container_id
        return None


def _had_begun(known: _Known, at_ns: int) -> bool:
    """Whether it was there when something happened to who has its pid: else that was another one's."""
    start_ticks = known.identity.start_ticks
    return known.seen_ns <= at_ns if start_ticks is None else start_ticks <= count_ticks(at_ns)


def _is_later(known: _Known, event: ProcessEvent) -> bool:
    """Whether what is known of who has a pid is of later than this: a pass may have seen it before this is told."""
    if known.seen_ns > event.timestamp_ns:
        return True
    start_ticks = known.identity.start_ticks
    if start_ticks is None:
        return False
    told_ticks = count_ticks(event.timestamp_ns)
    return start_ticks > told_ticks or (event.child is not None and start_ticks + BIRTH_SLACK_TICKS >= told_ticks)


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
