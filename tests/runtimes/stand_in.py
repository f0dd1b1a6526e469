"""A source that does what a test wants, and a clock that goes when a test wants."""

import threading
import time
from collections.abc import Callable, Iterator

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.model.container import Container, NameState
from nsagent.model.ids import ContainerId


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class StandIn:
    """A source that does what its next behaviour says; `identity` is that of its engine."""

    def __init__(
        self, subject: str, *behaviours: Callable[["StandIn"], tuple[Container, ...]], named: bool = True
    ) -> None:
        self.subject = subject
        self.named = named
        self.identity: object | None = None
        self.abandoned = threading.Event()
        self.comes_back = threading.Event()
        self.asked = 0
        self._behaviours: Iterator[Callable[[StandIn], tuple[Container, ...]]] = iter(behaviours)

    def list_containers(self) -> tuple[Container, ...]:
        self.asked += 1
        return next(self._behaviours)(self)

    def abandon(self) -> None:
        self.abandoned.set()

    def identify(self) -> object | None:
        return self.identity


def knows(*names: str) -> Callable[[StandIn], tuple[Container, ...]]:
    """Answer with containers of these names."""
    return lambda source: tuple(
        Container(ContainerId(name), name, NameState.KNOWN, None, None, True, source.subject) for name in names
    )


def fails(source: StandIn) -> tuple[Container, ...]:
    raise RuntimeUnavailable("broken")


def hangs(source: StandIn) -> tuple[Container, ...]:
    """Until it is abandoned, and then say something that nobody wants to hear."""
    source.abandoned.wait()
    return knows("late")(source)


def is_no_engine(source: StandIn) -> tuple[Container, ...]:
    raise RuntimeUnavailable("it speaks no HTTP", Reason.NOT_SERVED)


def hangs_until_it_comes_back(source: StandIn) -> tuple[Container, ...]:
    """Answers late; what it says then is out of date."""
    source.comes_back.wait(60)
    return knows("late")(source)


def times_out(source: StandIn) -> tuple[Container, ...]:
    """The source itself is tired of waiting."""
    raise RuntimeUnavailable("no answer within 0.1 s", Reason.NO_ANSWER)


def names(containers: tuple[Container, ...]) -> list[str | None]:
    return [container.name for container in containers]


def find_threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Fail unless it holds in time."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def let_return(source: StandIn) -> None:
    """The engine goes on, and its late answer is there."""
    source.comes_back.set()
    wait_until(lambda: not find_threads(f"ask {source.subject}"))
