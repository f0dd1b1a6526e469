"""A pass about some containers, or processes, only: which they are, what it reads, and whether they are still the same.

Only their netns are read, and all the others where a socket of a container stands in none of these: a process keeps its
sockets when it moves, and may be handed one. Of processes each of these sockets is asked where it is.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from nsagent.errors import Ambiguous, Changed, NotFound, Reason
from nsagent.identity.believe import believe
from nsagent.identity.claims import identify
from nsagent.identity.join import NAMED_BY_ID, join_containers
from nsagent.model.container import Container
from nsagent.model.facts import Placed, ProcessReading
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.ids import ContainerId, Pid
from nsagent.query.containers import choose_containers, include_below, tell_sources
from nsagent.query.filter import Filter
from nsagent.runtimes.runtimes import Answers, Runtimes
from nsagent.scan.checks import TELL_RUNNING
from nsagent.scan.collect.netns import MetNetns

CGROUP_PATHS: Final = "cgroup paths"
"""What is asked for names first of all, and always answers."""


class Chosen(NamedTuple):
    """The containers that a pass is about by these answers, and their processes as the walk saw them."""

    ids: frozenset[ContainerId]
    readings: tuple[ProcessReading, ...]
    answers: Answers
    gaps: tuple[Gap, ...] = ()
    """Of containers that were asked for by name and run, and of which no process is seen."""

    def list_netns(self, met: Iterable[MetNetns]) -> list[MetNetns]:
        """Those of `met` in which one of the processes is."""
        inodes = {reading.netns_inode for reading in self.readings} - {None}
        keys = {reading.netns_key for reading in self.readings} - {None}
        return [one for one in met if one.inode in inodes or one.key in keys]


def list_nameless(readings: Iterable[ProcessReading]) -> set[ContainerId]:
    """The containers that processes are in and whose name their cgroup paths do not tell."""
    identities = identify({reading.cgroup for reading in readings}).values()
    return {one.container_id for one in identities if one.container_id is not None and one.runtime not in NAMED_BY_ID}


def choose(
    wanted: Filter, readings: Sequence[ProcessReading], answers: Answers, placed: Iterable[Placed] = ()
) -> Chosen:
    """The containers that `wanted` means among those of these processes and of the runtimes.

    `placed` are the processes of containers that no cgroup path shows. Raises NotFound
    and Ambiguous, as the same filter does for the snapshot of the whole pass.
    """
    claimed = identify({reading.cgroup for reading in readings}, answers.containers)
    containers = join_containers(claimed.values(), answers.containers, answers.kept)
    ids = choose_containers(
        wanted, containers, tell_sources((CGROUP_PATHS, *answers.sources), merge_gaps(answers.gaps))
    )
    identities, wide = believe(claimed, containers), include_below(ids, containers)
    inside = {text for text, one in identities.items() if not wide.isdisjoint((one.container_id, *one.inner))}
    by_pid = {(one.pid, one.start_ticks): one.container_id for one in placed}
    members = tuple(
        reading
        for reading in readings
        if reading.cgroup in inside or by_pid.get((reading.pid, reading.start_ticks)) in wide
    )
    seen = {id_ for one in claimed.values() for id_ in (*one.chain, one.container_id)}.union(by_pid.values())
    unseen = (one for one in containers if wanted.containers and one.id in ids and one.id not in seen)
    return Chosen(ids, members, answers, tuple(map(_tell_unseen, filter(_should_be_seen, unseen))))


def _should_be_seen(container: Container) -> bool:
    """Whether somebody tells of it who knows that it runs, and its processes would be in this kernel's tables."""
    return container.told_by is not None and container.source in TELL_RUNNING and container.sandboxed is None


def _tell_unseen(container: Container) -> Gap:
    return Gap(Stage.PROCESSES, Subject(Kind.CONTAINER, container.name or container.id), Reason.UNSEEN)


def choose_processes(pids: Collection[Pid], readings: Iterable[ProcessReading], answers: Answers) -> Chosen:
    """The processes with these pids, of whatever container."""
    return Chosen(frozenset(), tuple(reading for reading in readings if reading.pid in pids), answers)


def check_names(wanted: Filter, readings: Sequence[ProcessReading], before: Answers, runtimes: Runtimes) -> Answers:
    """The answers of before, once the runtimes were asked again whether names still mean what they meant.

    Raises Changed if a name of a container or pod means nothing of it any more. An engine that does
    not answer again makes a gap. The processes are those of the first answers: what cgroup paths
    tell cannot change. A name that means one more container by now is still that of the first.
    """
    if not (wanted.containers or wanted.pods) or not before.containers:
        return before
    # What is listed no more must not stand for itself.
    after = runtimes.ask_again()._replace(kept=())
    # Records that were left out were so before.
    if failed := [gap for gap in after.gaps if gap.subject.kind is Kind.SOURCE]:
        return before._replace(gaps=(*before.gaps, *failed))
    for single in _list_single(wanted):
        old = choose(single, readings, before).ids
        try:
            new = choose(single, readings, after).ids
        except NotFound:
            new = frozenset()
        except Ambiguous:
            continue
        if old and old.isdisjoint(new):
            name = (single.containers or single.pods)[0]
            now = f"is {_short(new)}" if new else "is gone"
            raise Changed(f"{name!r} was {_short(old)} when the pass began and {now} at its end: ask again")
    return before


def _list_single(wanted: Filter) -> list[Filter]:
    """One filter for each name of a container, and of a pod."""
    return [
        *(wanted._replace(containers=(name,)) for name in wanted.containers),
        *(wanted._replace(containers=(), pods=(name,)) for name in wanted.pods),
    ]


def _short(ids: Iterable[ContainerId]) -> str:
    return ", ".join(id_[:12] for id_ in sorted(ids))
