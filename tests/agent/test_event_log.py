"""What an agent keeps of events, and what a report of them has to tell."""

import pytest

from nsagent.agent.event_log import EventLog
from nsagent.agent.pending_events import PendingEvents
from nsagent.agent.reports import ReportMaker
from nsagent.agent.status import EventCounts
from nsagent.config.model import Report
from nsagent.errors import Ambiguous
from nsagent.events.losses import Losses
from nsagent.model.change import Change
from nsagent.model.ids import Pid
from nsagent.model.named_event import EventsHead, EventsOf, LostEvents, NamedEvent, NamedProcessEvent
from nsagent.model.net import Endpoint, SocketState
from nsagent.model.process_event import ProcessEventKind
from nsagent.model.snapshot import Snapshot
from nsagent.model.socket_event import OwnerSource, SocketEvent, SocketEventKind, SocketEventSource
from nsagent.query.filter import Filter, make_filter, narrow_filter
from nsagent.scan.diff import diff_snapshots
from tests.events.named import PID, in_web
from tests.scan.snapshots import T0, T1, container, process, snapshot, socket

KINDS = ProcessEventKind
FORK, EXEC, EXIT = in_web(KINDS.FORK), in_web(KINDS.EXEC), in_web(KINDS.EXIT)
ENDS = (Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.9", 443))
EMPTY, FULL = snapshot(), snapshot(socket(SocketState.ESTABLISHED, *ENDS, process(20, "curl"), cookie=2), taken_at=T1)
HEAD = EventsHead("node-1", T0)


@pytest.fixture
def log() -> EventLog:
    made = EventLog(most=5, wall_clock=lambda: 1000.0)
    made.wanted = True
    return made


def take(log: EventLog, named: NamedProcessEvent) -> None:
    """As the feed hands it on."""
    log.count_one(named.event, named.identity)
    log.keep(named)


def destroyed(source: OwnerSource) -> SocketEvent:
    [change] = [one for one in diff_snapshots(FULL, EMPTY) if one.socket is not None]
    return SocketEvent(SocketEventKind.CLOSE, change, SocketEventSource.DESTROY, source)


def learn(log: EventLog, before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    changes = diff_snapshots(before, after)
    log.learn(after, changes)
    return changes


def kinds(events: tuple[NamedEvent, ...]) -> list[str]:
    return [
        "lost" if isinstance(one, LostEvents) else one.event.kind if isinstance(one, NamedProcessEvent) else one.kind
        for one in events
    ]


def test_events_come_in_their_order_and_are_let_go_with_a_count(log: EventLog) -> None:
    for each in (FORK, EXEC, in_web(KINDS.COMM, comm="x"), EXIT):
        take(log, each)
    learn(log, EMPTY, FULL)
    assert (kinds(log.list_since(0).events), log.list_since(0).missed) == (["fork", "exec", "exit", "open"], 0)
    log.lose(EventsOf.PROCESS, Losses(1, 7))
    log.lose(EventsOf.PROCESS, Losses(1, 7))
    log.take_socket(destroyed(OwnerSource.SNAPSHOT))
    since = log.list_since(0)
    assert (kinds(since.events), since.missed, since.last) == (["exec", "exit", "open", "lost", "close"], 1, 6)
    assert since.events[3] == LostEvents(1000.0, EventsOf.PROCESS, 7)
    assert kinds(log.list_since(5).events) == ["close"]
    assert log.list_since(6) == ((), 0, 6)


def test_a_loss_is_told_also_where_nobody_knows_how_many_were_lost(log: EventLog) -> None:
    log.lose(EventsOf.SOCKET, Losses(1, 0))
    log.lose(EventsOf.SOCKET, Losses(1, 4))
    assert [one.number for one in log.list_since(0).events if isinstance(one, LostEvents)] == [0, 4]


def test_whoever_listens_after_another_one_counts_his_own_losses(log: EventLog) -> None:
    """As under another config: 2 lost after 7 are no 5 that were found again."""
    log.lose(EventsOf.PROCESS, Losses(1, 7))
    log.hear_anew(EventsOf.PROCESS)
    log.lose(EventsOf.PROCESS, Losses())
    log.lose(EventsOf.PROCESS, Losses(1, 2))
    assert [one.number for one in log.list_since(0).events if isinstance(one, LostEvents)] == [7, 2]
    assert log.count().lost == {"process": 9, "socket": 0}


def test_an_end_that_the_kernel_told_is_not_told_by_the_next_pass(log: EventLog) -> None:
    learn(log, EMPTY, FULL)
    log.take_socket(destroyed(OwnerSource.SNAPSHOT))
    learn(log, FULL, EMPTY)
    assert kinds(log.list_since(0).events) == ["open", "close"]


def test_without_a_report_of_events_nothing_is_kept_but_counted(log: EventLog) -> None:
    log.wanted = False
    for each in (FORK, EXEC, EXIT):
        take(log, each)
    learn(log, EMPTY, FULL)
    log.take_socket(destroyed(OwnerSource.NONE))
    log.lose(EventsOf.SOCKET, Losses(1, 3))
    assert log.list_since(0) == ((), 0, 0)
    assert log.count() == EventCounts(
        {"fork": 1, "exec": 1, "exit": 1}, 1, {"open": 1, "close": 1, "change": 0}, 1, {"process": 0, "socket": 3}
    )


def test_a_process_that_a_pass_has_met_was_not_short_lived(log: EventLog) -> None:
    """Also one that began while the pass was under way, which has not met it, and ends before the next."""
    met = snapshot()
    for pid in (PID, Pid(11)):
        take(log, in_web(KINDS.FORK, child=pid))
    log.learn(replace_processes(met, PID), ())
    for pid in (PID, Pid(11)):
        take(log, in_web(KINDS.EXIT, pid=pid))
    assert log.count().short_lived_processes == 1


def replace_processes(given: Snapshot, *pids: int) -> Snapshot:
    return given._replace(processes=tuple(process(pid) for pid in pids))


def see(pending: PendingEvents, log: EventLog, after: Snapshot) -> None:
    pending.see(after, log, HEAD)


def test_a_report_tells_what_came_since_the_one_before(log: EventLog) -> None:
    pending = PendingEvents(Filter())
    assert pending.take() == (None, ())
    take(log, FORK)
    see(pending, log, EMPTY)
    assert pending.take() == (HEAD._replace(until=T0), ())
    learn(log, EMPTY, FULL)
    see(pending, log, FULL)
    head, events = pending.take()
    assert (head, kinds(events)) == (HEAD._replace(until=T1), ["open"])
    see(pending, log, FULL)
    assert pending.take() == (HEAD._replace(since=T1, until=T1), ())


def test_of_too_many_events_a_report_tells_the_last_ones_and_how_many_it_misses(log: EventLog) -> None:
    pending = PendingEvents(Filter(), most=2)
    see(pending, log, EMPTY)
    for _ in range(8):
        take(log, EXEC)
    see(pending, log, EMPTY)
    head, events = pending.take()
    assert head is not None
    assert (head.missed, len(events)) == (6, 2)
    head, _ = pending.take()
    assert head is not None
    assert head.missed == 0


def test_a_report_tells_what_its_filter_asks_for_though_nobody_has_that_name_yet(log: EventLog) -> None:
    pending = PendingEvents(narrow_filter(make_filter(container=["web"]), port=["443"]))
    see(pending, log, EMPTY)
    web = container("web")
    come = snapshot(
        socket(SocketState.ESTABLISHED, *ENDS, process(20, container=web), cookie=2), taken_at=T1, containers=[web]
    )
    take(log, EXEC)
    learn(log, EMPTY, come)
    log.lose(EventsOf.PROCESS, Losses(1, 1))
    see(pending, log, come)
    assert kinds(pending.take()[1]) == ["open", "lost"]


def test_a_name_that_means_several_things_fails_the_report_until_it_does_no_more(log: EventLog) -> None:
    pending = PendingEvents(make_filter(container=["web"]))
    see(pending, log, snapshot(containers=[container("web"), container("web", "b")]))
    with pytest.raises(Ambiguous):
        pending.take()
    see(pending, log, snapshot(containers=[container("web")]))
    assert kinds(pending.take()[1]) == []


def test_another_config_goes_on_where_the_report_was(log: EventLog) -> None:
    report = Report.model_validate(
        {"name": "r", "every": "1m", "view": "events", "format": "csv", "columns": ["event"]}
    )
    before, after = ReportMaker(report), ReportMaker(report)
    before.see_events(EMPTY, log, HEAD)
    learn(log, EMPTY, FULL)
    before.see_events(FULL, log, HEAD)
    after.take_over(before)
    [written] = after.make(FULL)
    assert written.data.decode().split() == ['"event"', '"open"']
