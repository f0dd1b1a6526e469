"""All engines of a host, asked at once, within one deadline.

An Engines lives as long as its user: one pass for the command line, all passes for the agent. It
holds what must outlast a pass: which engines failed, and which are still being waited for.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from nsagent.errors import RuntimeUnavailable
from nsagent.model.container import Container
from nsagent.model.facts import Gap, Stage

_FAILURES_TO_OPEN = 3
_OPEN_SECONDS = 60.0


class Source(Protocol):
    """One engine; `subject` names it in gaps, as in `docker (unix:///run/docker.sock)`."""

    @property
    def subject(self) -> str: ...

    def list_containers(self) -> tuple[Container, ...]:
        """What it knows. Raises RuntimeUnavailable, and nothing else."""

    def abandon(self) -> None:
        """Called from another thread: end list_containers, which nobody waits for any longer."""


class _Ask:
    """One question to one source in one pass; a late answer stays in here and reaches no later pass."""

    def __init__(self, source: Source) -> None:
        self.containers: tuple[Container, ...] | None = None
        self.failure: str | None = None
        self.answered = threading.Event()
        self._source = source
        # A daemon: an engine that hangs must not keep the process from exiting.
        self.thread = threading.Thread(target=self._run, name=f"ask {source.subject}", daemon=True)

    def is_pending(self) -> bool:
        """Whether its source is still at it."""
        return self.thread.is_alive() and not self.answered.is_set()

    def _run(self) -> None:
        try:
            self.containers = self._source.list_containers()
        except RuntimeUnavailable as err:
            self.failure = str(err)
        finally:
            self.answered.set()


class _Breaker:
    """Whether to ask a source: after three failures in a row not for a minute, then once more."""

    def __init__(self) -> None:
        self.open_until: float | None = None
        self._failures = 0

    def record(self, *, failed: bool, now: float) -> None:
        self._failures = self._failures + 1 if failed else 0
        self.open_until = now + _OPEN_SECONDS if self._failures >= _FAILURES_TO_OPEN else None


class Engines:
    """The engines that are asked for names; not for use from two threads at once.

    `clock` is monotonic, in seconds. `deadline_seconds` counts from `start`.
    """

    def __init__(self, sources: Sequence[Source], deadline_seconds: float = 2.0, *, clock: Callable[[], float]) -> None:
        self._sources = tuple(sources)
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._breakers = [_Breaker() for _ in self._sources]
        self._asks: list[_Ask | None] = [None for _ in self._sources]
        self._skipped: dict[int, str] = {}
        self._started_at: float | None = None

    def start(self) -> None:
        """Ask every source in a thread of its own and return at once; what an earlier start asked is forgotten."""
        self._started_at = self._clock()
        self._skipped = {}
        for index, source in enumerate(self._sources):
            earlier = self._asks[index]
            open_until = self._breakers[index].open_until
            if earlier is not None and earlier.is_pending():
                source.abandon()
                self._skipped[index] = "not asked: still busy with an earlier question"
            elif open_until is not None and self._started_at < open_until:
                wait_seconds = open_until - self._started_at
                self._skipped[index] = f"not asked: it failed {_FAILURES_TO_OPEN} times, next in {wait_seconds:.0f} s"
            else:
                ask = self._asks[index] = _Ask(source)
                try:
                    ask.thread.start()
                except RuntimeError:
                    # EAGAIN of clone(2): RLIMIT_NPROC or the pids limit of the cgroup.
                    self._skipped[index] = "not asked: no thread can be started"

    def collect(self) -> tuple[tuple[Container, ...], tuple[Gap, ...], tuple[str, ...]]:
        """The containers, what failed, and the subjects of the sources that were asked since `start`.

        Waits until all have answered, at most until the deadline. Containers are in the order of
        the sources, so that an id that two of them know comes first from the first.
        """
        if self._started_at is None:
            return (), (), ()
        containers: list[Container] = []
        gaps: list[Gap] = []
        asked: list[str] = []
        for index, source in enumerate(self._sources):
            reason = self._skipped.get(index)
            if reason is None:
                asked.append(source.subject)
                answer, reason = self._wait_for(index, source)
                containers += answer
            if reason is not None:
                gaps.append(Gap(Stage.NAMES, source.subject, reason))
        self._started_at = None
        return tuple(containers), tuple(gaps), tuple(asked)

    def close(self) -> None:
        """End what is still being asked, in a pass that was given up as well."""
        for source, ask in zip(self._sources, self._asks, strict=True):
            if ask is not None and ask.is_pending():
                source.abandon()

    def _wait_for(self, index: int, source: Source) -> tuple[tuple[Container, ...], str | None]:
        """The answer of one source, or why there is none."""
        ask = self._asks[index]
        if ask is None or self._started_at is None:
            return (), None
        deadline = self._started_at + self._deadline_seconds
        ask.answered.wait(max(0.0, deadline - self._clock()))
        containers: tuple[Container, ...] | None = None
        if not ask.answered.is_set():
            source.abandon()
            reason: str | None = f"no answer within {self._deadline_seconds:g} s"
        else:
            containers, reason = ask.containers, ask.failure
            if containers is None and reason is None:
                reason = "the question ended without an answer, by a fault of nsagent"
        self._breakers[index].record(failed=containers is None, now=self._clock())
        return containers or (), reason
