"""All runtimes of a host, asked within one deadline: the best at once, others for what those do not name.

An Runtimes lives as long as its user: one pass for the command line, all passes for the agent. It
holds what must outlast a pass: which runtimes failed, which are still being waited for, and the
containers that nobody lists any longer.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from nsagent.model.container import Container
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import ContainerId
from nsagent.runtimes.asked_source import AskedSource
from nsagent.runtimes.source import Failure, Followable, LeftOut, MakeSources, Source, Sources

_LEAST_SECONDS = 0.5
_PATIENCE = 0.5
"""The part of the deadline that is left for further groups where an runtime is slow."""

_SHORT_ID_LENGTH = 12
_NAMED = 3
"""How many of the records that were left out are named."""

_KEPT_SECONDS = 600.0
_KEPT_CONTAINERS = 4096


class Answers(NamedTuple):
    """What the runtimes know; in the order of the sources, so that an id that two of them know comes twice.

    `gaps` says who failed, `sources` the subjects of those asked. `kept` are the containers that
    earlier passes knew and that nobody lists now, for ten minutes: their runtime is dead, or they
    are. Of the 4096 at most the longest gone come first.
    """

    containers: tuple[Container, ...]
    gaps: tuple[Gap, ...]
    sources: tuple[str, ...]
    kept: tuple[Container, ...]


class Runtimes:
    """The runtimes that are asked for names; not for use from two threads at once.

    `sources` are asked in every pass. `groups` make further ones: the first is asked at once, each of
    the others only where those before, and the named ones of `sources`, leave containers without a
    name. `details` makes those of the last group: they are asked too where the image of a container
    in a pod is not known, or, with `labels_wanted`, the labels of any. `clock` is monotonic, in
    seconds. `deadline_seconds` counts from `start`. With `follow` the sources that can follow events
    do so until `close`, which pays from the second pass on. `find_more` is asked before each pass but the
    first, and tells what is to be asked instead, None for the same as before.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        deadline_seconds: float = 2.0,
        *,
        clock: Callable[[], float],
        follow: bool = False,
        groups: Sequence[MakeSources] = (),
        details: MakeSources | None = None,
        labels_wanted: bool = False,
        find_more: Callable[[], Sources | None] | None = None,
    ) -> None:
        self._clock = clock
        self._arrange(Sources(sources, groups, details))
        self._find_more = find_more
        self._was_started = False
        self._labels_wanted = labels_wanted
        self._asked: list[AskedSource] = []
        self._unasked: list[_Group] = []
        self._deadline_seconds = deadline_seconds
        self._follow = follow
        self._memory = _Memory()
        self._deadline = 0.0
        self._started = False

    def start(self) -> None:
        """Ask every source, and those of the first group, each in a thread of its own, and return at once.

        What an earlier start asked is forgotten.
        """
        if self._was_started and self._find_more is not None and (more := self._find_more()) is not None:
            self.close()
            self._arrange(more)
        self._started = self._was_started = True
        self._deadline = self._clock() + self._deadline_seconds
        self._asked, self._unasked = [], list(self._groups)
        self._ask(self._runtimes)
        if self._unasked:
            self._ask(self._unasked.pop(0).list_runtimes())

    def collect(self, list_ids: Callable[[], Collection[ContainerId]] = tuple) -> Answers:
        """What was answered since `start`; nothing without one.

        `list_ids` tells the containers for which names are wanted. Waits until all that were asked
        have answered, at most until the deadline. Who has not is left to wait for its runtime: the
        next `start` after that asks it again.
        """
        if not self._started:
            return Answers((), (), (), ())
        self._started = False
        wanted = frozenset(list_ids() if self._groups else ())
        if self._unasked:
            self._ask_groups(wanted)
        return self._wait_for(self._asked, self._deadline, self._deadline_seconds, wanted)

    def ask_again(self) -> Answers:
        """What those say now who answered to `collect`: asked anew, within what is left of the deadline or 0.5 s."""
        now = self._clock()
        seconds = max(self._deadline - now, _LEAST_SECONDS)
        runtimes = [each for each in self._asked if each.has_answered]
        for each in runtimes:
            each.ask()
        return self._wait_for(runtimes, now + seconds, seconds, frozenset())

    def close(self) -> None:
        """End what is still being asked or followed, in a pass that was given up as well."""
        for each in (*self._runtimes, *(each for group in self._groups for each in group.list_made())):
            each.give_up()
            if self._follow and isinstance(each.source, Followable):
                each.source.unfollow()

    def _arrange(self, sources: Sources) -> None:
        """Ask these from now on."""
        self._runtimes = [AskedSource(source, self._clock) for source in sources.at_once]
        self._details = None if sources.details is None else _Group(sources.details, self._clock)
        self._groups = [_Group(make, self._clock) for make in sources.groups]
        self._groups += [self._details] if self._details else []

    def _ask(self, runtimes: Iterable[AskedSource]) -> None:
        for each in runtimes:
            if self._follow and isinstance(each.source, Followable):
                each.source.follow(self._clock)
            each.ask()
            self._asked.append(each)

    def _ask_groups(self, wanted: frozenset[ContainerId]) -> None:
        """Ask group after group until all that is wanted is known, and all the rest once somebody is slow."""
        patience = self._deadline - self._deadline_seconds * _PATIENCE
        while self._unasked:
            settled = [each.has_settled(patience) for each in self._asked]
            told = [
                container
                for each in self._asked
                if each not in self._runtimes or each.source.named
                for container in each.peek()
            ]
            if wanted <= {container.id for container in told if container.name is not None}:
                lacks = _lacks_images(wanted, told) or (self._labels_wanted and _lacks_labels(wanted, told))
                self._unasked = [group for group in self._unasked if lacks and group is self._details]
            groups = self._unasked[:1] if all(settled) else self._unasked[:]
            del self._unasked[: len(groups)]
            # A pass may have taken longer than the deadline; who is asked after it has a little time all the same.
            self._deadline = max(self._deadline, self._clock() + _LEAST_SECONDS)
            self._ask([each for group in groups for each in group.list_runtimes()])

    def _wait_for(
        self, runtimes: Sequence[AskedSource], deadline: float, within_seconds: float, wanted: frozenset[ContainerId]
    ) -> Answers:
        for each in runtimes:
            each.wait(deadline, within_seconds)
        containers = [container for each in runtimes for container in each.containers]
        is_open = not wanted <= {container.id for container in containers if container.name is not None}
        is_open = is_open or (self._labels_wanted and _lacks_labels(wanted, containers))
        told = [each for each in runtimes if not (each.serves_other or (each.lacks_extra and not is_open))]
        failed = (_make_gap(each.source.subject, each.failure) for each in told if each.failure)
        left_out = (gap for each in told for gap in _list_left_out(each.source.subject, each.left_out))
        gaps = (*failed, *left_out)
        kept = self._memory.update(containers, self._clock())
        asked = tuple(each.source.subject for each in told if each.was_asked)
        return Answers(tuple(containers), gaps, asked, kept)


def _lacks_images(wanted: frozenset[ContainerId], told: Iterable[Container]) -> bool:
    """Whether nobody tells the image of one of these that is in a pod, and no pause container."""
    pods = [container for container in told if container.pod is not None and not container.sandbox]
    with_image = {container.id for container in pods if container.image is not None}
    return not with_image >= wanted & {container.id for container in pods}


def _lacks_labels(wanted: frozenset[ContainerId], told: Iterable[Container]) -> bool:
    """Whether nobody tells the labels of one of these."""
    return not wanted <= {container.id for container in told if container.labels is not None}


def _make_gap(source: str, failure: Failure) -> Gap:
    return Gap(Stage.NAMES, Subject(Kind.SOURCE, source), failure.reason, failure.errno, failure.detail)


def _list_left_out(source: str, left_out: Sequence[LeftOut]) -> Iterator[Gap]:
    """One gap for each reason."""
    for reason in dict.fromkeys(one.reason for one in left_out):
        ids = [one.id for one in left_out if one.reason is reason]
        named = ", ".join(sorted({id_[:_SHORT_ID_LENGTH] for id_ in ids if id_})[:_NAMED]) or None
        yield Gap(Stage.NAMES, Subject(Kind.RECORDS, source), reason, detail=named, count=len(ids))


class _Group:
    """Sources that are made only when they are asked for the first time."""

    def __init__(self, make: MakeSources, clock: Callable[[], float]) -> None:
        self._make = make
        self._clock = clock
        self._runtimes: list[AskedSource] | None = None

    def list_runtimes(self) -> list[AskedSource]:
        """All of them."""
        if self._runtimes is None:
            self._runtimes = [AskedSource(source, self._clock) for source in self._make()]
        return self._runtimes

    def list_made(self) -> list[AskedSource]:
        """Those that were asked before."""
        return self._runtimes or []


class _Memory:
    """The containers that were listed lately."""

    def __init__(self) -> None:
        # Whoever was listed last stands last.
        self._seen: dict[ContainerId, tuple[Container, float]] = {}

    def update(self, listed: Iterable[Container], now: float) -> tuple[Container, ...]:
        """Those that are not listed now, after what is listed was taken note of."""
        current: dict[ContainerId, tuple[Container, float]] = {}
        for container in listed:
            earlier = current.get(container.id) or self._seen.get(container.id)
            known = earlier[0] if earlier is not None and container.name is None else container
            if container.id not in current or current[container.id][0].name is None:
                current[container.id] = known, now
        gone = {id_: seen for id_, seen in self._seen.items() if id_ not in current and now - seen[1] <= _KEPT_SECONDS}
        kept = tuple(gone.items())[-_KEPT_CONTAINERS:]
        self._seen = {**dict(kept), **current}
        return tuple(container for _, (container, _) in kept)
