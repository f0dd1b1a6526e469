"""One source, asked again and again: the question that goes on in a thread, and the breaker.

A question is never waited for longer than the pass may wait. One that an engine does not answer
goes on, so that the engine's return is seen.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

from nsagent.errors import NotServed, RuntimeUnavailable
from nsagent.model.container import Container, Engine
from nsagent.runtimes.connect import is_silence
from nsagent.runtimes.source import Identifiable, Owned, Source

_FAILURES_TO_OPEN = 3
_OPEN_SECONDS = 60.0
_REPEAT_SECONDS = 1.0


class AskedSource:
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
