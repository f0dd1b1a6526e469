"""An agent as it is run, on a state that exists: started with a config, waited for pass by pass, looked at in /proc.

It tells each finished pass to NOTIFY_SOCKET, as to systemd (sd_notify(3)): nobody who waits makes it work.
"""

import json
import os
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from nsagent.cli.agent_client import find_status
from tests.bench.host import ENVIRONMENT, WORK
from tests.bench.tools import NSAGENT

LIMIT_SECONDS: Final = 300.0
PLACE: Final = Path(WORK, "agent")
SOCKET: Final = PLACE / "agent.sock"
ERRORS: Final = PLACE / "stderr"
SETTINGS: Final[Mapping[str, Any]] = {
    "version": 1,
    "interval": "1s",
    "engine": "sock_diag",
    "runtime": "none",
    "socket": str(SOCKET),
}
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """Of a process, in bytes: what is in RAM now, and the most that ever was."""

    rss_bytes: int
    peak_bytes: int


class RunningAgent:
    """From its start to its end, which is that of the block it is made in; raises RuntimeError where it is silent."""

    def __init__(self, settings: Mapping[str, Any] | None = None, *, command: Sequence[str] = (NSAGENT,)) -> None:
        """`settings` of the config count more than SETTINGS."""
        PLACE.mkdir(mode=0o700, exist_ok=True)
        config = PLACE / "config.yaml"
        config.write_text(json.dumps({**SETTINGS, **(settings or {})}), encoding="utf-8")
        notify = PLACE / "notify"
        notify.unlink(missing_ok=True)
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.bind(str(notify))
        self._told.settimeout(LIMIT_SECONDS)
        with ERRORS.open("wb") as errors:
            self._process = subprocess.Popen(
                [*command, "run", "--config", str(config)],
                env={**ENVIRONMENT, "NOTIFY_SOCKET": str(notify)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._told.close()
        self._process.terminate()
        self._process.wait(LIMIT_SECONDS)

    @property
    def pid(self) -> int:
        """Of the agent."""
        return self._process.pid

    def await_pass(self) -> int:
        """Wait for the end of the next pass; its number."""
        while True:
            try:
                told = self._told.recv(4096).decode()
            except TimeoutError:
                said = ERRORS.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise RuntimeError(f"the agent says nothing: {said[-1] if said else ''}") from None
            if match := re.search(r"STATUS=pass (\d+):", told):
                return int(match[1])

    def tell_status(self) -> dict[str, Any]:
        """How it fares, by its unix socket."""
        status = find_status(SOCKET)
        if status is None:
            raise RuntimeError("the agent does not answer")
        return status

    def await_passes(self, count: int) -> list[float]:
        """The CPU seconds of each of the next passes, by its own clock."""
        seconds = []
        for _ in range(count):
            self.await_pass()
            seconds.append(float(self.tell_status()["last_pass"]["cpu_seconds"]))
        return seconds

    def read_cpu_seconds(self) -> float:
        """The CPU time of all its threads so far (proc_pid_stat(5), utime and stime)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def read_memory(self) -> Memory:
        """Its memory now."""
        return parse_memory(Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8", errors="replace"))

    def list_modules(self) -> list[str]:
        """What it has imported so far, if it was started with `-X importtime`."""
        lines = ERRORS.read_text(encoding="utf-8", errors="replace").splitlines()
        names = (line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:"))
        return [name for name in names if name != "imported package"]


def parse_memory(text: str) -> Memory:
    """The memory of a process, from its proc_pid_status(5)."""
    kib = {name: int(value) for name, value in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", text, re.MULTILINE)}
    return Memory(kib["VmRSS"] * 1024, kib["VmHWM"] * 1024)
