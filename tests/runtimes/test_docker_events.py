"""The event follower: a list is only given again while nothing can have changed."""

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.errors import FormatError, RuntimeUnavailable
from nsagent.runtimes.docker import DockerSource
from nsagent.runtimes.docker_events import MAX_AGE_SECONDS, SETTLE_SECONDS, EventFollower, EventSplitter
from tests.runtimes.engine_server import HEAD, answer, read_request, rows, serve
from tests.runtimes.stand_in import Clock, wait_until

ID = "a" * 64
TIMEOUT_SECONDS = 5.0
RENAME = b'{"status":"rename","id":"%s","Type":"container","Action":"rename"}\n' % ID.encode()
PROBE = b'{"status":"exec_create: true","id":"%s","Type":"container","Action":"exec_create: true"}\n' % ID.encode()
HEALTHY = b'{"Type":"container","Action":"health_status: healthy"}\n'


class Engine:
    """An engine with one container; the test writes its stream of events, in chunks."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = "web"
        self.asked = 0
        self.streams: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self.while_listing: Callable[[], None] = lambda: None
        self.stream_head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        self.url = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """While this lasts the daemon runs; it makes its socket file anew."""
        with serve(self.directory, self._behave) as self.url:
            yield

    def stream(self) -> socket.socket:
        """The next connection on which events are followed; its head has been sent."""
        return self.streams.get(timeout=10)

    def _behave(self, connection: socket.socket) -> None:
        path = read_request(connection).split(b" ")[1]
        if path.startswith(b"/events"):
            connection.sendall(self.stream_head)
            self.streams.put(connection)
            # The test writes to it, until either side hangs up.
            connection.recv(1)
        else:
            self.asked += 1
            listed = rows({"Id": ID, "Names": [f"/{self.name}"]})
            self.while_listing()
            connection.sendall(listed)


class Followed:
    """A source that follows an engine, on a clock that the test moves."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clock = Clock()
        self.source = DockerSource(engine.url, TIMEOUT_SECONDS)
        self.source.follow(self.clock)

    def list_names(self) -> list[str | None]:
        return [container.name for container in self.source.list_containers()]

    def asks(self) -> bool:
        """Whether the next list costs a question."""
        before = self.engine.asked
        assert self.list_names() == [self.engine.name]
        return self.engine.asked > before

    def settle(self) -> None:
        """Go on until the list is kept: a change that comes late counts from when it comes."""

        def is_kept() -> bool:
            self.clock.now += SETTLE_SECONDS
            return not self.asks()

        wait_until(is_kept)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


@pytest.fixture
def followed(engine: Engine) -> Iterator[Followed]:
    with engine.running():
        one = Followed(engine)
        try:
            yield one
        finally:
            one.source.unfollow()
    wait_until(lambda: not any(thread.name.startswith("events of") for thread in threading.enumerate()))


def fails(followed: Followed) -> bool:
    """Whether the engine is not there, and its last list is not given for the present one."""
    try:
        return followed.list_names() == []
    except RuntimeUnavailable:
        return True


def send(stream: socket.socket, data: bytes) -> None:
    """One chunk."""
    stream.sendall(b"%x\r\n%b\r\n" % (len(data), data))


class TestFresh:
    """The list is not asked for again."""

    def test_a_list_is_given_again_while_nothing_happens(self, followed: Followed) -> None:
        followed.engine.stream()
        followed.settle()
        followed.clock.now += MAX_AGE_SECONDS - 1
        assert [followed.asks() for _ in range(3)] == [False] * 3

    def test_health_checks_and_processes_that_are_started_change_nothing(self, followed: Followed) -> None:
        stream = followed.engine.stream()
        followed.settle()
        send(stream, PROBE + HEALTHY + b"\n")
        send(stream, PROBE)
        time.sleep(0.1)
        assert not followed.asks()

    def test_a_daemon_that_hangs_has_not_lost_its_stream(self, followed: Followed) -> None:
        followed.engine.stream()
        followed.settle()
        followed.engine.while_listing = lambda: pytest.fail("it was asked")
        time.sleep(0.3)
        assert followed.list_names() == ["web"]


class TestStale:
    """The list is asked for again."""

    def test_before_there_is_a_stream_and_until_it_has_settled(self, followed: Followed) -> None:
        assert followed.asks()
        followed.engine.stream()
        followed.clock.now += SETTLE_SECONDS / 2
        assert [followed.asks() for _ in range(3)] == [True] * 3
        followed.settle()

    @pytest.mark.parametrize(
        "action", ["start", "die", "destroy", "rename", "update", "pause", "unpause", "unheard_of"]
    )
    def test_after_an_event(self, followed: Followed, action: str) -> None:
        stream = followed.engine.stream()
        followed.settle()
        followed.engine.name = "renamed"
        send(stream, json.dumps({"Type": "container", "Action": action}).encode() + b"\n")
        wait_until(lambda: followed.list_names() == ["renamed"])
        followed.settle()

    def test_after_an_event_in_pieces(self, followed: Followed) -> None:
        stream = followed.engine.stream()
        followed.settle()
        for byte in PROBE:
            send(stream, bytes([byte]))
        time.sleep(0.1)
        followed.settle()
        for byte in RENAME[:-1]:
            send(stream, bytes([byte]))
        followed.engine.name = "renamed"
        wait_until(lambda: followed.list_names() == ["renamed"])

    def test_if_an_event_came_while_it_was_being_asked_for(self, followed: Followed) -> None:
        """The answer was made up before the rename and arrives after its event."""
        stream = followed.engine.stream()
        followed.settle()
        followed.clock.now += MAX_AGE_SECONDS + 1

        def rename() -> None:
            followed.engine.name = "renamed"
            send(stream, RENAME)
            time.sleep(0.2)

        followed.engine.while_listing = rename
        assert followed.list_names() == ["web"]
        followed.engine.while_listing = lambda: None
        assert followed.list_names() == ["renamed"]

    def test_if_the_last_change_was_just_before_it_was_asked_for(self, followed: Followed) -> None:
        """The daemon may tell of a change before it shows in the list."""
        stream = followed.engine.stream()
        followed.settle()
        send(stream, RENAME)
        wait_until(followed.asks)
        time.sleep(0.1)
        followed.clock.now += SETTLE_SECONDS - 0.01
        assert [followed.asks() for _ in range(2)] == [True, True]
        followed.settle()

    def test_after_a_minute_whatever_happens(self, followed: Followed) -> None:
        followed.engine.stream()
        followed.settle()
        followed.clock.now += MAX_AGE_SECONDS + 0.1
        assert [followed.asks() for _ in range(2)] == [True, False]

    def test_if_the_engine_fails_then_that_is_told(self, followed: Followed) -> None:
        def hang_up() -> None:
            raise ConnectionAbortedError

        followed.engine.stream()
        followed.settle()
        followed.clock.now += MAX_AGE_SECONDS + 1
        followed.engine.while_listing = hang_up
        with pytest.raises(RuntimeUnavailable):
            followed.list_names()

    @pytest.mark.parametrize(
        "garbage", [b"\n\0\xff\n", b"[1]\n", b"[" * 100_000 + b"\n", b"null\n", b'{"Action": 7}\n', b"{}\n"]
    )
    def test_after_what_is_no_event(self, followed: Followed, garbage: bytes) -> None:
        stream = followed.engine.stream()
        followed.settle()
        followed.engine.name = "renamed"
        send(stream, garbage)
        wait_until(lambda: followed.list_names() == ["renamed"])
        followed.settle()

    def test_after_a_hundred_thousand_events(self, followed: Followed) -> None:
        stream = followed.engine.stream()
        followed.settle()
        for _ in range(100):
            send(stream, PROBE * 999 + RENAME)
        followed.engine.name = "renamed"
        wait_until(lambda: followed.list_names() == ["renamed"])
        followed.settle()


class TestLostStreams:
    """The stream ended: what happened meanwhile is not known."""

    def test_a_daemon_that_restarts(self, engine: Engine) -> None:
        with engine.running():
            followed = Followed(engine)
            engine.stream()
            followed.settle()
        try:
            wait_until(lambda: fails(followed))
            engine.name = "renamed"
            with engine.running():
                assert followed.asks()
                engine.stream()
                assert followed.asks(), "what happened before there was a stream is not known"
                followed.settle()
        finally:
            followed.source.unfollow()

    @pytest.mark.parametrize(
        "end",
        [b"", b"0\r\n\r\n", b"10\r\n" + RENAME[:10], b"zz\r\n", b"200000\r\n" + b"x" * 0x200000],
        ids=["hangs up", "ends", "cut", "no chunk", "an event of 2 MiB"],
    )
    def test_a_stream_that_ends_in_any_way_is_taken_up_again(self, followed: Followed, end: bytes) -> None:
        stream = followed.engine.stream()
        followed.settle()
        followed.engine.name = "renamed"
        with contextlib.suppress(OSError):
            stream.sendall(end)
            stream.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: followed.list_names() == ["renamed"])
        followed.engine.stream()
        followed.settle()

    @pytest.mark.parametrize(
        ("head", "trouble"),
        [
            (answer(b"no events", "403 Forbidden"), "HTTP 403: no events"),
            (b"SSH-2.0\r\n", "it speaks no HTTP: 'SSH-2.0\\r\\n'"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "no valid answer: LineTooLong("),
            (HEAD + b"Content-Encoding: gzip\r\n\r\n", "no valid answer: expected an answer that is not compressed"),
        ],
    )
    def test_who_tells_no_events_says_why(self, engine: Engine, head: bytes, trouble: str) -> None:
        engine.stream_head = head
        with engine.running():
            follower = EventFollower(engine.url, TIMEOUT_SECONDS, tls={}, clock=Clock())
            follower.start()
            wait_until(lambda: (follower.trouble or "").startswith(trouble))
            assert follower.find_fresh() is None
            follower.stop()

    def test_who_refuses_to_tell_events_is_not_asked_for_them_again_soon(self, engine: Engine) -> None:
        engine.stream_head = answer(b"no events", "403 Forbidden")
        with engine.running():
            followed = Followed(engine)
            time.sleep(0.7)
            assert [followed.asks() for _ in range(3)] == [True] * 3
            followed.source.unfollow()
        assert engine.streams.qsize() == 1

    def test_reconnecting_takes_less_and_less_care(self, engine: Engine) -> None:
        """A daemon that ends each stream at once is not run against all the time: 0.1, 0.2, 0.4 ... 2 s."""
        engine.stream_head = HEAD + b"Content-Length: 0\r\n\r\n"
        with engine.running():
            followed = Followed(engine)
            time.sleep(1)
            followed.source.unfollow()
        assert engine.streams.qsize() <= 5

    def test_what_is_unfollowed_is_asked(self, followed: Followed) -> None:
        followed.engine.stream()
        followed.settle()
        followed.source.unfollow()
        assert followed.asks()

    def test_following_does_not_wait_for_a_daemon_that_is_not_there(self, tmp_path: Path) -> None:
        source = DockerSource(f"unix://{tmp_path}/none.sock", TIMEOUT_SECONDS)
        began = time.monotonic()
        source.follow(time.monotonic)
        with pytest.raises(RuntimeUnavailable, match="ENOENT"):
            source.list_containers()
        source.unfollow()
        assert time.monotonic() - began < 1


EVENTS = st.lists(st.sampled_from([RENAME, PROBE, HEALTHY, b"\n", b"garbage\n"]), max_size=6)


@given(EVENTS, st.integers(1, 40))
def test_in_any_pieces_a_change_is_seen(events: list[bytes], size: int) -> None:
    data = b"".join(events)
    splitter = EventSplitter()
    seen = [splitter.feed(data[at : at + size]) for at in range(0, len(data), size)]
    has_change = RENAME in events or b"garbage\n" in events
    assert any(seen) or not has_change
    whole = EventSplitter()
    assert whole.feed(data) == has_change


@given(st.binary(max_size=200))
def test_any_bytes_are_harmless_or_a_change(data: bytes) -> None:
    assert EventSplitter().feed(data) in (True, False)


def test_an_event_may_not_be_endless() -> None:
    splitter = EventSplitter()
    assert all(splitter.feed(b"x" * 100_000) for _ in range(10))
    with pytest.raises(FormatError, match="an event of at most"):
        splitter.feed(b"x" * 100_000)
