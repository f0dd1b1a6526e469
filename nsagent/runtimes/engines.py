"""All engines of a host, asked within one deadline: the best at once, others for what those do not name.

An Engines lives as long as its user: one pass for the command line, all passes for the agent. It
holds what must outlast a pass: which engines failed, which are still being waited for, and the
containers that nobody lists any longer.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, runtime_checkable

from nsagent.errors import NotServed, RuntimeUnavailable
from nsagent.model.container import Container, Engine
from nsagent.model.facts import Gap, Stage
from nsagent.model.ids import ContainerId
from nsagent.runtimes.connect import is_silence

_FAILURES_TO_OPEN = 3
_OPEN_SECONDS = 60.0
_REPEAT_SECONDS = 1.0
_LEAST_SECONDS = 0.5
_PATIENCE = 0.5
"""The part of the deadline that is left for further groups where an engine is slow."""

_KEPT_SECONDS = 600.0
_KEPT_CONTAINERS = 4096


class Source(Protocol):
    """One engine; `subject` names it in gaps, as in `docker (unix:///run/docker.sock)`.

    `named`: somebody asked for it. One that was merely found and serves something else is no gap.
    """

    @property
    def subject(self) -> str: ...

    @property
    def named(self) -> bool: ...

    def list_containers(self) -> tuple[Container, ...]:
        """What it knows. Raises RuntimeUnavailable, and nothing else."""

    def abandon(self) -> None:
        """Called from another thread: end list_containers, which nobody waits for any longer."""


MakeSources = Callable[[], Sequence[Source]]
"""Makes the sources of one group; what they need is loaded then."""


@runtime_checkable
class Identifiable(Protocol):
    """A source that can tell an engine from the same engine started anew."""

    def identify(self) -> object | None:
        """What is another after a start; None where that cannot be told."""


@runtime_checkable
class Owned(Protocol):
    """A source with a socket."""

    def read_owner(self) -> int | None:
        """The uid that it belongs to; None where that cannot be told."""


@runtime_checkable
class Followable(Protocol):
    """A source that has to ask less while it follows what happens in its engine."""

    def follow(self, clock: Callable[[], float]) -> None: ...

    def unfollow(self) -> None: ...


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
        self._engines = [_Engine(source) for source in sources]
        self._groups = [_Group(make) for make in groups]
        self._asked: list[_Engine] = []
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

    def _ask(self, engines: Iterable["_Engine"], now: float) -> None:
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

    def _wait_for(self, engines: Sequence["_Engine"], deadline: float, within_seconds: float) -> Answers:
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
                gaps.append(Gap(Stage.NAMES, engine.source.subject, engine.failure))
        kept = self._memory.update(containers, self._clock())
        return Answers(tuple(containers), tuple(gaps), tuple(asked), kept)


class _Group:
    """Sources that are made only when they are asked for the first time."""

    def __init__(self, make: MakeSources) -> None:
        self._make = make
        self._engines: list[_Engine] | None = None

    def list_engines(self) -> list["_Engine"]:
        """All of them."""
        if self._engines is None:
            self._engines = [_Engine(source) for source in self._make()]
        return self._engines

    def list_made(self) -> list["_Engine"]:
        """Those that were asked before."""
        return self._engines or []


class _Engine:
    """One source with its breaker: after three failures in a row it is not asked for a minute, then once more.

    The breaker closes at once when the engine was started anew, and when one that hung answers at
    last. `containers` and `failure` are what came of the last question; `serves_other`: it was
    merely found, and is no engine of its kind.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.containers: tuple[Container, ...] = ()
        self.failure: str | None = None
        self.was_asked = False
        self.has_answered = False
        self.serves_other = False
        self._question: _Question | None = None
        self._identity: object | None = None
        self._failures = 0
        self._open_until: float | None = None

    def ask(self, now: float) -> None:
        """Put the question in a thread of its own; `failure` says why not."""
        self.containers, self.has_answered = (), False
        self.failure = self._find_obstacle(now)
        self.was_asked = self.failure is None
        if self.was_asked:
            self._question = _Question(self.source, now)
            if not self._question.start():
                self.failure, self.was_asked = "not asked: no thread can be started", False

    def wait(self, deadline: float, within_seconds: float, clock: Callable[[], float]) -> None:
        """Wait for the answer until the deadline, which was `within_seconds` after the question."""
        question = self._question
        if question is None or not self.was_asked:
            return
        question.answered.wait(max(0.0, deadline - clock()))
        if not question.answered.is_set():
            question.is_missed = True
            self.failure = f"no answer within {round(within_seconds, 2):g} s"
        elif question.containers is not None:
            self.containers = question.containers
        else:
            self.failure = question.failure or "the question ended without an answer, by a fault of nsagent"
        self.has_answered = self.failure is None
        self.serves_other = question.is_refused and not self.source.named
        self._failures = 0 if self.has_answered else self._failures + 1
        self._open_until = clock() + _OPEN_SECONDS if self._failures >= _FAILURES_TO_OPEN else None

    def has_settled(self, deadline: float, clock: Callable[[], float]) -> bool:
        """Whether it has answered, or will not, by this deadline; waits for it."""
        if self._question is None or not self.was_asked:
            return True
        return self._question.answered.wait(max(0.0, deadline - clock()))

    def peek(self) -> tuple[Container, ...]:
        """What it has answered so far."""
        return (self._question and self.was_asked and self._question.containers) or ()

    def give_up(self) -> None:
        """End the question that it is still at, if any."""
        if self._question is not None and self._question.is_pending():
            self._question.give_up()

    def _find_obstacle(self, now: float) -> str | None:
        """Why it is not to be asked now; None if it is."""
        question = self._question
        if question is not None and question.is_pending():
            if now - question.asked_at >= _OPEN_SECONDS:
                question.give_up()
            return "not asked: still busy with an earlier question"
        identity = self.source.identify() if isinstance(self.source, Identifiable) else None
        is_new = identity is not None and identity != self._identity
        if is_new or (question is not None and question.has_come_late()):
            self._failures, self._open_until = 0, None
        if self._open_until is not None and now < self._open_until:
            return f"not asked: it failed {_FAILURES_TO_OPEN} times, next in {self._open_until - now:.0f} s"
        self._identity = identity
        return None


class _Question:
    """One question to one source; a late answer stays in here and reaches no later pass.

    An engine that is silent for longer than its source waits is asked on, until it says anything
    or the question is given up: so that its return is seen, with one connection at a time.
    """

    def __init__(self, source: Source, asked_at: float) -> None:
        self.asked_at = asked_at
        self.answered = threading.Event()
        self.containers: tuple[Container, ...] | None = None
        self.failure: str | None = None
        self.is_refused = False
        self.is_missed = False
        self._source = source
        self._given_up = threading.Event()
        self._ended = threading.Event()
        self._is_silent = True
        # A daemon: an engine that hangs must not keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name=f"ask {source.subject}", daemon=True)

    def start(self) -> bool:
        """Whether the thread could be started."""
        try:
            self._thread.start()
        except RuntimeError:
            # EAGAIN of clone(2): RLIMIT_NPROC or the pids limit of the cgroup.
            return False
        return True

    def give_up(self) -> None:
        """End it soon, whatever it is at."""
        self._given_up.set()
        self._source.abandon()

    def is_pending(self) -> bool:
        """Whether its source is still at it."""
        return self._thread.is_alive() and not self._ended.is_set()

    def has_come_late(self) -> bool:
        """Whether the engine said something, whatever it was, after it had been silent for too long."""
        return self.is_missed and self._ended.is_set() and not (self._is_silent or self._given_up.is_set())

    def _run(self) -> None:
        try:
            self._put()
            self.answered.set()
            while self._is_silent and not self._given_up.wait(_REPEAT_SECONDS):
                self.is_missed = True
                self._put()
        finally:
            self.answered.set()
            self._ended.set()

    def _put(self) -> None:
        """Put the question once; only what comes first counts as the answer."""
        containers, failure = None, None
        try:
            source = self._source
            owner = source.read_owner() if isinstance(source, Owned) else None
            engine = Engine(source.subject, owner, source.named)
            containers = tuple(replace(container, engine=engine) for container in source.list_containers())
            self._is_silent = False
        except RuntimeUnavailable as err:
            failure = str(err)
            self._is_silent = is_silence(err)
            self.is_refused = isinstance(err, NotServed)
        if not self.answered.is_set():
            self.containers, self.failure = containers, failure


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
