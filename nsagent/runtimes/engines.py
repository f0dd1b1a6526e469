"""All engines of a host, asked within one deadline: the best at once, others for what those do not name.

An Engines lives as long as its user: one pass for the command line, all passes for the agent. It
holds what must outlast a pass: which engines failed, which are still being waited for, and the
containers that nobody lists any longer.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from nsagent.errors import Reason
from nsagent.model.container import Container
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import ContainerId
from nsagent.runtimes.asked_source import AskedSource
from nsagent.runtimes.source import Followable, MakeSources, Source

_LEAST_SECONDS = 0.5
_PATIENCE = 0.5
"""The part of the deadline that is left for further groups where an engine is slow."""

_KEPT_SECONDS = 600.0
_KEPT_CONTAINERS = 4096


class Answers(NamedTuple):
    """What the engines know; in the order of the sources, so that an id that two of them know comes twice.

    `gaps` says who failed, `sources` the subjects of those asked. `kept` are the containers that
    earlier passes knew and that nobody lists now, for ten minutes: their engine is dead, or they
    are. Of the 4096 at most the longest gone come first.
    """

    containers: tuple[Container, ...]
    gaps: tuple[Gap, ...]
    sources: tuple[str, ...]
    kept: tuple[Container, ...]


class Engines:
    """The engines that are asked for names; not for use from two threads at once.

    `sources` are asked in every pass. `groups` make further ones: the first is asked at once, each of
    the others only where those before, and the named ones of `sources`, leave containers without a
    name. `clock` is monotonic, in seconds. `deadline_seconds` counts from `start`.
    With `follow` the sources that can follow events do so until `close`, which pays from the second
    pass on.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        deadline_seconds: float = 2.0,
        *,
        clock: Callable[[], float],
        follow: bool = False,
        groups: Sequence[MakeSources] = (),
    ) -> None:
        self._engines = [AskedSource(source) for source in sources]
        self._groups = [_Group(make) for make in groups]
        self._asked: list[AskedSource] = []
        self._unasked: list[_Group] = []
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._follow = follow
        self._memory = _Memory()
        self._deadline = 0.0
        self._started = False

    def start(self) -> None:
        """Ask every source, and those of the first group, each in a thread of its own, and return at once.

        What an earlier start asked is forgotten.
        """
        now = self._clock()
        self._started = True
        self._deadline = now + self._deadline_seconds
        self._asked, self._unasked = [], list(self._groups)
        self._ask(self._engines, now)
        if self._unasked:
            self._ask(self._unasked.pop(0).list_engines(), now)

    def collect(self, list_ids: Callable[[], Collection[ContainerId]] = tuple) -> Answers:
        """What was answered since `start`; nothing without one.

        `list_ids` tells the containers for which names are wanted. Waits until all that were asked
        have answered, at most until the deadline. Who has not is left to wait for its engine: the
        next `start` after that asks it again.
        """
        if not self._started:
            return Answers((), (), (), ())
        self._started = False
        if self._unasked:
            self._ask_groups(list_ids())
        return self._wait_for(self._asked, self._deadline, self._deadline_seconds)

    def ask_again(self) -> Answers:
        """What those say now who answered to `collect`: asked anew, within what is left of the deadline or 0.5 s."""
        now = self._clock()
        seconds = max(self._deadline - now, _LEAST_SECONDS)
        engines = [engine for engine in self._asked if engine.has_answered]
        for engine in engines:
            engine.ask(now)
        return self._wait_for(engines, now + seconds, seconds)

    def close(self) -> None:
        """End what is still being asked or followed, in a pass that was given up as well."""
        for engine in (*self._engines, *(each for group in self._groups for each in group.list_made())):
            engine.give_up()
            if self._follow and isinstance(engine.source, Followable):
                engine.source.unfollow()

    def _ask(self, engines: Iterable[AskedSource], now: float) -> None:
        for engine in engines:
            if self._follow and isinstance(engine.source, Followable):
                engine.source.follow(self._clock)
            engine.ask(now)
            self._asked.append(engine)

    def _ask_groups(self, wanted: Collection[ContainerId]) -> None:
        """Ask group after group until all that is wanted has a name, and all the rest once somebody is slow."""
        nameless = set(wanted)
        patience = self._deadline - self._deadline_seconds * _PATIENCE
        while self._unasked:
            settled = [engine.has_settled(patience, self._clock) for engine in self._asked]
            nameless.difference_update(
                container.id
                for engine in self._asked
                if engine not in self._engines or engine.source.named
                for container in engine.peek()
                if container.name is not None
            )
            if not nameless:
                return
            groups = self._unasked[:1] if all(settled) else self._unasked[:]
            del self._unasked[: len(groups)]
            now = self._clock()
            # A pass may have taken longer than the deadline; who is asked after it has a little time all the same.
            self._deadline = max(self._deadline, now + _LEAST_SECONDS)
            self._ask([engine for group in groups for engine in group.list_engines()], now)

    def _wait_for(self, engines: Sequence[AskedSource], deadline: float, within_seconds: float) -> Answers:
        containers: list[Container] = []
        gaps: list[Gap] = []
        asked: list[str] = []
        for engine in engines:
            engine.wait(deadline, within_seconds, self._clock)
            containers += engine.containers
            if engine.serves_other:
                continue
            if engine.was_asked:
                asked.append(engine.source.subject)
            if engine.failure is not None:
                gaps.append(_make_gap(engine.source.subject, engine.failure))
        kept = self._memory.update(containers, self._clock())
        return Answers(tuple(containers), tuple(gaps), tuple(asked), kept)


def _make_gap(source: str, failure: str) -> Gap:
    reason = Reason.NOT_ASKED if failure.startswith("not asked") else Reason.NO_ANSWER
    return Gap(Stage.NAMES, Subject(Kind.SOURCE, source), reason, detail=failure)


class _Group:
    """Sources that are made only when they are asked for the first time."""

    def __init__(self, make: MakeSources) -> None:
        self._make = make
        self._engines: list[AskedSource] | None = None

    def list_engines(self) -> list[AskedSource]:
        """All of them."""
        if self._engines is None:
            self._engines = [AskedSource(source) for source in self._make()]
        return self._engines

    def list_made(self) -> list[AskedSource]:
        """Those that were asked before."""
        return self._engines or []


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
