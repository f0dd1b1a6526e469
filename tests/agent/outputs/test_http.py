"""Reports to real receivers that are down, slow, wrong, or end in the midst: nothing is lost, late or out of order."""

import contextlib
import gc
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest

from nsagent.agent.outputs.http import MAX_TRIES, HttpOutput
from nsagent.agent.outputs.http_post import (
    MAX_RETRY_AFTER_SECONDS,
    Answer,
    Pauses,
    Poster,
    describe_url,
    make_context,
)
from nsagent.agent.status import OutputStatus
from nsagent.config.model import HttpOutput as HttpConfig
from nsagent.errors import OutputFailed
from tests.agent.outputs.receiver import SECONDS, Receiver, answer, in_turn, receiving
from tests.agent.outputs.reports import make_report
from tests.live.capabilities import trials
from tests.live.deadlines import until
from tests.runtimes.tls_server import make_certificate


class NoPauses(Pauses):
    """Pauses that are noted, and a thousandth as long."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.noted: list[float] = []

    def next_seconds(self, retry_after_seconds: float | None) -> float:
        self.noted.append(super().next_seconds(retry_after_seconds))
        return min(self.noted[-1] / 1000, 0.01)


class Sender:
    """Opens outputs, and keeps what they tell."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.told: list[str] = []
        self.pauses = NoPauses()
        self._opened: list[HttpOutput] = []

    def open(self, url: str, *, spool: bool = False, **options: object) -> HttpOutput:
        if spool:
            options["spool"] = {"path": str(self.spool), "max_size": "1MiB"} | options.pop("bounds", {})  # type: ignore[operator]
        bounds = {name: options.pop(name) for name in ("max_waiting", "max_waiting_bytes") if name in options}
        config = HttpConfig.model_validate({"type": "http", "url": url, **options})
        self._opened.append(HttpOutput(config, tell=self.told.append, pauses=self.pauses, **bounds))  # type: ignore[arg-type]
        return self._opened[-1]

    def close(self) -> None:
        for out in self._opened:
            out.close()


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Sender]:
    made = Sender(tmp_path / "spool")
    yield made
    made.close()


def wait_for(out: HttpOutput, is_so: Callable[[OutputStatus], bool]) -> OutputStatus:
    until(lambda: is_so(out.status()), "the output fares so", seconds=SECONDS)
    return out.status()


def write(out: HttpOutput, count: int, first: int = 1) -> list[bytes]:
    """That many reports; what they are."""
    reports = [make_report(number) for number in range(first, first + count)]
    for report in reports:
        out.write(report)
    return [report.data for report in reports]


def bodies(receiver: Receiver, count: int) -> list[bytes]:
    return [posted.body for posted in receiver.wait_for(count)]


def closed_port() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_report_is_posted_with_what_it_is(sender: Sender) -> None:
    with receiving() as receiver:
        out = sender.open(receiver.url)
        out.write(make_report())
        (posted,) = receiver.wait_for(1)
        assert wait_for(out, lambda status: status.written == 1) == OutputStatus(f"http {receiver.url}", written=1)
    told = {name: posted.headers[name] for name in ("Content-Type", "User-Agent", "X-Nsagent-Report")}
    assert (posted.path, posted.body, told) == (
        "/reports",
        make_report().data,
        {"Content-Type": "application/x-ndjson", "User-Agent": "nsagent", "X-Nsagent-Report": "listeners"},
    )
    assert "Authorization" not in posted.headers


def test_reports_come_in_their_order_over_one_connection(sender: Sender) -> None:
    peers = set()

    def behave(handler: BaseHTTPRequestHandler) -> None:
        peers.add(handler.client_address)
        answer(200, b"thanks")(handler)

    out = sender.open(closed_port(), spool=True)
    sent = write(out, 50)
    out.close()
    with receiving(behave) as receiver:
        out = sender.open(receiver.url, spool=True)
        assert bodies(receiver, 50) == sent
        wait_for(out, lambda each: each.written == 50)
    assert len(peers) == 1


def test_no_connection_is_kept_while_there_is_nothing_to_send(sender: Sender) -> None:
    ended = Event()

    def behave(handler: BaseHTTPRequestHandler) -> None:
        answer(204)(handler)
        handler.close_connection = True
        if handler.connection.recv(1) == b"":
            ended.set()

    with receiving(behave) as receiver:
        write(sender.open(receiver.url), 1)
        assert ended.wait(SECONDS)


def test_a_receiver_that_reads_nothing_costs_no_more_than_the_deadline(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        out = sender.open(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout="300ms")
        out.write(make_report(data=b"x" * (16 << 20)))
        assert wait_for(out, lambda each: each.failed > 0).error == "no answer within 0.3 s; it is tried again"


def test_a_report_that_is_sent_again_has_the_same_key_and_another_one_another(sender: Sender) -> None:
    with receiving(in_turn(answer(503), answer(200))) as receiver:
        write(sender.open(receiver.url), 2)
        keys = [posted.headers["Idempotency-Key"] for posted in receiver.wait_for(3)]
    assert (keys[0] == keys[1], keys[1] == keys[2], len(keys[0])) == (True, False, 64)


@pytest.mark.parametrize("status", [500, 502, 503, 401, 403, 408, 425, 429, 307])
def test_what_a_receiver_does_not_take_for_long_comes_in_order_in_the_end(sender: Sender, status: int) -> None:
    with receiving(in_turn(*[answer(status, b"later")] * 30, answer(200))) as receiver:
        out = sender.open(receiver.url, spool=True)
        sent = write(out, 5)
        assert bodies(receiver, 35) == [sent[0]] * 30 + sent
        told = wait_for(out, lambda each: each.written == 5 and not each.spooled)
        assert told == OutputStatus(f"http {receiver.url}", written=5, failed=30)
        assert sender.told == [f"{receiver.url}: HTTP {status} later; it is tried again"]
    assert sender.pauses.noted[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert set(sender.pauses.noted[8:]) == {60}
    assert os.listdir(sender.spool) == []


@pytest.mark.parametrize("status", [400, 404, 413])
def test_what_would_be_refused_again_is_dropped_and_the_next_one_sent(sender: Sender, status: int) -> None:
    with receiving(in_turn(answer(status, b"no\x1b[31m\r\nsuch"), answer(200))) as receiver:
        out = sender.open(receiver.url, spool=True)
        sent = write(out, 2)
        assert bodies(receiver, 2) == sent
        told = wait_for(out, lambda each: each.written == 1)
        assert told == OutputStatus(f"http {receiver.url}", written=1, failed=1, dropped=1)
        assert sender.told == [f"{receiver.url}: 1 report refused: HTTP {status} no [31m such"]


@pytest.mark.parametrize(
    ("header", "pause"), [("7", 7.0), ("100000", MAX_RETRY_AFTER_SECONDS), ("9" * 5000, 1.0), ("soon", 1.0), ("0", 1.0)]
)
def test_a_receiver_says_how_long_to_wait_within_bounds(sender: Sender, header: str, pause: float) -> None:
    with receiving(in_turn(answer(429, Retry_After=header), answer(200))) as receiver:
        write(sender.open(receiver.url), 1)
        receiver.wait_for(2)
    assert sender.pauses.noted == [pause]


def test_a_receiver_that_was_well_is_not_waited_for_as_long_as_before(sender: Sender) -> None:
    statuses = (503, 503, 200, 503, 400, 503, 200)
    with receiving(in_turn(*map(answer, statuses))) as receiver:
        write(sender.open(receiver.url), 3)
        receiver.wait_for(len(statuses))
    assert sender.pauses.noted == [1, 2, 1, 1]


def test_pauses_are_never_all_alike_and_have_no_end() -> None:
    pauses = Pauses(lambda: 0.5)
    assert [pauses.next_seconds(None) for _ in range(3)] == [0.875, 1.75, 3.5]
    assert {pauses.next_seconds(None) for _ in range(3000)} == {7.0, 14.0, 28.0, 52.5}


def test_without_a_spool_a_report_has_so_many_tries(sender: Sender) -> None:
    with receiving(in_turn(*[answer(500)] * MAX_TRIES, answer(200))) as receiver:
        out = sender.open(receiver.url)
        sent = write(out, 2)
        assert bodies(receiver, MAX_TRIES + 1) == [sent[0]] * MAX_TRIES + [sent[1]]
        told = wait_for(out, lambda each: each.written == 1)
        assert told == OutputStatus(f"http {receiver.url}", written=1, failed=MAX_TRIES, dropped=1)


def test_a_receiver_that_is_down_gets_all_when_it_is_up_again_also_after_a_restart(sender: Sender) -> None:
    out = sender.open(closed_port(), spool=True)
    sent = write(out, 3)
    error = wait_for(out, lambda each: each.failed > 0).error
    assert error == "Connection refused; it is tried again"
    out.close()
    with receiving() as receiver:
        out = sender.open(receiver.url, spool=True)
        sent += write(out, 2, first=4)
        assert bodies(receiver, 5) == sent
        wait_for(out, lambda each: each.written == 5)


def test_what_waits_in_memory_when_it_is_closed_is_told(sender: Sender) -> None:
    """At the end of the agent, and where another config has no such output."""
    url = closed_port()
    out = sender.open(url)
    write(out, 1)
    wait_for(out, lambda each: each.failed > 0)
    out.close()
    assert sender.told[-1] == f"{url}: 1 report not sent: the agent ends, or its config has no such output any more"


def test_a_spool_that_is_full_lets_the_oldest_go_and_counts(sender: Sender) -> None:
    out = sender.open(closed_port(), spool=True, bounds={"max_size": "1KiB"})
    sent = write(out, 20)
    kept = out.status().spooled
    assert 0 < kept < 20
    assert out.status().dropped == 20 - kept
    out.close()
    with receiving() as receiver:
        sender.open(receiver.url, spool=True)
        assert bodies(receiver, kept) == sent[-kept:]


def test_memory_is_bounded_where_there_is_no_spool(sender: Sender) -> None:
    out = sender.open(closed_port(), max_waiting=3)
    write(out, 20)
    out.close(1.0)
    status = out.status()
    assert (status.written, status.dropped) == (0, 20)


def test_a_report_that_may_not_wait_is_refused(sender: Sender) -> None:
    out = sender.open(closed_port(), max_waiting_bytes=10)
    with pytest.raises(OutputFailed, match="the report has 14 bytes, more than may wait"):
        write(out, 1)
    assert out.status().dropped == 1


def test_a_spool_that_cannot_be_used_is_told_and_reports_go_all_the_same(sender: Sender) -> None:
    sender.spool.mkdir(mode=0o700)
    (sender.spool / "precious").touch()
    with receiving() as receiver:
        out = sender.open(receiver.url, spool=True)
        sent = write(out, 2)
        assert bodies(receiver, 2) == sent
        error = f"spool {sender.spool}: cannot be used: it holds 'precious', which is none of its own"
        told = wait_for(out, lambda each: each.written == 2)
        assert told == OutputStatus(f"http {receiver.url}", written=2, error=f"{error}; reports wait in memory")
        (sender.spool / "precious").unlink()
        write(out, 1, first=3)
        assert wait_for(out, lambda each: each.written == 3).error is None


def test_a_report_under_way_is_not_put_in_a_spool_that_can_be_used_meanwhile(sender: Sender) -> None:
    sender.spool.mkdir(mode=0o700)
    (sender.spool / "precious").touch()
    is_asked, is_well = Event(), Event()

    def wait(handler: BaseHTTPRequestHandler) -> None:
        is_asked.set()
        is_well.wait(SECONDS)
        answer(200)(handler)

    with receiving(in_turn(wait, answer(200))) as receiver:
        out = sender.open(receiver.url, spool=True)
        sent = write(out, 1)
        assert is_asked.wait(SECONDS)
        (sender.spool / "precious").unlink()
        sent += write(out, 1, first=2)
        is_well.set()
        wait_for(out, lambda each: each.written >= 2)
        out.close(SECONDS)
        assert bodies(receiver, 2) == sent


def test_a_spool_that_is_removed_is_made_anew(sender: Sender) -> None:
    out = sender.open(closed_port(), spool=True)
    sender.spool.rmdir()
    write(out, 2)
    until(lambda: out.status().spooled or write(out, 1), "the reports are in the spool again", seconds=SECONDS)
    assert os.listdir(sender.spool)


def test_a_damaged_record_is_told_and_counted_and_the_others_come(sender: Sender) -> None:
    out = sender.open(closed_port(), spool=True)
    sent = write(out, 3)
    out.close()
    torn = sorted(os.listdir(sender.spool))[1]
    os.truncate(sender.spool / torn, 50)
    with receiving() as receiver:
        out = sender.open(receiver.url, spool=True)
        assert bodies(receiver, 2) == [sent[0], sent[2]]
        assert wait_for(out, lambda each: each.written == 2).dropped == 1
    assert f"{receiver.url}: 1 report damaged in {torn} of the spool" in sender.told


def test_a_record_that_cannot_be_read_for_a_while_comes_in_its_turn(sender: Sender) -> None:
    away, link = sender.spool.with_name("away"), sender.spool.with_name("link")
    link.symlink_to(away)

    def harm(handler: BaseHTTPRequestHandler) -> None:
        first = sender.spool / min(os.listdir(sender.spool))
        first.rename(away)
        link.rename(first)
        answer(503)(handler)

    with receiving(in_turn(harm, answer(200))) as receiver:
        out = sender.open(receiver.url, spool=True)
        sent = write(out, 1)
        error = f"{receiver.url}: spool: cannot be read: Too many levels of symbolic links; it is tried again"
        until(lambda: error in sender.told, "it is told", seconds=SECONDS)
        away.rename(sender.spool / min(os.listdir(sender.spool)))
        sent += write(out, 1, first=2)
        assert bodies(receiver, 3) == [sent[0], *sent]


def test_a_spool_that_is_removed_while_a_request_is_under_way_costs_nothing_that_comes_later(sender: Sender) -> None:
    """Names of records begin anew in a new directory: the answer is not about the one of that name there."""
    is_asked, is_removed = Event(), Event()

    def wait(handler: BaseHTTPRequestHandler) -> None:
        is_asked.set()
        is_removed.wait(SECONDS)
        answer(200)(handler)

    with receiving(in_turn(wait, answer(200))) as receiver:
        out = sender.open(receiver.url, spool=True)
        sent = write(out, 1)
        assert is_asked.wait(SECONDS)
        shutil.rmtree(sender.spool)
        sent += write(out, 2, first=2)
        is_removed.set()
        assert bodies(receiver, 3) == sent
        assert wait_for(out, lambda each: each.written == 3).dropped == 0


def silent(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.recv(1)


def dripping_head(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"X")
        time.sleep(0.02)


def dripping_body(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    dripping_head(handler)


@pytest.mark.parametrize("behave", [silent, dripping_head])
def test_a_request_ends_at_its_deadline_however_slow_the_answer(
    sender: Sender, behave: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    with receiving(in_turn(behave, answer(200))) as receiver:
        out = sender.open(receiver.url, timeout="300ms")
        sent = write(out, 1)
        assert bodies(receiver, 2) == sent * 2
        assert sender.told == [f"{receiver.url}: no answer within 0.3 s; it is tried again"]


def test_a_handshake_that_drips_ends_at_its_deadline(sender: Sender) -> None:
    """urllib3 waits anew for each byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"\x16\x03\x03\x3f\xff")
                    while True:
                        connection.sendall(b"\x02")
                        time.sleep(0.02)

        dripper = threading.Thread(target=drip, daemon=True)
        dripper.start()
        out = sender.open(f"https://127.0.0.1:{listener.getsockname()[1]}/", timeout="300ms")
        write(out, 1)
        assert wait_for(out, lambda each: each.failed > 0).error == "no answer within 0.3 s; it is tried again"
        dripper.join(SECONDS)
        assert not dripper.is_alive()


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def head_only(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    hang_up(handler)


def no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\x1b[31mrubbish\r\n\r\n")
    hang_up(handler)


def endless_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")


@pytest.mark.parametrize("behave", [hang_up, no_http, endless_head])
def test_half_an_answer_is_none(sender: Sender, behave: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with receiving(in_turn(behave, answer(200))) as receiver:
        out = sender.open(receiver.url)
        sent = write(out, 1)
        assert bodies(receiver, 2) == sent * 2
        assert wait_for(out, lambda each: each.written == 1).failed == 1
        (told,) = sender.told
        assert told.isascii()
        assert told.isprintable()


@pytest.mark.parametrize("behave", [head_only, dripping_body])
def test_the_head_of_an_answer_is_enough(sender: Sender, behave: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with receiving(in_turn(behave, answer(200))) as receiver:
        out = sender.open(receiver.url, timeout="300ms")
        sent = write(out, 2)
        assert bodies(receiver, 2) == sent
        assert wait_for(out, lambda each: each.written == 2) == OutputStatus(f"http {receiver.url}", written=2)


def test_an_answer_without_end_is_read_no_further_than_needed(sender: Sender) -> None:
    ended = Event()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        try:
            while True:
                handler.wfile.write(b"x" * 100_000)
        except OSError:
            ended.set()
            raise

    with receiving(endless) as receiver:
        out = sender.open(receiver.url)
        write(out, 1)
        assert wait_for(out, lambda each: each.written == 1).error is None
        assert ended.wait(SECONDS)


def test_no_redirect_is_followed(sender: Sender) -> None:
    with receiving() as elsewhere, receiving(answer(301, Location=elsewhere.url)) as receiver:
        out = sender.open(receiver.url, token_file=None)
        write(out, 1)
        receiver.wait_for(MAX_TRIES)
        assert wait_for(out, lambda each: each.dropped == 1).written == 0
        elsewhere.wait_for(0)
        assert elsewhere.wait_for(0) == []


def test_the_environment_names_no_proxy(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, closed_port())
    with receiving() as receiver:
        sent = write(sender.open(receiver.url), 1)
        assert bodies(receiver, 1) == sent


def test_a_token_is_read_anew_for_each_report_and_waited_for(sender: Sender, tmp_path: Path) -> None:
    token = tmp_path / "token"
    with receiving() as receiver:
        out = sender.open(receiver.url, spool=True, token_file=str(token))
        write(out, 1)
        error = f"{token}: No such file or directory; it is tried again"
        assert wait_for(out, lambda each: each.failed > 0).error == error
        (tmp_path / "first").write_text("first\n")
        (tmp_path / "first").rename(token)
        receiver.wait_for(1)
        (tmp_path / "second").write_text("second\n")
        (tmp_path / "second").rename(token)
        write(out, 1, first=2)
        assert [each.headers["Authorization"] for each in receiver.wait_for(2)] == ["Bearer first", "Bearer second"]
        assert "first" not in "".join(sender.told)


def test_a_server_is_believed_by_the_certificates_that_the_config_names(sender: Sender, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    with receiving(certificates=tmp_path) as receiver:
        sent = write(sender.open(receiver.url, ca_file=str(tmp_path / "ca.pem")), 1)
        assert bodies(receiver, 1) == sent


@pytest.mark.parametrize(
    ("ca_file", "name", "told"),
    [
        (None, "127.0.0.1", "TLS: self-signed certificate"),
        ("ca.pem", "127.0.0.9", "TLS: IP address mismatch, certificate is not valid for '127.0.0.1'."),
        ("key.pem", "127.0.0.1", "{directory}/key.pem: "),
        ("missing.pem", "127.0.0.1", "{directory}/missing.pem: No such file or directory"),
    ],
)
def test_a_server_that_nobody_vouches_for_gets_nothing(
    sender: Sender, tmp_path: Path, ca_file: str | None, name: str, told: str
) -> None:
    make_certificate(tmp_path, name)
    with receiving(certificates=tmp_path) as receiver:
        out = sender.open(receiver.url, ca_file=ca_file and str(tmp_path / ca_file))
        write(out, 1)
        error = wait_for(out, lambda each: each.failed > 0).error
        assert error is not None
        assert error.startswith(told.format(directory=tmp_path))
        assert receiver.wait_for(0) == []


def test_a_connection_whose_receiver_hung_up_before_tls_is_closed() -> None:
    """ssl alone leaves its socket open until the garbage is collected, which a warning tells."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
    with pytest.raises(ConnectionResetError, match="Connection reset by peer") as caught:
        make_context(None).wrap_socket(client, server_hostname="127.0.0.1")
    del client, caught
    gc.collect()


def test_certificates_that_were_renewed_are_read(sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    make_certificate(tmp_path / "old")
    make_certificate(tmp_path)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes((tmp_path / "old" / "ca.pem").read_bytes())
    with receiving(certificates=tmp_path) as receiver:
        out = sender.open(receiver.url, spool=True, ca_file=str(trusted))
        sent = write(out, 1)
        wait_for(out, lambda each: each.failed > 0)
        (tmp_path / "ca.pem").rename(trusted)
        assert bodies(receiver, 1) == sent


def test_certificates_are_those_of_a_file_with_words_in_any_letters_between_them(
    sender: Sender, tmp_path: Path
) -> None:
    make_certificate(tmp_path)
    trusted = tmp_path / "trusted.pem"
    trusted.write_text("")
    with receiving(certificates=tmp_path) as receiver:
        out = sender.open(receiver.url, spool=True, ca_file=str(trusted))
        sent = write(out, 1)
        told = wait_for(out, lambda each: each.failed > 0).error
        assert told == f"{trusted}: expected certificates as PEM; it is tried again"
        trusted.write_text(f"# F\u0151tan\u00fas\u00edtv\u00e1ny\n{(tmp_path / 'ca.pem').read_text()}")
        assert bodies(receiver, 1) == sent


def test_a_bug_costs_a_try_and_not_all_that_waits(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        post, bugs = Poster.post, ["made so", "made so"]

        def post_or_fail(poster: Poster, data: bytes, headers: Mapping[str, str]) -> Answer:
            if bugs:
                raise RuntimeError(bugs.pop())
            return post(poster, data, headers)

        monkeypatch.setattr(Poster, "post", post_or_fail)
        out = sender.open(receiver.url)
        assert bodies(receiver, 0) == []
        sent = write(out, 2)
        assert bodies(receiver, 2) == sent
        assert out.status().failed == 2
        assert sender.told == [
            "http://" + receiver.url.partition("://")[2] + ": a bug: RuntimeError('made so'); it is tried again"
        ]


def test_keys_of_sessions_are_written_nowhere(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificate(tmp_path)
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with receiving(certificates=tmp_path) as receiver:
        write(sender.open(receiver.url, ca_file=str(tmp_path / "ca.pem")), 1)
        receiver.wait_for(1)
    assert not (tmp_path / "keys").exists()


def test_a_writer_never_waits_for_the_receiver(sender: Sender) -> None:
    let_go = Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        let_go.wait(SECONDS)
        answer(200)(handler)

    with receiving(hang) as receiver:
        out = sender.open(receiver.url, timeout="60s")
        sent = write(out, 10)  # All of them, while the first one hangs.
        receiver.wait_for(1)
        let_go.set()
        assert bodies(receiver, 10) == sent


@pytest.mark.parametrize("spool", [True, False])
def test_a_close_ends_a_request_that_hangs_within_its_time(sender: Sender, spool: bool) -> None:
    with receiving(silent) as receiver:
        out = sender.open(receiver.url, spool=spool, timeout="60s")
        write(out, 2)
        receiver.wait_for(1)
        began = time.monotonic()
        out.close(0.5)
        assert time.monotonic() - began < 5  # Not the 60 s of the request.
        status = out.status()
        assert (status.written, status.dropped) == (0, 0 if spool else 2)
    assert len(os.listdir(sender.spool) if spool else ["", ""]) == 2


def test_a_close_sends_what_waits_first(sender: Sender) -> None:
    with receiving() as receiver:
        out = sender.open(receiver.url)
        sent = write(out, 20)
        out.close(SECONDS)
        assert out.status() == OutputStatus(f"http {receiver.url}", written=20)
        assert bodies(receiver, 20) == sent
        with pytest.raises(OutputFailed, match="is closed"):
            write(out, 1)


def test_a_close_with_a_spool_does_not_wait_for_a_receiver_that_is_down(sender: Sender) -> None:
    out = sender.open(closed_port(), spool=True)
    write(out, 1)
    wait_for(out, lambda each: each.failed > 0)
    began = time.monotonic()
    out.close(SECONDS)
    assert time.monotonic() - began < SECONDS / 2


def test_a_closed_spool_may_be_opened_at_once(sender: Sender) -> None:
    """As by a new config, while a request of the old one still hangs."""
    with receiving(in_turn(silent, answer(200))) as receiver:
        out = sender.open(receiver.url, spool=True, timeout="60s")
        sent = write(out, 1)
        receiver.wait_for(1)
        out.close()
        out = sender.open(receiver.url, spool=True)
        assert bodies(receiver, 2) == sent * 2
        assert wait_for(out, lambda each: each.written == 1).error is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host:8443/path?token=secret#part", "https://host:8443/path"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("http://host", "http://host"),
    ],
)
def test_secrets_of_a_url_are_not_shown(url: str, shown: str) -> None:
    assert describe_url(url) == shown


def test_a_kill_at_any_moment_costs_no_report_that_was_handed_over(sender: Sender) -> None:
    with receiving(in_turn(answer(200), answer(503), answer(200))) as receiver:
        handed_over = 0
        for round_ in range(trials(default=3, full=100)):
            with subprocess.Popen(
                [sys.executable, "-m", "tests.agent.outputs.sending_program",
                 receiver.url, str(sender.spool), str(handed_over + 1)],
                stdout=subprocess.PIPE, text=True,
            ) as process:  # fmt: skip
                assert process.stdout is not None
                for _ in range(3 + 7 * round_ % 40):
                    handed_over = int(process.stdout.readline())
                process.kill()
                for line in process.stdout:
                    handed_over = int(line)
        out = sender.open(receiver.url, spool=True)
        until(lambda: not out.status().spooled and out.status().written, "all are sent", seconds=SECONDS)
        first_seen = dict.fromkeys(posted.body for posted in receiver.wait_for(handed_over))
    taken = list(first_seen)
    assert taken[:handed_over] == [make_report(number).data for number in range(1, handed_over + 1)]
    # One that was kept and not reported, as the kill came between the two.
    assert len(taken) <= handed_over + 1


def test_where_there_is_no_thread_to_be_had_reports_are_sent_later(sender: Sender) -> None:
    """A stack that does not fit into memory stands for a cgroup whose PIDs are used up."""
    with receiving() as receiver:
        before = threading.stack_size(1 << 46)
        try:
            out = sender.open(receiver.url)
            sent = write(out, 1)
        finally:
            threading.stack_size(before)
        sent += write(out, 1, first=2)
        assert bodies(receiver, 2) == sent
