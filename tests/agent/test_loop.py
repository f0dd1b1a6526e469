"""The loop over a recorded procfs, in this process: passes, reports, wishes, the end."""

import gc
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nsagent.agent.config_file import ConfigFile, load_config, read_config_file
from nsagent.agent.logs import logger, start_logging
from nsagent.agent.loop import Agent
from nsagent.agent.notify import Notifier
from nsagent.agent.setup import Setup, World
from nsagent.agent.status import AgentStatus, ReportStatus
from nsagent.agent.world import make_world
from nsagent.cli.agent_client import find_status
from nsagent.config.model import Config
from nsagent.errors import ServeFailed
from tests.cli.conftest import NODE
from tests.live.deadlines import until


class RunningAgent:
    """An agent in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "config.yaml"
        self.socket = directory / "run" / "agent.sock"
        self.world: World = make_world(lambda: "node-1", str(NODE), str(directory / "nothing"), {})
        self.told: list[str] = []
        self.world = self.world._replace(tell=self.told.append)
        self.agent: Agent | None = None
        self._thread: threading.Thread | None = None

    def write(self, *reports: dict[str, Any], **settings: Any) -> None:
        config = {"version": 1, "interval": "1h", "engine": "proc", "runtime": "none", "events": "off"}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({**config, "socket": str(self.socket), "reports": list(reports), **settings}))
        new.rename(self.path)

    def start(self, *, wait: bool = True) -> None:
        file = read_config_file(str(self.path))
        setup = Setup(self._load(file), self.world)
        setup.begin()
        self.agent = Agent(file, self._load, setup, self.world, Notifier({"WATCHDOG_USEC": "300000"}))
        self._thread = threading.Thread(target=self.agent.run)
        self._thread.start()
        if wait:
            self.await_status(lambda status: status.passes, "a pass")

    def await_status(self, wanted: Callable[[AgentStatus], object], what: str) -> AgentStatus:
        def look() -> AgentStatus | None:
            status = self.world.board.status
            return status if status is not None and wanted(status) else None

        status = until(look, what)
        assert status is not None
        return status

    def await_report(self, name: str, wanted: Callable[[ReportStatus], object], what: str) -> ReportStatus:
        def look(status: AgentStatus) -> ReportStatus | None:
            return next((one for one in status.reports if one.name == name and wanted(one)), None)

        found = look(self.await_status(look, what))
        assert found is not None
        return found

    def end(self) -> None:
        if self.agent is not None and self._thread is not None:
            self.agent.stop()
            self._thread.join(60)
            assert not self._thread.is_alive()

    @staticmethod
    def _load(file: ConfigFile) -> Config:
        return load_config(file, {})


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningAgent]:
    running = RunningAgent(tmp_path)
    try:
        yield running
    finally:
        running.end()
        gc.enable()


def report(name: str, path: Path, **settings: Any) -> dict[str, Any]:
    return {"name": name, "every": "1s", "format": "json", "outputs": [{"type": "file", "path": str(path)}], **settings}


def test_passes_reports_history_and_the_socket_of_one_agent(running: RunningAgent, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    history = tmp_path / "history.db"
    running.write(report("r", tmp_path / "r.json"), history={"path": str(history)}, http={"listen": "127.0.0.1:0"})
    running.start()
    status = running.await_report("r", lambda one: one.outputs[0].written >= 2, "two reports")
    assert (status.failed, status.error) == (0, None)
    assert json.loads((tmp_path / "r.json").read_text())["host"] == "node-1"
    last = running.world.board.last_pass
    assert last is not None
    assert last.status.sockets == len(last.snapshot.sockets) > 0
    told = find_status(running.socket)
    assert told is not None
    assert (told["host"], told["reports"][0]["name"], told["runtimes"]) == ("node-1", "r", {"cgroup paths": True})
    running.end()
    assert not running.socket.exists()
    assert history.exists()


def test_another_config_takes_over_what_is_the_same(running: RunningAgent, tmp_path: Path) -> None:
    running.write(report("a", tmp_path / "a.json"), report("b", tmp_path / "b.json", diff=True))
    running.start()
    before = running.await_report("a", lambda one: one.runs >= 1, "a report")
    running.write(report("a", tmp_path / "a.json"), report("c", tmp_path / "c.json"), socket=None)
    after = running.await_status(lambda status: [one.name for one in status.reports] == ["a", "c"], "the new config")
    assert after.config.last_reload_ok
    assert after.reports[0].runs >= before.runs
    assert not running.socket.exists()
    running.await_report("c", lambda one: one.outputs[0].written, "a report of the new config")


def test_events_are_asked_for_once_for_all_configs_that_want_them(running: RunningAgent, tmp_path: Path) -> None:
    """A recorded procfs has none."""
    running.write(report("a", tmp_path / "a.json"), events="auto")
    running.start()
    first = running.await_status(lambda status: status.events and status.events.error, "why there are none")
    running.write(report("b", tmp_path / "b.json"), events="auto")
    second = running.await_status(lambda status: status.reports[0].name == "b", "another config")
    assert second.events == first.events
    running.write(report("c", tmp_path / "c.json"))
    third = running.await_status(lambda status: status.reports[0].name == "c", "one that wants none")
    assert third.events is None
    assert [line for line in running.told if line.startswith("process events: ")] == running.told[:1] == running.told


def test_a_broken_config_and_one_that_cannot_be_served_change_nothing(
    running: RunningAgent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running.write(report("a", tmp_path / "a.json"))
    running.start()
    running.path.write_text("version: 2\ninterval: never\n")
    broken = running.await_status(lambda status: not status.config.last_reload_ok, "a refusal")
    assert "version" in str(broken.config.error)
    assert not [text for text in caplog.messages if "\n" in text]
    assert [one.name for one in broken.reports] == ["a"]
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    running.write(report("b", tmp_path / "b.json"), socket=str(tmp_path / "open" / "agent.sock"))
    unserved = running.await_status(lambda status: "open to others" in str(status.config.error), "another refusal")
    assert [one.name for one in unserved.reports] == ["a"]
    assert running.socket.exists()
    running.write(report("b", tmp_path / "b.json"))
    assert running.agent is not None
    running.agent.reload()
    running.await_status(lambda status: status.config.last_reload_ok, "a config that will do")


def test_a_bug_in_a_reload_leaves_the_config_before_in_force(
    running: RunningAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.write(report("a", tmp_path / "a.json"))
    running.start()
    begin, bugs = Setup.begin, ["made so"]

    def begin_or_fail(setup: Setup, earlier: Setup | None = None) -> None:
        if bugs:
            raise RuntimeError(bugs.pop())
        begin(setup, earlier)

    monkeypatch.setattr(Setup, "begin", begin_or_fail)
    running.write(report("b", tmp_path / "b.json"))
    refused = running.await_status(lambda status: not status.config.last_reload_ok, "a refusal")
    assert (refused.config.error, [one.name for one in refused.reports]) == ("a bug: RuntimeError('made so')", ["a"])
    assert running.agent is not None
    running.agent.reload()
    running.await_status(lambda status: status.config.last_reload_ok and status.reports[0].name == "b", "the other one")


def test_an_agent_that_cannot_serve_does_not_begin(running: RunningAgent, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    running.write(socket=str(tmp_path / "agent.sock"))
    with pytest.raises(ServeFailed, match="open to others"):
        running.start()


def test_a_pass_that_fails_is_told_and_the_next_one_is_made(running: RunningAgent, tmp_path: Path) -> None:
    running.world = running.world._replace(place=running.world.place._replace(proc_root=str(tmp_path / "empty")))
    (tmp_path / "empty").mkdir()
    running.write(report("r", tmp_path / "r.json"))
    running.start(wait=False)
    status = running.await_status(lambda status: status.passes_failed >= 2, "two passes that failed")
    assert status.passes == 0
    assert "there is no process in it" in str(status.pass_error)
    failed = running.await_report("r", lambda one: one.failed >= 2, "reports of them")
    assert not failed.quarantined
    assert not (tmp_path / "r.json").exists()


def test_a_history_that_cannot_be_kept_is_told_and_nothing_else_is_late(running: RunningAgent, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    gone = tmp_path / "gone" / "history.db"
    running.write(report("r", tmp_path / "r.json"), history={"path": str(gone)})
    running.start()
    running.await_report("r", lambda one: one.outputs[0].written, "a report")
    assert running.told
    assert all(line.startswith("history: ") for line in running.told)
    gone.parent.mkdir(mode=0o700)
    until(gone.exists, "a history when there is room for one")


def test_a_gap_of_which_the_numbers_alone_change_is_said_once(
    running: RunningAgent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has failed three times is not asked again for a while, and each pass tells how long that still is."""
    running.write(report("r", tmp_path / "r.json"), runtime=f"docker=unix://{tmp_path}/nothing.sock")
    running.start()
    running.await_status(lambda status: status.passes >= 6, "passes in which it is not asked")
    assert len([text for text in caplog.messages if "not asked: it failed" in text]) == 1


def test_little_memory_makes_each_pass_a_first_one(running: RunningAgent, tmp_path: Path) -> None:
    running.write(report("r", tmp_path / "r.json"), limits={"memory": "1MiB", "cpu": "100%"})
    running.start()
    running.await_status(lambda status: status.passes >= 2, "two passes")
    assert running.world.board.list_changes(0).changes == ()


@pytest.fixture
def own_logging() -> Iterator[None]:
    """What an agent does to the logger is undone."""
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.mark.usefixtures("own_logging")
def test_another_config_may_have_the_log_in_another_form(
    running: RunningAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging("line", clock=running.world.clock)
    running.write(log="line")
    running.start()
    loaded = running.await_status(lambda status: status.config, "a config").config.loaded_at
    running.write(log="json")
    running.await_status(lambda status: status.config.loaded_at != loaded, "another config")
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["message"] == "config loaded: 0 reports"
