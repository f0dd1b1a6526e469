"""Command lines of the owners of rows, of real processes: what is told of them, when, and what it may cost."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nsagent.errors import Reason
from nsagent.kernel.lookups import Lookups
from nsagent.kernel.procfs import ProcFs
from nsagent.model.choices import Cmdline
from nsagent.model.gap import AlikeGaps, Kind, Stage, Subject
from nsagent.model.ids import Pid
from nsagent.model.process import CommandLine, ProcessKey
from nsagent.model.snapshot import Snapshot
from nsagent.scan.collect.command_lines import CommandLines
from tests.kernel.test_lookups import start_neighbours
from tests.live.capabilities import Capability, require
from tests.scan.snapshots import listener, process, snapshot

PROGRAM = "import sys; print(flush=True); sys.stdin.read()"
ENOUGH_SECONDS = 60.0


@contextmanager
def start(*arguments: str | bytes) -> Iterator[ProcessKey]:
    """A process with these arguments behind those of the interpreter."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield find_key(child.pid)
        child.communicate()


def find_key(pid: int) -> ProcessKey:
    with ProcFs().open_process(Pid(pid)) as held:
        return ProcessKey(Pid(pid), held.read_stat().start_ticks)


def held_by(*keys: ProcessKey) -> Snapshot:
    """A snapshot in which each of these has a listener."""
    return snapshot(*(listener(80 + at, process(key.pid, start_ticks=key.start_ticks)) for at, key in enumerate(keys)))


def make(*, seconds: float = ENOUGH_SECONDS, stop: threading.Event | None = None) -> CommandLines:
    return CommandLines("/proc", Lookups(), clock=time.monotonic, stop=stop or threading.Event(), seconds=seconds)


def test_arguments_are_told_as_they_are_given_but_for_secrets() -> None:
    with start("a  b", "", b"\xff\x1b", "--password", "hunter2", "") as key:
        told = make().add(held_by(key), Cmdline.FULL)
    argv = (sys.executable, "-c", PROGRAM, "a  b", "", "\udcff\x1b", "--password", "***", "")
    assert told.command_lines == {key: CommandLine(argv)}
    assert told.coverage == held_by(key).coverage


def test_the_first_argument_alone_is_told_where_no_more_is_asked_for() -> None:
    with start("--password", "hunter2", "x" * 5000) as key:
        told = make().add(held_by(key), Cmdline.ARGV0)
    assert told.command_lines == {key: CommandLine((sys.executable,))}


def test_nothing_is_read_where_nothing_is_asked_for() -> None:
    """Not even which process it is: there is none."""
    one = held_by(ProcessKey(Pid(1 << 22), 1))
    assert make(seconds=0.0).add(one, Cmdline.NONE) is one


def test_a_command_line_of_more_than_4_kib_is_cut_and_says_so() -> None:
    with start("x" * 10_000, "y") as key:
        told = make().add(held_by(key), Cmdline.FULL)
    assert told.command_lines is not None
    argv, cut = told.command_lines[key]
    assert (sum(len(each) + 1 for each in argv), argv[-1].strip("x"), cut) == (4097, "", True)


def test_a_pid_that_another_process_has_by_now_tells_nothing_of_that() -> None:
    with start("other") as key:
        earlier = key._replace(start_ticks=key.start_ticks - 1)
        told = make().add(held_by(earlier), Cmdline.FULL)
    assert (told.command_lines, told.coverage) == ({}, held_by(earlier).coverage)


def test_who_has_ended_has_none_and_is_no_gap() -> None:
    with start() as key:
        pass
    told = make().add(held_by(key), Cmdline.FULL)
    assert (told.command_lines, told.coverage) == ({}, held_by(key).coverage)


def test_a_process_is_read_once_for_all_who_ask() -> None:
    lines = make()
    with start("a") as key, start("b") as other:
        first = lines.add(held_by(key), Cmdline.FULL)
    second = lines.add(held_by(key, other), Cmdline.FULL)
    assert second.command_lines == first.command_lines


def test_a_pass_that_is_told_to_stop_reads_no_more() -> None:
    stop = threading.Event()
    stop.set()
    with start() as key:
        told = make(stop=stop).add(held_by(key), Cmdline.FULL)
    assert [gap.reason for gap in told.coverage.gaps] == [Reason.NO_ANSWER]


def test_one_whose_memory_is_locked_costs_the_budget_and_no_other_command_line() -> None:
    """It unmaps a file whose server does not take what was written: so long nobody reads its command line."""
    require(Capability.FUSE)
    with start_neighbours("mapped") as (hung,), start("a") as key:
        hung_key = find_key(hung.pid)
        lines = make(seconds=1.0)
        asked = held_by(hung_key, key)
        told = lines.add(asked, Cmdline.ARGV0)
        started = time.monotonic()
        again = lines.add(asked, Cmdline.ARGV0)
        took = time.monotonic() - started
    gap = AlikeGaps(
        Stage.COMMAND_LINES,
        Kind.COMMAND_LINE,
        (Subject(Kind.COMMAND_LINE, str(hung.pid)),),
        Reason.NO_ANSWER,
        None,
        None,
        1,
    )
    assert told.command_lines == {key: CommandLine((sys.executable,))}
    assert told.coverage == asked.coverage._replace(complete=False, gaps=(gap,))
    assert (again, took < 0.5) == (told, True)
