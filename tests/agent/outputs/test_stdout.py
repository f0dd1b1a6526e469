"""Reports on stdout: a pipe that is slow, full, closed, or not there."""

import os
from collections.abc import Iterator
from threading import Thread
from typing import NamedTuple

import pytest

from nsagent.agent.outputs import open_output
from nsagent.agent.outputs.report import Out
from nsagent.agent.outputs.stdout import Stdout
from nsagent.agent.status import OutputStatus
from nsagent.config.model import StdoutOutput
from nsagent.errors import OutputFailed
from tests.agent.outputs.reports import make_report

LARGE = b"x" * (1 << 20) + b"\n"


class Pipe(NamedTuple):
    """Both ends."""

    reader: int
    writer: int

    def read(self) -> bytes:
        """All that is in it now."""
        os.set_blocking(self.reader, False)
        found = b""
        try:
            while piece := os.read(self.reader, 1 << 20):
                found += piece
        except BlockingIOError:
            pass
        return found


@pytest.fixture(params=[True, False], ids=["blocking", "nonblocking"])
def pipe(request: pytest.FixtureRequest) -> Iterator[Pipe]:
    made = Pipe(*os.pipe())
    os.set_blocking(made.writer, request.param)
    yield made
    for fd in made:
        try:
            os.close(fd)
        except OSError:
            continue


def open_stdout(fd: int | None, patience_seconds: float = 30.0) -> Out:
    return open_output(
        StdoutOutput(type="stdout"), stdout=Stdout(fd, patience_seconds=patience_seconds), tell=pytest.fail
    )


def failure(out: Out, data: bytes) -> str:
    with pytest.raises(OutputFailed) as failed:
        out.write(make_report(data=data))
    return str(failed.value)


def test_a_report_is_written_whole_to_a_slow_reader(pipe: Pipe) -> None:
    out = open_stdout(pipe.writer)

    def write() -> None:
        out.write(make_report(data=LARGE))
        os.close(pipe.writer)

    writer = Thread(target=write)
    writer.start()
    with os.fdopen(os.dup(pipe.reader), "rb") as reader:
        assert reader.read() == LARGE
    writer.join()
    assert out.status() == OutputStatus("stdout", written=1)


def test_a_report_that_was_begun_is_ended_before_the_next(pipe: Pipe) -> None:
    out = open_stdout(pipe.writer, patience_seconds=0)
    assert failure(out, LARGE) == "stdout: cannot be written: it is read too slowly"
    assert failure(out, b"lost\n") == "stdout: cannot be written: nobody reads it"
    read = pipe.read()
    while len(read) < len(LARGE):
        failure(out, b"lost\n") if len(LARGE) - len(read) > 1 << 16 else out.write(make_report(data=b"next\n"))
        read += pipe.read()
    read += pipe.read()
    assert read == LARGE + b"next\n"


def test_a_report_of_which_nothing_went_out_is_left_out(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    fill = os.write(pipe.writer, b"-" * (1 << 20))
    out = open_stdout(pipe.writer, patience_seconds=0)
    assert failure(out, b"lost\n") == "stdout: cannot be written: nobody reads it"
    assert pipe.read() == b"-" * fill
    out.write(make_report(data=b"next\n"))
    assert pipe.read() == b"next\n"
    assert out.status() == OutputStatus("stdout", written=1, failed=1)


def test_a_reader_that_stopped_is_waited_for_once(pipe: Pipe) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    stdout = Stdout(pipe.writer, patience_seconds=0.5, clock=clock)
    with pytest.raises(OSError, match="too slowly"):
        stdout.put(LARGE)
    waited = now[0]
    with pytest.raises(OSError, match="nobody"):
        stdout.put(b"lost\n")
    assert now[0] - waited <= 2


def test_a_reader_that_is_gone_is_one_line(pipe: Pipe) -> None:
    os.close(pipe.reader)
    assert failure(open_stdout(pipe.writer), b"lost\n") == "stdout: cannot be written: Broken pipe"


def test_an_agent_without_stdout_says_so() -> None:
    assert failure(open_stdout(None), b"lost\n") == "stdout: cannot be written: Bad file descriptor"


def test_reports_to_a_full_device_fail() -> None:
    with open("/dev/full", "wb") as full:
        assert failure(open_stdout(full.fileno()), b"lost\n") == "stdout: cannot be written: No space left on device"
