"""Containers without a cgroup of their own (podman's --cgroups=disabled): which processes are in them.

Their runtime tells the pid of the first process. That may be stale, and the process of that pid
another one; it may be counted in another PID namespace, or on another host, to which a socket here
leads. So it has to be proven. Then with it are its descendants, and, where it is the first of a PID
namespace, whatever is in that (`podman exec`), as far as no cgroup shows them in another container.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.identity.claims import identify
from nsagent.kernel.boot_clock import date_start
from nsagent.kernel.procfs import ProcFs
from nsagent.model.choices import OwnersWanted
from nsagent.model.container import Container, Init, ToldBy
from nsagent.model.facts import Placed, ProcessReading
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import ContainerId, Pid
from nsagent.runtimes.runtimes import Answers
from nsagent.scan.collect.context import PassContext

if TYPE_CHECKING:
    from nsagent.kernel.formats.pid_status import Family

T = TypeVar("T")

_SLACK_SECONDS: Final = 2.0
"""Runtimes tell the start of a container in whole seconds, and just after it."""


class Placing(NamedTuple):
    """The processes in containers without a cgroup, and what could not be told of those."""

    placed: tuple[Placed, ...] = ()
    gaps: tuple[Gap, ...] = ()


class _Claim(NamedTuple):
    """A container that no cgroup path shows, and what its runtime tells of its first process."""

    container: Container
    init: Init
    told_by: ToldBy


class _Member(NamedTuple):
    """A process that is in no container by its cgroup."""

    reading: ProcessReading
    family: "Family"


def place_processes(context: PassContext, readings: Sequence[ProcessReading], answers: Answers) -> Placing:
    """Which of the processes are in containers that no cgroup path shows.

    Reads nothing where there is no such container; else 0.1 ms for each process that is in none.
    """
    if not context.live or not any(map(_read_claim, answers.containers)):
        return Placing()
    identities = identify({reading.cgroup for reading in readings}, answers.containers)
    shown = {id_ for one in identities.values() for id_ in (*one.chain, one.container_id)}
    claims = _list_claims(one for one in answers.containers if one.id not in shown)
    if not claims:
        return Placing()
    if not context.procfs.shows_own_pids():
        # Who listens at a socket is told by a pid of the own PID namespace.
        return Placing(gaps=tuple(_make_gap(one.container, Reason.UNPROVEN) for one in claims))
    outside = [
        one
        for one in readings
        if identities[one.cgroup].container_id is None and not one.kernel_thread and one.tid is None
    ]
    return _Placer(context.procfs, outside).place(claims, context.request.owners)


def _list_claims(containers: Iterable[Container]) -> list[_Claim]:
    """One for each container of which the pid is told.

    Of one that a runtime tells of which is vouched for no other one does: whoever knows its id could
    have his own say so too, of a process of his.
    """
    claims: dict[ContainerId, _Claim] = {}
    vouched: set[ContainerId] = set()
    for container in containers:
        claim = _read_claim(container)
        if container.told_by is not None and _is_vouched(container.told_by) and container.id not in vouched:
            vouched.add(container.id)
            claims.pop(container.id, None)
            if claim is not None:
                claims[container.id] = claim
        elif claim is not None and container.id not in vouched:
            claims.setdefault(container.id, claim)
    return list(claims.values())


def _read_claim(container: Container) -> _Claim | None:
    """None where nobody tells the pid, or its PID namespace: over TCP."""
    init, told_by = container.init, container.told_by
    return _Claim(container, init, told_by) if init and told_by and told_by.pid else None


class _Placer:
    """The processes outside of containers, and what is read of them to see where they belong."""

    def __init__(self, procfs: ProcFs, outside: Iterable[ProcessReading]) -> None:
        self._procfs = procfs
        self._members: dict[Pid, _Member] = {}
        for reading in outside:
            if (family := self._read_family(reading)) is not None:
                self._members[reading.pid] = _Member(reading, family)

    def place(self, claims: Iterable[_Claim], owners: OwnersWanted) -> Placing:
        """Who is in these containers; with owners by cgroup alone none of their sockets can be told."""
        inner: dict[Pid, _Claim] = {}
        gaps: list[Gap] = []
        for claim in claims:
            level = self._read_level(claim.told_by.pid)
            alike = [
                one
                for one in self._members.values()
                if level and one.family.pids[level - 1 : level] == (claim.init.pid,)
            ]
            proven = [one for one in alike if self._is_proven(one, claim)]
            if len(proven) == 1:
                inner |= dict.fromkeys(self._list_inside(proven[0], level), claim)
                if owners is OwnersWanted.CONTAINER:
                    gaps.append(_make_gap(claim.container, Reason.NO_CGROUP2, Stage.CGROUPS))
            elif alike:
                # Else it has ended since.
                gaps.append(_make_gap(claim.container, Reason.UNPROVEN))
        placed = []
        inherited = inherit({pid: member.family.parent for pid, member in self._members.items()}, inner)
        for pid, claim_of in inherited.items():
            member = self._members[pid]
            if _may_tell(claim_of.told_by, member.reading.uid):
                placed.append(Placed(claim_of.container.id, pid, member.reading.start_ticks))
        return Placing(tuple(placed), tuple(gaps))

    def _read_family(self, reading: ProcessReading) -> "Family | None":
        """None where it is gone or may not be read: then it is in no container."""
        try:
            with self._procfs.open_process(reading.pid) as process:
                same = process.read_stat().start_ticks == reading.start_ticks
                return process.read_family() if same else None
        except (Gone, NotRead, FormatError):
            return None

    def _read_level(self, pid: Pid | None) -> int:
        """In how many PID namespaces from this one on a process is, 0 if that is not known."""
        try:
            with self._procfs.open_process(pid or Pid(0)) as process:
                return len(process.read_family().pids)
        except (Gone, NotRead, FormatError):
            return 0

    def _is_proven(self, member: _Member, claim: _Claim) -> bool:
        """Whether a process is the first one of that container.

        A runtime mounts files into it out of a directory that is called by the id, which is drawn at
        random; and a process that has taken its pid since has started after it.
        """
        reading = member.reading
        if not _may_tell(claim.told_by, reading.uid):
            return False
        if date_start(reading.start_ticks) > claim.init.started_seconds + _SLACK_SECONDS:
            return False
        try:
            with self._procfs.open_process(reading.pid) as process:
                roots = process.list_mount_roots()
                return process.read_stat().start_ticks == reading.start_ticks and _name_container(
                    roots, claim.container.id
                )
        except (Gone, NotRead, FormatError):
            return False

    def _list_inside(self, init: _Member, level: int) -> list[Pid]:
        """The first process, and those that are in the PID namespace which it is the first one of."""
        pid = init.reading.pid
        if len(init.family.pids) <= level or init.family.pids[-1] != 1:
            return [pid]
        namespace = self._read_pid_namespace(pid)
        nested = (one.reading.pid for one in self._members.values() if len(one.family.pids) == len(init.family.pids))
        return [pid, *(one for one in nested if namespace and self._read_pid_namespace(one) == namespace)]

    def _read_pid_namespace(self, pid: Pid) -> int | None:
        try:
            with self._procfs.open_process(pid) as process:
                return process.read_pid_namespace()
        except (Gone, NotRead, FormatError):
            return None


def inherit(parents: Mapping[Pid, Pid], own: Mapping[Pid, T]) -> dict[Pid, T]:
    """What each of these processes has, or the nearest of its ancestors that has something: those that get any. Pure.

    Parents were read one after the other, and may lead in a circle. Each process is come by once: a user may have a
    chain of 32,000.
    """
    found: dict[Pid, T | None] = dict(own)
    for pid in parents:
        path: list[Pid] = []
        while pid in parents and pid not in found:
            found[pid] = None  # In a circle nobody has anything.
            path.append(pid)
            pid = parents[pid]
        if (told := found.get(pid) if pid in parents else None) is not None:
            found |= dict.fromkeys(path, told)
    return {pid: told for pid in parents if (told := found[pid]) is not None}


def _is_vouched(told_by: ToldBy) -> bool:
    """Whether it is the system's, or somebody asked for it."""
    return told_by.named or not told_by.uid


def _may_tell(told_by: ToldBy, uid: int) -> bool:
    """Whether a runtime may tell of that user's processes: a user's may say anything, unless it was named."""
    return _is_vouched(told_by) or told_by.uid == uid


def _name_container(roots: Iterable[str], id_: ContainerId) -> bool:
    """Whether one of these directories is in the container's own: `.../overlay-containers/ID/userdata/hosts`."""
    below = re.compile(rf".*/[a-z0-9]+-containers/{re.escape(id_)}/userdata/.+", re.DOTALL)
    return any(map(below.fullmatch, roots))


def _make_gap(container: Container, reason: Reason, stage: Stage = Stage.PROCESSES) -> Gap:
    return Gap(stage, Subject(Kind.CONTAINER, container.name or container.id), reason)
