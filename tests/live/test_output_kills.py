"""SIGKILL at each system call of writing a report (T6): no report is torn, and the next start leaves nothing astray."""

import os
import re
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from nsagent.agent.outputs import open_output
from nsagent.agent.outputs.spool import Spool
from nsagent.agent.outputs.stdout import Stdout
from nsagent.config.model import FileOutput
from tests.agent.outputs.reports import make_report
from tests.live.capabilities import PATH, Capability, require
from tests.live.deadlines import until

pytestmark = pytest.mark.timeout(1200)

ROOT: Final = Path(__file__).parent.parent.parent
SECONDS: Final = 60.0
EARLIER: Final = tuple(range(1, 4))
LAST: Final = 9
KINDS: Final = ("whole", "appended", "rotated", "spooled")


class Writers:
    """Makes writers that are traced from the first call of writing on."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace
        self._waits_at, self._gate = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.output_forks", str(self._waits_at)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[self._waits_at], cwd=ROOT,
        )  # fmt: skip
        assert self._listen() == "ready\n"

    def run(self, kind: str, directory: Path, *options: str) -> int:
        """The exit status of one writer under strace with these options."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind}\t{directory}\n")
        self._process.stdin.flush()
        pid = int(self._listen())
        with subprocess.Popen(
            ["strace", "-f", "-o", self._trace, *options, "-p", str(pid)],
            stderr=subprocess.PIPE, text=True, env={**os.environ, "PATH": PATH},
        ) as strace:  # fmt: skip
            assert strace.stderr is not None
            assert strace.stderr.readline() == f"strace: Process {pid} attached\n"
            until(lambda: waits_or_is_dead(pid), "the writer waits at the gate again")
            os.write(self._gate, b"x")
            status = int(self._listen())
            strace.wait(SECONDS)
        if select.select([self._waits_at], [], [], 0)[0]:
            os.read(self._waits_at, 1)  # This one did not live to read it.
        return status

    def count_calls(self, kind: str, directory: Path) -> Counter[str]:
        """How often each call is made."""
        assert self.run(kind, directory, "-e", "trace=all") == 0
        lines = self._trace.read_text("utf-8", "replace").splitlines()
        return Counter(match[1] for line in lines if (match := re.match(r"\d+ +([a-z0-9_]+)\(", line)))

    def close(self) -> None:
        """End the program that forks."""
        os.close(self._gate)
        os.close(self._waits_at)
        self._process.kill()
        self._process.communicate()

    def _listen(self) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], SECONDS)
        assert ready, "a writer hangs"
        return self._process.stdout.readline()


def waits_or_is_dead(pid: int) -> bool:
    """Of one that strace has interrupted, so that its wait for the gate is a call like others: it is made again."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "SZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Writers]:
    require(Capability.STRACE)
    made = Writers(tmp_path / "trace")
    try:
        yield made
    finally:
        made.close()


def texts(*numbers: int) -> bytes:
    return b"".join(make_report(number).data for number in numbers)


def begin(kind: str, directory: Path) -> None:
    """What earlier reports have left."""
    directory.mkdir()
    if kind == "whole":
        (directory / "report").write_bytes(texts(3))
    elif kind == "appended":
        (directory / "report").write_bytes(texts(*EARLIER))
    elif kind == "rotated":
        for name, number in (("report.2", 1), ("report.1", 2)):
            (directory / name).write_bytes(texts(number))
        (directory / "report").write_bytes(texts(3, 3))
    else:
        spool = Spool(str(directory), 1 << 20)
        for number in EARLIER:
            spool.append(make_report(number))
        spool.close()


def start_again(kind: str, directory: Path) -> bytes:
    """All reports that a next start finds, oldest first; it leaves nothing that is none."""
    if kind == "spooled":
        spool = Spool(str(directory), 1 << 20)
        found = b""
        while head := spool.first():
            assert head[1] is not None, "a torn record"
            found += head[1].data
            spool.remove(head[0])
        spool.close()
        assert os.listdir(directory) == []
        return found
    config = {"type": "file", "path": str(directory / "report")}
    config |= {} if kind == "whole" else {"max_size": "1MiB"}
    open_output(FileOutput.model_validate(config), stdout=Stdout(None), tell=pytest.fail)
    names = sorted(os.listdir(directory), reverse=True)
    assert set(names) <= {"report", "report.1", "report.2", "report.3"}, names
    newest_last = [name for name in names if name != "report"] + [name for name in names if name == "report"]
    return b"".join((directory / name).read_bytes() for name in newest_last)


ALLOWED: Final = {
    "whole": {texts(3), texts(LAST)},
    "appended": {texts(*EARLIER), texts(*EARLIER, LAST)},
    "rotated": {texts(1, 2, 3, 3), texts(1, 2, 3, 3, LAST)},
    # The bound of the spool makes the oldest go, after the new one is there.
    "spooled": {texts(*EARLIER), texts(*EARLIER, LAST), texts(2, 3, LAST), texts(3, LAST)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_call_tears_no_report_and_leaves_nothing_astray(
    tmp_path: Path, writers: Writers, kind: str
) -> None:
    begin(kind, tmp_path / "first")
    calls = writers.count_calls(kind, tmp_path / "first")
    assert start_again(kind, tmp_path / "first") in ALLOWED[kind]
    found = Counter[bytes]()
    for name, count in sorted(calls.items()):
        for at in range(1, count + 1):
            directory = tmp_path / f"{name}-{at}"
            begin(kind, directory)
            status = writers.run(kind, directory, "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={at}")
            assert status == -9, f"{name} {at} was not killed"
            left = start_again(kind, directory)
            assert left in ALLOWED[kind], f"{name} {at}"
            found[left] += 1
    print(f"{kind}: killed at {sum(calls.values())} calls")
    assert len(found) > 1  # Before and after.
