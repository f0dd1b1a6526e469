"""The ends of sockets, handed on, and what is said once they are heard of no more."""

from collections.abc import Callable

import pytest

from nsagent.agent.event_log import EventLog
from nsagent.agent.socket_feed import SocketFeed
from nsagent.errors import EventsUnavailable, NotRead, Reason
from nsagent.events.known_sockets import list_nobody
from nsagent.events.losses import Losses
from nsagent.events.socket_events import Source
from nsagent.kernel.destroy_events import EndedBatch
from nsagent.kernel.proc_events import EventsLost
from nsagent.kernel.procfs import ProcFs
from tests.events.test_socket_events import Kernel, end
from tests.kernel.conftest import same_fds
from tests.live.deadlines import until

__all__ = ["same_fds"]


class Failing(Kernel):
    """A source that cannot be read from any more."""

    def read(self) -> EndedBatch:
        raise NotRead("socket events", Reason.FAILED, "ENOMEM")


def refuse() -> Source:
    raise EventsUnavailable("made so", Reason.DENIED)


pytestmark = pytest.mark.usefixtures("same_fds")


def make_feed(
    connect: Callable[[ProcFs], Source],
    tell: Callable[[str], None],
    log: EventLog | None = None,
    again_seconds: float = 60.0,
) -> SocketFeed:
    return SocketFeed(
        "/proc",
        log or EventLog(),
        list_lodgers=list_nobody,
        tell=tell,
        share=1.0,
        connect=connect,
        again_seconds=again_seconds,
    )


def test_what_cannot_be_heard_any_more_is_not_said_to_be_heard() -> None:
    told: list[str] = []
    feed = make_feed(lambda _: Failing(), told.append)
    before = feed.is_heard
    feed.begin()
    until(lambda: told, "it is told")
    assert (before, feed.is_heard) == (True, False)
    assert feed.reason is not None
    assert told == [f"socket events: {feed.reason}: passes tell the rest"]
    feed.close()


def test_what_ends_is_heard_again_and_what_was_told_meanwhile_is_lost() -> None:
    log, told, kernel = EventLog(), list[str](), Kernel()
    ways: list[Callable[[], Source]] = [Failing, refuse, refuse, lambda: kernel]
    feed = make_feed(lambda _: ways.pop(0)(), told.append, log, again_seconds=0.01)
    feed.begin()
    until(lambda: not ways and feed.is_heard, "it is heard again")
    kernel.tell(end(), lost=EventsLost(3, afresh=False))
    until(lambda: log.count().sockets["close"], "what is told then")
    assert (feed.reason, feed.losses) == (None, Losses(gaps=1, events=3))
    assert [line.split(": ")[-2] for line in told] == ["ENOMEM", "made so"]
    feed.close()
    assert kernel.closed


def test_what_cannot_be_heard_for_a_moment_is_heard_later_and_told_once() -> None:
    """As where no file could be opened when the agent began, which goes on for months."""
    told: list[str] = []
    log, failing = EventLog(), EventsUnavailable("made so", Reason.FAILED, "EMFILE")
    tries = iter([failing, failing, failing])

    def connect(_: ProcFs) -> Source:
        if (failure := next(tries, None)) is not None:
            raise failure
        return Kernel()

    feed = make_feed(connect, told.append, log, again_seconds=0.01)
    feed.begin()
    until(lambda: feed.is_heard, "it is heard")
    assert (told, feed.losses) == (["socket events: made so: passes tell the rest"], Losses(gaps=1))
    feed.close()


def test_what_was_never_heard_is_told_once() -> None:
    told: list[str] = []
    feed = make_feed(lambda _: refuse(), told.append)
    feed.begin()
    feed.close()
    assert (feed.is_heard, feed.reason) == (False, "made so")
    assert told == ["socket events: made so: passes tell the rest"]
