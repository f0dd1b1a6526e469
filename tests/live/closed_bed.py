"""A machine within the machine: PIDs, mounts and netns of its own, in which nothing runs but what a test starts.

Its PID 1 can be read, and no process of anybody else is to be seen: what a scan in there says can
be compared with what was made, to the last row. All of it ends with its PID 1, and that with the
process of the test.
"""

import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.live.capabilities import PATH
from tests.live.leftovers import marked_environment
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import NSAGENT, Ran, Scan, clean_environment, run_nsagent, run_scan

INIT = os.path.join(os.path.dirname(__file__), "bed_init.py")
NAMESPACES = ("--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net")
START_SECONDS = 60.0


class ClosedBed:
    """One such machine; nobody in there has the capabilities `without`, and PIDs end at `pid_max`."""

    def __init__(self, token: str, *, without: Sequence[str] = (), pid_max: int = 0) -> None:
        self._environment = {**marked_environment(token), "PATH": PATH}
        self._drop = ["setpriv", f"--bounding-set={','.join(f'-{name}' for name in without)}", "--"] if without else []
        self._started: list[subprocess.Popen[bytes]] = []
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        try:
            init = [*self._drop, sys.executable, "-I", "-S", INIT, str(proc), str(pid_max)]
            self._unshare = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, *init],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                pass_fds=[proc],
                start_new_session=True,
            )
        finally:
            os.close(proc)
        try:
            self.init_pid = int(_read_line(self._unshare))
        except BaseException:
            self._end()
            raise
        self.netns_bed = NetnsBed(token, enter=self.enter, root=self.root)

    @property
    def enter(self) -> list[str]:
        """What to put before a command to run it in here."""
        return ["nsenter", f"--target={self.init_pid}", "--pid", "--mount", "--net", "--", *self._drop]

    @property
    def root(self) -> str:
        """The root directory in here, as the test sees it."""
        return f"/proc/{self.init_pid}/root"

    @property
    def host_netns(self) -> int:
        """The netns that PID 1 is in."""
        return os.stat(f"/proc/{self.init_pid}/ns/net").st_ino

    def run_nsagent(self, *arguments: str, before: Sequence[str] = ()) -> Ran:
        """nsagent in here, run by `before` if that is given."""
        return run_nsagent(*arguments, command=[*self.enter, *before, *NSAGENT], env=self._clean())

    def scan(self, *options: str, before: Sequence[str] = ()) -> Scan:
        """The snapshot of a scan in here."""
        return run_scan("--runtime", "none", *options, command=[*self.enter, *before, *NSAGENT], env=self._clean())

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A program in here, with pipes; it ends at the latest with the bed."""
        started = subprocess.Popen(
            [*self.enter, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment
        )
        self._started.append(started)
        return started

    def run(self, *command: str) -> str:
        """What a command in here says; raises RuntimeError with what it said on stderr if it fails."""
        done = subprocess.run(
            [*self.enter, *command],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        """End everything in here."""
        try:
            self.netns_bed.close()
        finally:
            self._end()

    def _end(self) -> None:
        """End PID 1, and with it the rest."""
        _close_pipes(self._unshare)
        try:
            self._unshare.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._unshare.kill()
            self._unshare.wait()
        for started in self._started:
            _close_pipes(started)
            started.wait()

    def _clean(self) -> Mapping[str, str]:
        return {**clean_environment(), "PATH": PATH}


def read_report(process: subprocess.Popen[bytes], last: str) -> list[list[str]]:
    """The lines that a program says until it says `last`, split into words."""
    lines: list[list[str]] = []
    while (line := _read_line(process)) != last:
        lines.append(line.split())
    return lines


def _read_line(process: subprocess.Popen[bytes]) -> str:
    """The next line on stdout; raises RuntimeError if the process ends or is silent for too long."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        byte = os.read(process.stdout.fileno(), 1) if ready else b""
        if not byte:
            raise RuntimeError(f"{process.args!r} says no line (exit status {process.poll()})")
        line += byte
    return line.decode().strip()


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
