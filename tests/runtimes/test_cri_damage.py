"""Runtimes that speak CRI wrongly, slowly, without end, or of very much: a name may be missing, nobody waits."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from nsagent.errors import Reason, RuntimeUnavailable
from nsagent.model.container import Container
from nsagent.model.ids import ContainerId
from nsagent.runtimes.cri import CriSource
from nsagent.runtimes.runtimes import Runtimes
from nsagent.runtimes.source import LeftOut
from tests.cpu_time import cpu_seconds
from tests.runtimes.cri_server import (
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    UNKNOWN_FRAME,
    Call,
    Connection,
    answer_http,
    answering,
    container,
    frame,
    lists,
    pod_labels,
    prefixed,
    sandbox,
    speaking,
    version,
    writing,
)
from tests.runtimes.engine_server import Behaviour, serve
from tests.runtimes.protobuf_wire import encode_message
from tests.runtimes.stand_in import wait_until

ID, OTHER_ID, SANDBOX_ID = "a" * 64, "b" * 64, "c" * 64
RESOURCE_EXHAUSTED = 8
LABELS = pod_labels("shop-0", "6a52412a-0a32-425f-830f-87a95abb57d4", "shop")
TIMEOUT_SECONDS = 0.5
DEADLINE_SECONDS = 0.6
SLACK_SECONDS = 5.0
CPU_SECONDS = 0.02


def ask(url: str) -> tuple[Container, ...]:
    return CriSource(url, TIMEOUT_SECONDS).list_containers()


def flood(*parts: bytes) -> Behaviour:
    """An engine that begins to answer a call, then says `parts` for ever."""
    block = b"".join(parts) * (65536 // sum(map(len, parts)) + 1)

    def say(connection: Connection, calls: list[Call]) -> None:
        connection.begin(calls[1].stream_id)
        while True:
            connection.socket.sendall(block)

    return speaking(say)


def dripping(answers: dict[str, bytes], seconds: float = 0.05) -> Behaviour:
    """A byte every 50 ms: no wait is long, all together are."""

    def behave(connected: socket.socket) -> None:
        connection = Connection(connected)
        for call in connection.read_calls():
            connection.begin(call.stream_id)
            for byte in frame(DATA, 0, call.stream_id, prefixed(answers[call.path.rpartition("/")[2]])):
                connected.sendall(bytes([byte]))
                time.sleep(seconds)

    return behave


def silence(connected: socket.socket) -> None:
    """Take what comes and say nothing."""
    while connected.recv(65536):
        continue


def begin_and_fall_silent(connection: Connection, calls: list[Call]) -> None:
    connection.begin(calls[0].stream_id)
    connection.send(calls[0].stream_id, prefixed(b"", length=1000))
    silence(connection.socket)


def reset(connected: socket.socket) -> None:
    """Hang up with the calls unread, which a unix socket reports as ECONNRESET."""
    time.sleep(0.05)


def refuse(code: object, reason: str) -> Behaviour:
    """Fail every call, of every service, and leave it to the client to hang up.

    To a client that reads slowly the end of a connection may come before the statuses sent over it.
    """

    def behave(connected: socket.socket) -> None:
        connection = Connection(connected)
        for call in connection.iterate_calls():
            connection.fail(call.stream_id, code, reason)

    return behave


def with_status(status: str) -> Behaviour:
    """Answer by a status of HTTP."""
    return speaking(lambda connection, calls: connection.begin(calls[0].stream_id, status=status))


def damaged(method: str, answer: bytes) -> Behaviour:
    """Well-formed gRPC with an answer that is not."""
    return answering({**lists([container(ID)], [sandbox(SANDBOX_ID)]), method: answer})


LIST = lists([container(ID)])["ListContainers"]
RECORDS = encode_message({1: [b""] * 4000})

MISBEHAVIOURS: dict[str, Behaviour] = {
    "silence": silence,
    "silence after the head": speaking(begin_and_fall_silent),
    "hangs up at once": lambda connected: None,
    "hangs up after the calls": writing(),
    "reset": reset,
    "a byte at a time": dripping(lists([container(ID)] * 100, told=version(text="x" * 1000))),
    "an answer to one call of three": speaking(lambda connection, calls: connection.answer(1, version())),
    "HTTP/1.1": answer_http,
    "no HTTP": lambda connected: connected.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "NULs": lambda connected: connected.sendall(bytes(100_000)),
    "HTTP 500": with_status("500"),
    "HTTP 403 of a proxy": with_status("403"),
    "a redirect": with_status("301"),
    "UNAVAILABLE": refuse(14, "the engine is%0Anot ready " + "x" * 1000),
    "UNIMPLEMENTED": refuse(12, "unknown method"),
    "a status that is none": refuse("?", ""),
    "success without an answer": refuse(0, ""),
    "a call that is refused": writing(frame(RST_STREAM, 0, 1, b"\0\0\0\7")),
    "GOAWAY": writing(frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\2")),
    "GOAWAY in order": writing(frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0")),
    "a truncated frame": writing(frame(DATA, 0, 1, LIST)[:-5]),
    "a huge frame": writing(frame(DATA, 0, 1, length=2**24 - 1)),
    "a huge frame without end": writing(frame(DATA, 0, 1, length=2**24 - 1), bytes(17_000_000)),
    "headers without end": writing(frame(HEADERS, 0, 1, b"x" * 16384) * 100),
    "a truncated message": damaged("ListContainers", LIST[:-5]),
    "a message of another kind": damaged("ListPodSandbox", b'{"items": []}'),
    "a truncated record": damaged("ListContainers", encode_message({1: container(ID)[:-1]})),
    "a damaged entry of a map": damaged("ListContainers", encode_message({1: container(ID, _8=b"\x0a\x09")})),
    "a damaged version": damaged("Version", b"\x0a\x80"),
    "containers without ids": damaged("ListContainers", encode_message({1: [container(""), container("x")]})),
    "sandboxes without ids": damaged("ListPodSandbox", encode_message({1: sandbox("A" * 64)})),
    "records without end": damaged("ListContainers", RECORDS * 51),
    "2 GB of records": flood(frame(DATA, 0, 3, RECORDS[:16384])),
    "2 GB of empty frames": flood(frame(DATA, 0, 3)),
    "2 GB of pings": flood(frame(PING, 0, 0, bytes(8))),
    "2 GB of frames of no kind": flood(frame(UNKNOWN_FRAME, 0, 0, bytes(100))),
}  # fmt: skip


@pytest.mark.parametrize("behave", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS.keys())
def test_a_misbehaving_engine_costs_names_and_no_time(tmp_path: Path, behave: Behaviour) -> None:
    """A gap in one line, within the deadline, and neither a thread, grpcio's among them, nor a socket stays behind."""
    before, threads = set(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    with serve(tmp_path, behave) as url:
        source = CriSource(url, TIMEOUT_SECONDS)
        runtimes = Runtimes([source], DEADLINE_SECONDS, clock=time.monotonic)
        began = time.monotonic()
        runtimes.start()
        containers, gaps, asked, _ = runtimes.collect()
        assert time.monotonic() - began < DEADLINE_SECONDS + SLACK_SECONDS
        runtimes.close()
        (gap,) = gaps
        assert (containers, gap.subject.id, asked) == ((), source.subject, (source.subject,))
        assert gap.detail
        assert "\n" not in gap.detail
        assert len(gap.detail) < 300
        wait_until(lambda: not any(thread.name.startswith("ask ") for thread in threading.enumerate()))
    wait_until(lambda: set(os.listdir("/proc/self/fd")) <= before and len(os.listdir("/proc/self/task")) <= threads)


@pytest.mark.parametrize(
    ("behave", "reason", "kind"),
    [
        ("silence", "no answer within 0.5 s", Reason.NO_ANSWER),
        ("reset", "UNAVAILABLE: failed to connect", Reason.FAILED),
        ("hangs up after the calls", "UNAVAILABLE: ", Reason.FAILED),
        ("UNIMPLEMENTED", "UNIMPLEMENTED: unknown method", Reason.NOT_SERVED),
        ("success without an answer", "no valid answer: expected an answer to each call, got", Reason.MALFORMED),
        (
            "containers without ids",
            "no valid answer: expected a list of containers, got 'records without an id of",
            Reason.MALFORMED,
        ),
        ("records without end", "no valid answer: expected at most 200000 containers, got 'more'", Reason.MALFORMED),
        ("a truncated record", "no valid answer: expected a complete message, got", Reason.MALFORMED),
    ],
)
def test_the_reason_says_what_is_wrong(tmp_path: Path, behave: str, reason: str, kind: Reason) -> None:
    with serve(tmp_path, MISBEHAVIOURS[behave]) as url, pytest.raises(RuntimeUnavailable) as raised:
        ask(url)
    assert str(raised.value).startswith(reason)
    assert raised.value.reason is kind


@pytest.mark.parametrize(
    ("wrong", "left_out"),
    [
        (container(OTHER_ID, _9={"x": "y" * 2**20}), LeftOut(Reason.TOO_LARGE, OTHER_ID)),
        (container("", _9={"x": "y" * 2**20}), LeftOut(Reason.TOO_LARGE)),
        (container(OTHER_ID)[:-1], LeftOut(Reason.MALFORMED, OTHER_ID)),
    ],
    ids=["too long", "too long, without an id", "truncated"],
)
def test_a_record_that_cannot_be_read_costs_itself_alone(tmp_path: Path, wrong: bytes, left_out: LeftOut) -> None:
    with serve(tmp_path, answering(lists([wrong, container(ID)]))) as url:
        source = CriSource(url, TIMEOUT_SECONDS)
        assert [one.id for one in source.list_containers()] == [ID]
    assert tuple(source.left_out) == (left_out,)


def too_long(*methods: str) -> Behaviour:
    """An engine whose lists of these methods are longer than it sends, unless it is asked about one pod."""
    containers = {SANDBOX_ID: container(ID, SANDBOX_ID), OTHER_ID: container("d" * 64, OTHER_ID, name="other")}
    sandboxes = {SANDBOX_ID: sandbox(SANDBOX_ID), OTHER_ID: sandbox(OTHER_ID, name="other-0")}
    whole = lists(list(containers.values()), list(sandboxes.values()))

    def behave(connected: socket.socket) -> None:
        connection = Connection(connected)
        for call in connection.iterate_calls():
            method = call.path.rpartition("/")[2]
            # After gRPC's prefix, and field 1 with its length: that of the filter, 1 of an id and 3 of its pod's.
            key, id_ = call.request[7:8], call.request[9:].decode()
            records = {b"\x0a": sandboxes, b"\x1a": containers}.get(key, {})
            if id_ == OTHER_ID or (not id_ and method in methods):
                connection.fail(call.stream_id, RESOURCE_EXHAUSTED, "trying to send message larger than max")
            else:
                connection.answer(call.stream_id, encode_message({1: [records[id_]]}) if id_ else whole[method])

    return behave


@pytest.mark.parametrize("method", ["ListContainers", "ListPodSandbox"])
def test_a_list_that_is_too_long_is_asked_for_pod_by_pod(tmp_path: Path, method: str) -> None:
    """What one pod says too much costs that pod."""
    with serve(tmp_path, too_long(method)) as url:
        source = CriSource(url, 60.0)
        told = {one.id: one.pod and one.pod.name for one in source.list_containers()}
    assert (told[ContainerId(ID)], told[ContainerId(SANDBOX_ID)]) == ("shop-0", "shop-0")
    assert tuple(source.left_out) == (LeftOut(Reason.TOO_LARGE, OTHER_ID),)


def test_lists_that_are_both_too_long_are_told(tmp_path: Path) -> None:
    with serve(tmp_path, too_long("ListContainers", "ListPodSandbox")) as url, pytest.raises(RuntimeUnavailable) as err:
        CriSource(url, 60.0).list_containers()
    assert (str(err.value), err.value.reason) == ("its lists are longer than is read", Reason.TOO_LARGE)


def test_a_slow_engine_is_heard_out_while_its_answer_comes_in_time(tmp_path: Path) -> None:
    answers = lists([container(ID)])

    def behave(connected: socket.socket) -> None:
        connection = Connection(connected)
        for call in connection.read_calls():
            time.sleep(0.1)
            connection.answer(call.stream_id, answers[call.path.rpartition("/")[2]])

    with serve(tmp_path, behave) as url:
        assert [one.name for one in ask(url)] == ["web"]


def test_abandon_ends_a_call_at_once(tmp_path: Path) -> None:
    with serve(tmp_path, silence) as url:
        source = CriSource(url, 60.0)
        timer = threading.Timer(0.2, source.abandon)
        timer.start()
        began = time.monotonic()
        with pytest.raises(RuntimeUnavailable):
            source.list_containers()
        timer.join()
        assert time.monotonic() - began < 30
        source.abandon()


def test_abandon_ends_the_reading_of_a_long_answer(tmp_path: Path) -> None:
    """It takes seconds, in which the socket is closed already."""
    answers = lists([container(f"{number:064x}", _8=LABELS) for number in range(20_000)] * 5)
    with serve(tmp_path, answering(answers)) as url:
        source = CriSource(url, 60.0)
        ended: list[float] = []

        def ask_until_abandoned() -> None:
            with pytest.raises(RuntimeUnavailable):
                source.list_containers()
            ended.append(time.monotonic())

        thread = threading.Thread(target=ask_until_abandoned)
        thread.start()
        wait_for_version(source)
        abandoned = time.monotonic()
        source.abandon()
        thread.join()
        assert ended[0] - abandoned < 1


def wait_for_version(source: CriSource) -> None:
    """Until the answer has arrived and is being read."""
    until = time.monotonic() + 60
    while source.version is None:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_hundred_thousand_containers(tmp_path: Path) -> None:
    many = [container(f"{number:064x}", name=f"c{number}") for number in range(100_000)]
    with serve(tmp_path, answering(lists(many))) as url:
        containers = CriSource(url, 60.0).list_containers()
    assert len(containers) == 100_000
    assert containers[-1].name == "c99999"


def test_a_node_full_of_pods_takes_little_time(tmp_path: Path) -> None:
    """120 containers in 60 pods, in CPU time of the thread, measured up to five times."""
    annotations = {f"io.kubernetes.container.note{number}": "x" * 40 for number in range(5)}
    ids = [f"{number:064x}" for number in range(180)]
    containers = [container(ids[n], ids[120 + n // 2], _8=LABELS, _9=annotations) for n in range(120)]
    sandboxes = [sandbox(id_, _5={"app": "shop", **LABELS}, _6=annotations) for id_ in ids[120:]]
    with serve(tmp_path, answering(lists(containers, sandboxes))) as url:
        source = CriSource(url, TIMEOUT_SECONDS)
        assert len(source.list_containers()) == 180
        assert min(cpu_seconds(source.list_containers) for _ in range(5)) <= CPU_SECONDS


class TestNoEngine:
    """Nobody answers at all."""

    def test_no_socket(self, tmp_path: Path) -> None:
        assert self.why(f"unix://{tmp_path}/none.sock") == "No such file or directory (ENOENT)"

    def test_nobody_listens(self, tmp_path: Path) -> None:
        path = tmp_path / "stale.sock"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        assert self.why(f"unix://{path}") == "Connection refused (ECONNREFUSED)"

    def test_a_queue_that_is_full(self, tmp_path: Path) -> None:
        path = tmp_path / "full.sock"
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
            listener.bind(str(path))
            listener.listen(0)
            first.connect(str(path))
            assert self.why(f"unix://{path}") == "Resource temporarily unavailable (EAGAIN)"

    @pytest.mark.parametrize("url", ["nonsense", "ssh://host", "unix:///a\0b", "unix:///" + "x" * 200])
    def test_an_address_that_is_none(self, url: str) -> None:
        assert self.why(url)

    @staticmethod
    def why(url: str) -> str:
        """The reason."""
        with pytest.raises(RuntimeUnavailable) as raised:
            ask(url)
        return str(raised.value)
