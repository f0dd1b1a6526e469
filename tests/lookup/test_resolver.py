"""What a resolver answers, when it looks, and how old what it tells may be."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from nsagent.errors import ReadFailed, UsageError
from nsagent.lookup.monitored import Monitored
from nsagent.lookup.records import End, Holder, Resolution
from nsagent.lookup.resolver import Limits, Resolver
from nsagent.lookup.sight import Sight
from nsagent.model.ids import Pid
from nsagent.model.net import Endpoint, Protocol
from nsagent.model.snapshot import ChargedTo, OwnedSocket, Verdict, VerdictKind
from tests.lookup.looks import HERE, PEER, Clock, MadeLooks, own, row, see
from tests.scan.snapshots import ANY, HOST, WEB, container, process

BOX = container("web")
HTTPD, WORKER, CLIENT = process(10, "httpd", container=BOX), process(11, "worker", container=BOX), process(20, "curl")
LOCAL, REMOTE = Endpoint(HERE, 80), Endpoint(PEER, 5000)
SERVER = row(LOCAL, REMOTE, WORKER)
WAITS = row(Endpoint("0.0.0.0", 80), ANY, HTTPD)
SOURCE, DESTINATION = (PEER, 5000), (HERE, 80)
NOW = Limits(interval_seconds=0, patience_seconds=60)
"""Who asks waits for a look, and looks come as fast as they are asked for."""
UNWAITING = NOW._replace(patience_seconds=0)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def names(end: End | None) -> list[str] | None:
    return None if end is None else [holder.name for holder in end.holders]


def ask(resolver: Resolver, source: tuple[str, int] = SOURCE, destination: tuple[str, int] = DESTINATION) -> Resolution:
    return resolver.resolve("tcp", source, destination)


def await_looks(resolver: Resolver, count: int) -> None:
    with resolver._changed:
        assert resolver._changed.wait_for(lambda: resolver.looked >= count, 60)


def test_both_ends_are_told_whole_and_a_foreign_one_is_none(stack: ExitStack) -> None:
    resolver = stack.enter_context(Resolver(MadeLooks(see(WAITS, SERVER, containers=[BOX])), limits=NOW))
    worker = Holder(
        pid=Pid(11),
        start_ticks=100,
        started_at=1767323045.0,
        ppid=None,
        name="worker",
        exe="/usr/sbin/httpd",
        cwd="/",
        argv=("/usr/sbin/httpd", "-D", "FOREGROUND"),
        argv_cut=False,
        container=BOX,
        aliases=(),
    )
    end = End((worker,), BOX, (HOST,), (SERVER,))
    assert ask(resolver) == Resolution(None, end)
    assert ask(resolver, DESTINATION, SOURCE) == Resolution(end, None)


def test_both_ends_may_be_of_this_host(stack: ExitStack) -> None:
    client = row(Endpoint("10.0.0.2", 5000), LOCAL, CLIENT, netns=WEB)
    server = row(LOCAL, Endpoint("10.0.0.2", 5000), WORKER)
    looks = MadeLooks(see(client, server, netns=(own(HOST, f"{HERE}/32"), own(WEB, "10.0.0.2/32"))))
    told = ask(stack.enter_context(Resolver(looks, limits=NOW)), ("10.0.0.2", 5000))
    assert (names(told.source), names(told.destination)) == (["curl"], ["worker"])


def test_a_tuple_of_two_foreign_ends_is_nobody_s(stack: ExitStack) -> None:
    resolver = stack.enter_context(Resolver(MadeLooks(see(WAITS)), limits=NOW))
    assert ask(resolver, ("10.7.7.7", 1), ("10.7.7.8", 2)) == Resolution(None, None)


def test_a_local_end_that_nobody_holds_has_no_holders(stack: ExitStack) -> None:
    resolver = stack.enter_context(Resolver(MadeLooks(see(WAITS)), limits=NOW))
    assert ask(resolver, SOURCE, (HERE, 81)).destination == End((), None, (HOST,), ())


def test_bug_9_and_33_connections_of_one_local_port_are_told_apart(stack: ExitStack) -> None:
    """Old Packetbeat had one process for a port, the new one one for an address and a port."""
    other = row(LOCAL, Endpoint(PEER, 5001), process(12, "other"))
    udp = row(LOCAL, ANY, process(13, "dns"), protocol=Protocol.UDP)
    elsewhere = row(Endpoint("127.0.0.1", 80), ANY, process(14, "local"))
    resolver = stack.enter_context(Resolver(MadeLooks(see(WAITS, SERVER, other, udp, elsewhere)), limits=NOW))
    assert names(ask(resolver).destination) == ["worker"]
    assert names(ask(resolver, (PEER, 5001)).destination) == ["other"]
    assert names(ask(resolver, (PEER, 5002)).destination) == ["httpd"]
    assert names(resolver.resolve("udp", SOURCE, DESTINATION).destination) == ["dns"]
    assert names(ask(resolver, ("127.0.0.1", 9), ("127.0.0.1", 80)).destination) == ["local"]


def test_bug_31_a_dual_stack_listener_is_found_for_ipv4(stack: ExitStack) -> None:
    dual = row(Endpoint("::", 80), ANY, process(10, "java"), v6only=False)
    only = row(Endpoint("::", 81), ANY, process(11, "only"), v6only=True)
    resolver = stack.enter_context(Resolver(MadeLooks(see(dual, only)), limits=NOW))
    assert names(ask(resolver).destination) == ["java"]
    assert names(ask(resolver, SOURCE, (HERE, 81)).destination) == []
    assert names(ask(resolver, ("::1", 5000), ("::1", 81)).destination) == ["only"]
    assert names(ask(resolver, SOURCE, (f"::ffff:{HERE}", 80)).destination) == ["java"]


@pytest.mark.parametrize(
    ("charged", "kind", "expected"),
    [
        (ChargedTo(HTTPD.pid, None), VerdictKind.ACCEPT_QUEUE, ["httpd"]),
        (ChargedTo(None, BOX.id), VerdictKind.SYN_RECV, ["httpd", "worker"]),
        (ChargedTo(None, None), VerdictKind.ACCEPT_QUEUE, ["httpd", "worker", "curl"]),
        (None, VerdictKind.ACCEPT_QUEUE, []),
        (ChargedTo(HTTPD.pid, None), VerdictKind.TIME_WAIT, []),
    ],
)
def test_bug_31_what_was_not_accepted_yet_is_its_listeners(
    stack: ExitStack, charged: ChargedTo | None, kind: VerdictKind, expected: list[str]
) -> None:
    waits = row(Endpoint("0.0.0.0", 80), ANY, HTTPD, WORKER, CLIENT)
    elsewhere = row(Endpoint("0.0.0.0", 80), ANY, process(50, "other"), netns=WEB)
    queued = row(LOCAL, REMOTE)._replace(verdict=Verdict(kind, charged, "nobody"))
    resolver = stack.enter_context(Resolver(MadeLooks(see(waits, elsewhere, queued)), limits=NOW))
    assert names(ask(resolver).destination) == expected


def test_bug_7_and_21_what_no_fd_can_hold_is_nobody_s_and_each_netns_is_asked(stack: ExitStack) -> None:
    left = row(LOCAL, REMOTE)
    inside = row(Endpoint("10.0.0.2", 80), REMOTE, CLIENT, netns=WEB)
    looks = MadeLooks(see(left, inside, netns=(own(HOST, f"{HERE}/32"), own(WEB, "10.0.0.2/32"))))
    resolver = stack.enter_context(Resolver(looks, limits=NOW))
    assert ask(resolver).destination == End((), None, (HOST,), (left,))
    assert ask(resolver, SOURCE, ("10.0.0.2", 80)).destination is not None
    assert names(ask(resolver, SOURCE, ("10.0.0.2", 80)).destination) == ["curl"]


def test_bug_10_27_and_28_another_process_takes_the_place_of_the_one_before(stack: ExitStack) -> None:
    """A pid that was given out again, by its start, and a program that was executed: nothing stays as it was."""
    again = row(LOCAL, REMOTE, process(11, "reborn", start_ticks=900))
    clock = Clock()
    looks = MadeLooks(see(SERVER), see(again), see(again, argv=("new",)), clock=clock)
    resolver = stack.enter_context(Resolver(looks, limits=NOW, clock=clock))
    assert names(ask(resolver).destination) == ["worker"]
    clock.now += NOW.expiry_seconds
    told = ask(resolver).destination
    assert told is not None
    assert [(one.name, one.pid, one.start_ticks) for one in told.holders] == [("reborn", 11, 900)]
    clock.now += NOW.expiry_seconds
    told = ask(resolver).destination
    assert told is not None
    assert told.holders[0].argv == ("new",)


def test_bug_11_a_miss_waits_for_a_look_that_began_after_it(stack: ExitStack) -> None:
    looks = MadeLooks(see(), see(SERVER))
    resolver = stack.enter_context(Resolver(looks, limits=NOW))
    looks.may_look.clear()
    asked: list[Resolution] = []
    first = threading.Thread(target=lambda: asked.append(ask(resolver, SOURCE, (HERE, 1))))
    first.start()
    assert looks.is_looking.wait(60)
    second = threading.Thread(target=lambda: asked.append(ask(resolver)))
    second.start()
    looks.may_look.set()
    first.join()
    second.join()
    assert ["worker"] in [names(one.destination) for one in asked]
    assert [one.pending for one in asked] == [False, False]


def test_who_does_not_wait_is_told_that_a_look_is_to_come(stack: ExitStack) -> None:
    looks = MadeLooks(see(SERVER))
    looks.may_look.clear()
    resolver = stack.enter_context(Resolver(looks, limits=UNWAITING))
    assert ask(resolver) == Resolution(None, None, pending=True)
    looks.may_look.set()
    await_looks(resolver, 1)
    assert (names(ask(resolver).destination), ask(resolver).pending) == (["worker"], False)


def test_bug_14_and_30_a_look_that_fails_is_told_and_what_was_seen_before_stays(stack: ExitStack) -> None:
    clock = Clock()
    failure = ReadFailed("/proc", "EMFILE")
    looks = MadeLooks(see(SERVER), failure, see(SERVER), clock=clock)
    resolver = stack.enter_context(Resolver(looks, limits=UNWAITING, clock=clock))
    ask(resolver)
    await_looks(resolver, 1)
    assert names(ask(resolver).destination) == ["worker"]
    clock.now += 1
    looks.may_look.clear()
    assert ask(resolver, (PEER, 9), (HERE, 9)).pending
    looks.may_look.set()
    with resolver._changed:
        assert resolver._changed.wait_for(lambda: resolver.failure is failure, 60)
    assert names(ask(resolver).destination) == ["worker"]
    ask(resolver, (PEER, 9), (HERE, 9))
    await_looks(resolver, 2)
    assert resolver.failure is None


def test_bug_26_what_is_seen_again_is_renewed_and_costs_no_further_look(stack: ExitStack) -> None:
    clock = Clock()
    looks = MadeLooks(see(SERVER), clock=clock)
    resolver = stack.enter_context(Resolver(looks, limits=UNWAITING, clock=clock))
    ask(resolver)
    await_looks(resolver, 1)
    clock.now += UNWAITING.renew_seconds
    assert names(ask(resolver).destination) == ["worker"]
    await_looks(resolver, 2)
    clock.now += UNWAITING.renew_seconds - 1
    assert [names(ask(resolver).destination) for _ in range(100)] == [["worker"]] * 100
    assert looks.started == [100.0, 100.0 + UNWAITING.renew_seconds]


def test_bug_29_a_flood_of_misses_looks_once_an_interval_and_not_again_for_what_was_not_there(
    stack: ExitStack,
) -> None:
    clock = Clock()
    looks = MadeLooks(see(SERVER), clock=clock)
    resolver = stack.enter_context(Resolver(looks, limits=NOW, clock=clock))
    looks.may_look.clear()
    askers = [threading.Thread(target=ask, args=(resolver, (PEER, port), (HERE, 9))) for port in range(1, 30)]
    askers[0].start()
    assert looks.is_looking.wait(60)
    for each in askers[1:]:
        each.start()
    with resolver._changed:
        assert resolver._changed.wait_for(lambda: len(resolver._unknown) == len(askers), 60)
    looks.may_look.set()
    for each in askers:
        each.join()
    await_looks(resolver, 2)  # One for the first, and one for all who asked while that was under way.
    before = len(looks.started)
    assert before == 2
    assert not any(ask(resolver, (PEER, port), (HERE, 9)).pending for port in range(1, 30))
    assert len(looks.started) == before
    clock.now += NOW.unknown_seconds
    assert not ask(resolver, (PEER, 1), (HERE, 9)).pending
    assert len(looks.started) == before + 1


def test_what_a_slow_look_has_not_shown_is_not_looked_for_at_once_again(stack: ExitStack) -> None:
    """One that takes longer than what it has not shown stays unknown: whoever asked would wait for ever."""
    clock = Clock()

    class Looks(MadeLooks):
        def look(self, stop: threading.Event) -> Sight:
            sight = super().look(stop)
            clock.now += 2 * NOW.unknown_seconds
            return sight

    looks = Looks(see(SERVER), clock=clock)
    limits = UNWAITING._replace(renew_seconds=1000, expiry_seconds=1000)
    resolver = stack.enter_context(Resolver(looks, limits=limits, clock=clock))
    assert ask(resolver, SOURCE, (HERE, 9)).pending
    await_looks(resolver, 1)
    clock.now += NOW.unknown_seconds - 1
    assert not ask(resolver, SOURCE, (HERE, 9)).pending
    clock.now += 1
    assert ask(resolver, SOURCE, (HERE, 9)).pending


@pytest.mark.parametrize(("interval_seconds", "look_seconds", "apart_seconds"), [(0.2, 0.0, 0.2), (0.0, 0.05, 0.2)])
def test_looks_begin_an_interval_apart_and_four_times_as_far_as_they_take(
    interval_seconds: float, look_seconds: float, apart_seconds: float
) -> None:
    starts = []

    class Looks(MadeLooks):
        def look(self, stop: threading.Event) -> Sight:
            starts.append(time.monotonic())
            assert not stop.wait(look_seconds)
            return super().look(stop)

    with Resolver(Looks(see()), limits=NOW._replace(interval_seconds=interval_seconds)) as resolver:
        for port in (1, 2, 3):
            ask(resolver, (PEER, port), (HERE, port))
    assert all(later - earlier >= apart_seconds * 0.95 for earlier, later in pairwise(starts))
    assert len(starts) == 3


def test_bug_12_and_32_a_closed_connection_is_told_until_it_expires_and_then_who_waits(stack: ExitStack) -> None:
    clock = Clock()
    closed = row(Endpoint(HERE, 6000), REMOTE, CLIENT)
    looks = MadeLooks(see(closed, WAITS), see(WAITS), clock=clock)
    resolver = stack.enter_context(Resolver(looks, limits=NOW, clock=clock))
    source, destination = (HERE, 6000), (PEER, 5000)
    assert names(ask(resolver, source, destination).source) == ["curl"]
    clock.now += NOW.renew_seconds
    ask(resolver, source, destination)
    await_looks(resolver, 2)
    assert names(ask(resolver, source, destination).source) == ["curl"]
    clock.now += NOW.expiry_seconds - NOW.renew_seconds
    assert names(ask(resolver, source, destination).source) == []
    assert names(ask(resolver).destination) == ["httpd"]


def test_bug_20_and_37_addresses_are_those_of_the_last_look(stack: ExitStack) -> None:
    clock = Clock()
    netns = (own(HOST, f"{HERE}/32", "10.0.0.7/32"),)
    looks = MadeLooks(see(WAITS), see(WAITS, netns=netns), clock=clock)
    resolver = stack.enter_context(Resolver(looks, limits=NOW, clock=clock))
    assert ask(resolver, SOURCE, ("10.0.0.7", 80)).destination is None
    clock.now += NOW.unknown_seconds
    assert names(ask(resolver, SOURCE, ("10.0.0.7", 80)).destination) == ["httpd"]


def test_bug_34_no_more_answers_are_kept_than_the_limit(stack: ExitStack) -> None:
    looks = MadeLooks(see(WAITS))
    resolver = stack.enter_context(Resolver(looks, limits=UNWAITING._replace(most_answers=5)))
    ask(resolver)
    await_looks(resolver, 1)
    looks.may_look.clear()
    stack.callback(looks.may_look.set)
    for port in range(1, 50):
        assert names(ask(resolver, (PEER, port)).destination) == ["httpd"]
        ask(resolver, (PEER, port), (HERE, 9))
    assert (len(resolver._answers), len(resolver._unknown)) == (5, 5)
    looks.may_look.set()
    await_looks(resolver, 2)
    assert (len(resolver._answers), len(resolver._closed_since)) == (0, 5)


def test_bug_36_an_alias_stands_beside_the_name(stack: ExitStack) -> None:
    monitored = [Monitored("web", argv0="httpd"), Monitored("front", cmdline="-D FORE"), Monitored("db", regex="^x")]
    resolver = stack.enter_context(Resolver(MadeLooks(see(WAITS)), limits=NOW, monitored=monitored))
    told = ask(resolver).destination
    assert told is not None
    assert [(one.name, one.aliases) for one in told.holders] == [("httpd", ("web", "front"))]


@pytest.mark.parametrize(
    ("protocol", "source", "said"),
    [
        ("sctp", SOURCE, "expected tcp or udp, got 'sctp'"),
        ("TCP", SOURCE, "expected tcp or udp"),
        ("tcp", ("localhost", 1), "no address"),
        ("tcp", ("[::1]", 1), "no address"),
        ("tcp", (PEER, 65536), "port from 0 to 65535"),
        ("tcp", (PEER, -1), "port from 0 to 65535"),
    ],
)
def test_bug_6_and_40_what_is_no_tuple_is_an_error(
    stack: ExitStack, protocol: str, source: tuple[str, int], said: str
) -> None:
    resolver = stack.enter_context(Resolver(MadeLooks(see()), limits=NOW))
    with pytest.raises(UsageError, match=said):
        resolver.resolve(protocol, source, DESTINATION)


def test_one_that_is_not_enabled_answers_nothing_and_never_looks() -> None:
    looks = MadeLooks(see(SERVER))
    with Resolver(looks, enabled=False) as resolver:
        assert ask(resolver) == Resolution(None, None)
    assert (looks.started, looks.closed) == ([], 1)


def test_where_there_is_no_thread_to_be_had_nothing_is_known_until_there_is_one() -> None:
    resolver = Resolver(MadeLooks(see(WAITS, SERVER)), limits=UNWAITING)
    before = threading.stack_size(1 << 46)  # More than an address space has.
    try:
        answer, failure = ask(resolver), resolver.failure
    finally:
        threading.stack_size(before)
    assert (answer, answer.pending) == (Resolution(None, None, pending=True), True)
    assert isinstance(failure, ReadFailed)
    ask(resolver)
    await_looks(resolver, 1)
    assert (names(ask(resolver).destination), resolver.failure) == (["worker"], None)
    resolver.close()


def test_one_that_never_had_a_thread_ends(stack: ExitStack) -> None:
    looks = MadeLooks(see())
    resolver = Resolver(looks, limits=UNWAITING)
    before = threading.stack_size(1 << 46)
    try:
        ask(resolver)
    finally:
        threading.stack_size(before)
    resolver.close()
    assert looks.closed


def test_bug_17_and_41_its_end_ends_its_thread_and_whoever_waits() -> None:
    looks = MadeLooks(see(SERVER))
    looks.may_look.clear()
    resolver = Resolver(looks, limits=NOW)
    asked: list[Resolution] = []
    waiting = threading.Thread(target=lambda: asked.append(ask(resolver)))
    waiting.start()
    assert looks.is_looking.wait(60)
    closing = threading.Thread(target=resolver.close)
    closing.start()
    waiting.join(60)
    assert asked == [Resolution(None, None)]
    looks.may_look.set()
    closing.join(60)
    assert (resolver._thread is not None and resolver._thread.is_alive(), looks.closed) == (False, 1)
    assert ask(resolver) == Resolution(None, None)


def test_bug_41_hits_are_answered_while_a_look_is_under_way(stack: ExitStack) -> None:
    looks = MadeLooks(see(WAITS, SERVER))
    resolver = stack.enter_context(Resolver(looks, limits=UNWAITING))
    ask(resolver)
    await_looks(resolver, 1)
    looks.may_look.clear()
    looks.is_looking.clear()
    stack.callback(looks.may_look.set)
    assert ask(resolver, SOURCE, (HERE, 9)).pending
    assert looks.is_looking.wait(60)
    assert names(ask(resolver).destination) == ["worker"]
    assert names(ask(resolver, (PEER, 7777)).destination) == ["httpd"]


def test_bug_13_threads_that_ask_while_looks_come_and_go_see_one_look_or_another(stack: ExitStack) -> None:
    looks = MadeLooks(*[see(row(LOCAL, REMOTE, process(number, f"p{number}"))) for number in range(1, 200)])
    resolver = stack.enter_context(Resolver(looks, limits=NOW._replace(renew_seconds=0, unknown_seconds=0)))
    wrong: list[Resolution] = []

    def ask_often() -> None:
        for _ in range(300):
            told = ask(resolver)
            if told.destination is None or [f"p{one.pid}" for one in told.destination.holders] != names(
                told.destination
            ):
                wrong.append(told)

    askers = [threading.Thread(target=ask_often) for _ in range(4)]
    for each in askers:
        each.start()
    for each in askers:
        each.join()
    assert wrong == []
    assert len(looks.started) > 1


def test_a_coroutine_waits_without_holding_up_the_others(stack: ExitStack) -> None:
    looks = MadeLooks(see(SERVER))
    looks.may_look.clear()
    resolver = stack.enter_context(Resolver(looks, limits=NOW))

    async def ask_and_let_look() -> tuple[Resolution, Resolution]:
        first = asyncio.create_task(resolver.resolve_async("tcp", SOURCE, DESTINATION))
        while not looks.is_looking.is_set():
            await asyncio.sleep(0.01)
        looks.may_look.set()
        return await first, await resolver.resolve_async("tcp", SOURCE, DESTINATION)

    assert [names(one.destination) for one in asyncio.run(ask_and_let_look())] == [["worker"]] * 2


def test_several_holders_come_by_their_start(stack: ExitStack) -> None:
    shared: OwnedSocket = row(LOCAL, ANY, process(30, "late", start_ticks=900), process(31, "early", start_ticks=1))
    other = row(LOCAL, ANY, process(32, "middle", start_ticks=500))
    resolver = stack.enter_context(Resolver(MadeLooks(see(shared, other)), limits=NOW))
    assert names(ask(resolver).destination) == ["early", "middle", "late"]
