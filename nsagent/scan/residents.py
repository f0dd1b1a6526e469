"""Who lives in a netns: where that is one container alone, or one pod, it made what nobody holds any more. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nsagent.model.container import Container, Pod
from nsagent.model.facts import Facts
from nsagent.model.gap import Kind, Stage, Subject
from nsagent.model.ids import ContainerId, tell_netns
from nsagent.model.net import Protocol, SocketRow
from nsagent.model.process import Process
from nsagent.model.snapshot import Flag, OwnedSocket, Snapshot
from nsagent.scan.creators import Creators
from nsagent.scan.memory import Lodger

_ANY = ("0.0.0.0", "::")


class Household(NamedTuple):
    """All who live in one netns: the processes of one container, or (`pod`) of several of one pod.

    `members` are the containers. `strange` are the protocols and local addresses of sockets in the
    netns that somebody outside holds, as Docker's resolver and node-wide proxies do: rows with these
    may be theirs. `since` is the tick since boot at which the first of them started, None where others
    lived there lately.
    """

    members: frozenset[ContainerId | None]
    container_id: ContainerId | None
    pod: Pod | None
    strange: frozenset[tuple[Protocol, str]]
    since: int | None

    def may_have_made(self, row: SocketRow, creators: Creators, closed: int | None) -> bool:
        """Whether nothing says that a row that no fd can hold, `closed` by that tick, was made by somebody else."""
        if closed is not None and self.since is not None and closed < self.since:
            return False
        told = row.cgroup_id is None or creators.get(row.cgroup_id) in self.members
        return told and not any((row.protocol, one) in self.strange for one in (row.local.address, *_ANY))


def find_household(
    residents: Iterable[Process],
    sockets: Iterable[OwnedSocket],
    containers: Mapping[ContainerId, Container],
    left: Iterable[Lodger] = (),
    cookie: int | None = None,
) -> Household | None:
    """Who lives in a netns with these processes and sockets; None where they are of more than one container and pod.

    What is the pause container's alone is its pod's. Who `left` lately may have made what is there still: all that
    had the number of this netns count, but of them alone nobody is told, unless one had its `cookie`.
    """
    lodgers = [one for one in left if one.may_be_in(cookie)]
    residents = [process for process in residents if not process.kernel_thread]
    living = frozenset(process.container_id for process in residents)
    if not living and (cookie is None or all(one.cookie != cookie for one in lodgers)):
        return None
    members = living.union(one.container_id for one in lodgers)
    found = [containers[id_] for id_ in members if id_ is not None and id_ in containers]
    if len(found) < len(members):
        return None
    first = found[0]
    alone = len(found) == 1 and not (first.sandbox and first.pod)
    if not alone and (first.pod is None or any(one.pod != first.pod for one in found)):
        return None
    strange = frozenset(
        (one.row.protocol, one.row.local.address)
        for one in sockets
        if (one.owners or one.container_id is not None)
        and (one.container_id not in members or Flag.HOLDER_OUTSIDE in one.flags)
    )
    since = None if lodgers else min(process.start_ticks for process in residents)
    return Household(members, first.id if alone else None, None if alone else first.pod, strange, since)


class Doubts:
    """Of which netns it is not sure who lives there: some process there, or anywhere, was not seen, or a read failed.

    `numbers` are those of processes whose fds could not be read, None of one whose netns is not known; `failed` is
    what could not be read of netns and tables.
    """

    def __init__(self, *, everywhere: bool, numbers: Iterable[int | None], failed: Iterable[Subject]) -> None:
        self._everywhere = everywhere
        self._numbers = set(numbers)
        self._gaps = {subject.id for subject in failed if subject.kind in (Kind.NETNS, Kind.TABLE)}

    def has(self, number: int) -> bool:
        """Whether it is not sure of this netns."""
        return self._everywhere or not self._numbers.isdisjoint((number, None)) or tell_netns(number) in self._gaps


def doubt_facts(facts: Facts, numbers: Iterable[int | None]) -> Doubts:
    """Those that facts leave; `numbers` as Doubts has them."""
    return Doubts(
        everywhere=facts.visibility.partial
        or facts.process_counts.skipped > 0
        or any(gap.stage is Stage.PROCESSES for gap in facts.gaps),
        numbers=numbers,
        failed=(gap.subject for gap in facts.gaps),
    )


def doubt_snapshot(snapshot: Snapshot) -> Doubts:
    """Those that a snapshot leaves."""
    coverage = snapshot.coverage
    subjects = [(gap.stage, subject) for gap in coverage.gaps for subject in gap.subjects]
    unread = {subject.id for stage, subject in subjects if stage is Stage.FDS}
    known = {str(process.pid): process.netns for process in snapshot.processes} if unread else {}
    return Doubts(
        everywhere=coverage.visibility.partial
        or coverage.processes.skipped > 0
        or any(stage is Stage.PROCESSES for stage, _ in subjects),
        numbers={known.get(pid) for pid in unread},
        failed=(subject for _, subject in subjects),
    )
