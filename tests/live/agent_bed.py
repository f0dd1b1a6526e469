"""A running agent of one test: its config, what it says, how it fares by its own status."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nsagent.cli.agent_client import find_status
from tests.live.deadlines import until
from tests.live.leftovers import marked_environment
from tests.live.nsagent_cli import NSAGENT, clean_environment

Status = dict[str, Any]
END_SECONDS = 60.0


class AgentBed:
    """Starts an agent with a config; `close` ends it. Its files are in one directory of the test."""

    def __init__(self, directory: Path, token: str, *, enter: Sequence[str] = ()) -> None:
        self.directory = directory
        self.socket = directory / "run" / "agent.sock"
        self.config = directory / "config.yaml"
        self._stderr = directory / "stderr"
        self._token = token
        self._enter = enter
        self._process: subprocess.Popen[bytes] | None = None

    def write_config(self, *reports: dict[str, Any], **settings: Any) -> None:
        """Put a config in the place of the one before, as an editor does: at once."""
        config = {"version": 1, "interval": "1h", "socket": str(self.socket), "runtime": "none", **settings}
        new = self.config.with_suffix(".new")
        new.write_text(json.dumps({**config, "reports": list(reports)}))  # JSON is YAML.
        new.rename(self.config)

    def start(self, *arguments: str, **environ: str) -> None:
        """Start it and wait for its first pass."""
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*self._enter, *NSAGENT, "run", "--config", str(self.config), *arguments],
                env={**marked_environment(self._token), **clean_environment(**environ)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        self.await_status(lambda status: status["passes"] > 0, "its first pass")

    @property
    def pid(self) -> int:
        """Of what was started: the agent, unless it was entered somewhere by a program that forks."""
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> list[str]:
        """The lines that it has said on stderr."""
        return self._stderr.read_text(errors="backslashreplace").splitlines()

    def tell_status(self) -> Status:
        """How it fares now."""
        status = find_status(self.socket)
        assert status is not None, self.said
        return status

    def await_status(self, wanted: Callable[[Status], Any], what: str) -> Status:
        """Its status once it is as wanted; fails if it ends before."""

        def look() -> Status | None:
            assert self._process is not None
            assert self._process.poll() is None, self.said
            status = find_status(self.socket)
            return status if status is not None and wanted(status) else None

        status = until(look, what)
        assert status is not None
        return status

    def await_report(self, name: str, wanted: Callable[[Status], Any], what: str) -> Status:
        """The status of one of its reports, once it is as wanted."""
        return report_of(self.await_status(lambda status: wanted(report_of(status, name)), what), name)

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, bytes]:
        """End it by a signal; its exit status and what it wrote to stdout. A traceback fails the test."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        out, _ = process.communicate(timeout=END_SECONDS)
        assert not [line for line in self.said if "Traceback" in line], self.said
        return process.returncode, out

    def close(self) -> None:
        """End it in any case."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def report_of(status: Status, name: str) -> Status:
    """One report of a status."""
    (report,) = (each for each in status["reports"] if each["name"] == name)
    return dict(report)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
