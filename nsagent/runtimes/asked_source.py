"""One source, asked again and again: the question that goes on in a thread, and the breaker.

A question is never waited for longer than the pass may wait. One that a runtime does not answer
goes on, so that the runtime's return is seen.
"""

import threading
from collections.abc import Callable

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.model.container import Container, NameState, ToldBy
from nsagent.runtimes.source import Failure, Identifiable, LeftOut, Owned, Preparable, Source, Sparing

_FAILURES_TO_OPEN = 3
_OPEN_SECONDS = 60.0
_REPEAT_SECONDS = 1.0
_NAME_LENGTH = 1024
"""More than any container, image or pod is called; a table is as wide as the longest."""

_LOADING_SECONDS = 1.0
"""How much longer than the deadline a runtime is waited for at most because its client was loaded first."""


class AskedSource:
    """One source with its breaker: after three failures in a row it is not asked for a minute, then once more.

    The breaker closes at once when the runtime was started anew, and when one that hung answers at
    last. `containers`, `left_out` and `failure` are what came of the last question, and `seconds` how long that
    took, the loading of its client included; None while nothing came. `clock` is monotonic, in seconds.
    """

    def __init__(self, source: Source, clock: Callable[[], float]) -> None:
        self.source = source
        self.containers: tuple[Container, ...] = ()
        self.left_out: tuple[LeftOut, ...] = ()
        self.failure: Failure | None = None
        self.was_asked = False
        self.has_answered = False
        self._clock = clock
        self._question: _Question | None = None
        self._identity: object | None = None
        self._failures = 0
        self._open_until: float | None = None

    @property
    def serves_other(self) -> bool:
        """Whether it was merely found, and is no runtime of its kind."""
        return self._is_idle_by(Reason.NOT_SERVED)

    @property
    def lacks_extra(self) -> bool:
        """Whether it was merely found, and what asks it is not installed."""
        return self._is_idle_by(Reason.MISSING_EXTRA)

    @property
    def seconds(self) -> float | None:
        """How long the last answer took, whatever it was."""
        return self._question.seconds if self._question is not None else None

    def ask(self) -> None:
        """Put the question in a thread of its own; `failure` says why not."""
        self.containers, self.left_out, self.has_answered = (), (), False
        self.failure = self._find_obstacle(self._clock())
        self.was_asked = self.failure is None
        if self.was_asked:
            self._question = _Question(self.source, self._clock)
            if not self._question.start():
                self.failure, self.was_asked = Failure(Reason.NOT_ASKED, "not asked: no thread can be started"), False

    def wait(self, deadline: float, within_seconds: float) -> None:
        """Wait for the answer until the deadline, which was `within_seconds` after the question.

        The time in which the client was loaded is no time of the runtime's: it has that longer.
        """
        question = self._question
        if question is None or not self.was_asked:
            return
        if question.prepared.wait(max(0.0, deadline - self._clock())):
            deadline = max(deadline, min(question.prepared_at + within_seconds, deadline + _LOADING_SECONDS))
        question.answered.wait(max(0.0, deadline - self._clock()))
        if not question.answered.is_set():
            question.is_missed = True
            self.failure = Failure(Reason.NO_ANSWER, f"no answer within {round(within_seconds, 2):g} s")
        elif question.containers is not None:
            self.containers, self.left_out = question.containers, question.left_out
        else:
            fault = Failure(Reason.FAILED, "the question ended without an answer, by a fault of nsagent")
            self.failure = question.failure or fault
        self.has_answered = self.failure is None
        self._failures = 0 if self.has_answered else self._failures + 1
        self._open_until = self._clock() + _OPEN_SECONDS if self._failures >= _FAILURES_TO_OPEN else None

    def has_settled(self, deadline: float) -> bool:
        """Whether it has answered, or will not, by this deadline; waits for it."""
        if self._question is None or not self.was_asked:
            return True
        return self._question.answered.wait(max(0.0, deadline - self._clock()))

    def peek(self) -> tuple[Container, ...]:
        """What it has answered so far."""
        return (self._question and self.was_asked and self._question.containers) or ()

    def give_up(self) -> None:
        """End the question that it is still at, if any."""
        if self._question is not None and self._question.is_pending():
            self._question.give_up()

    def _is_idle_by(self, reason: Reason) -> bool:
        """Whether nobody asked for it, and it failed by that when it was asked last."""
        failure = None if self._question is None else self._question.failure
        return not self.source.named and failure is not None and failure.reason is reason

    def _find_obstacle(self, now: float) -> Failure | None:
        """Why it is not to be asked now; None if it is."""
        question = self._question
        if question is not None and question.is_pending():
            if now - question.asked_at >= _OPEN_SECONDS:
                question.give_up()
            return Failure(Reason.NOT_ASKED, "not asked: still busy with an earlier question")
        identity = self.source.identify() if isinstance(self.source, Identifiable) else None
        is_new = identity is not None and identity != self._identity
        if is_new or (question is not None and question.has_come_late()):
            self._failures, self._open_until = 0, None
        if self._open_until is not None and now < self._open_until:
            rest = f"next in {self._open_until - now:.0f} s"
            return Failure(Reason.NOT_ASKED, f"not asked: it failed {_FAILURES_TO_OPEN} times, {rest}")
        self._identity = identity
        return None


class _Question:
    """One question to one source; a late answer stays in here and reaches no later pass.

    A runtime that is silent for longer than its source waits is asked on, until it says anything
    or the question is given up: so that its return is seen, with one connection at a time.
    """

    def __init__(self, source: Source, clock: Callable[[], float]) -> None:
        self.asked_at = clock()
        self.prepared_at = self.asked_at
        self.prepared = threading.Event()
        self.answered = threading.Event()
        self.containers: tuple[Container, ...] | None = None
        self.left_out: tuple[LeftOut, ...] = ()
        self.failure: Failure | None = None
        self.seconds: float | None = None
        self.is_missed = False
        self._source = source
        self._clock = clock
        self._given_up = threading.Event()
        self._ended = threading.Event()
        self._is_silent = True
        # A daemon: a runtime that hangs must not keep the process from exiting.
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
        """Whether the runtime said something, whatever it was, after it had been silent for too long."""
        return self.is_missed and self._ended.is_set() and not (self._is_silent or self._given_up.is_set())

    def _run(self) -> None:
        try:
            self._put()
            if not self._is_silent:
                # Before it counts as answered: who waited for that may ask again at once.
                self._ended.set()
            self.prepared.set()
            self.answered.set()
            while self._is_silent and not self._given_up.wait(_REPEAT_SECONDS):
                self.is_missed = True
                self._put()
        finally:
            self._ended.set()
            self.prepared.set()
            self.answered.set()

    def _put(self) -> None:
        """Put the question once; only what comes first counts as the answer."""
        containers, failure = None, None
        left_out: tuple[LeftOut, ...] = ()
        source = self._source
        try:
            if isinstance(source, Preparable):
                source.prepare()
            self._note_prepared()
            if self._given_up.is_set():
                source.abandon()
            listed = source.list_containers()
            owner, peer = (source.read_owner(), source.peer_pid) if isinstance(source, Owned) else (None, None)
            told_by = ToldBy(source.subject, owner, source.named, peer)
            containers = tuple(_bound_names(container._replace(told_by=told_by)) for container in listed)
            long = (LeftOut(Reason.TOO_LARGE, one.id) for one in listed if _is_long(one))
            left_out = (*(source.left_out if isinstance(source, Sparing) else ()), *long)
            self._is_silent = False
        except RuntimeUnavailable as err:
            failure = Failure(err.reason, str(err), err.errno)
            self._is_silent = err.reason is Reason.NO_ANSWER
        if not self.answered.is_set():
            self.containers, self.left_out, self.failure = containers, left_out, failure
            self.seconds = self._clock() - self.asked_at

    def _note_prepared(self) -> None:
        """From now on its time is the runtime's."""
        if not self.prepared.is_set():
            self.prepared_at = self._clock()
            self.prepared.set()


def _is_long(container: Container) -> bool:
    """Whether it, its image or its pod has a name that is none."""
    pod = container.pod
    names = (container.name, container.image, container.container_name)
    pods = (pod.uid, pod.name, pod.kube_namespace) if pod is not None else ()
    return any(name is not None and len(name) > _NAME_LENGTH for name in (*names, *pods))


def _bound_names(container: Container) -> Container:
    """The container, without any of its names if one is none."""
    if not _is_long(container):
        return container
    return container._replace(name=None, name_state=NameState.UNKNOWN, image=None, container_name=None, pod=None)
