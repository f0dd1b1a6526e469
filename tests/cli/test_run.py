"""`nsagent run` and `nsagent report`, over the node of fixtures/proc, in this process."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nsagent.agent.logs import logger
from nsagent.cli.agent_client import find_status
from nsagent.errors import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE
from tests.cli.conftest import Run
from tests.live.deadlines import until


@pytest.fixture(autouse=True)
def unchanged_logs() -> Iterator[None]:
    """What logs, and what ends a process, is as before."""
    kept = logger.handlers[:], logger.propagate, logger.level
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    logger.handlers[:], logger.propagate = kept[0], kept[1]
    logger.setLevel(kept[2])
    for number, handler in handlers.items():
        signal.signal(number, handler)


def write(directory: Path, *reports: dict[str, Any], **settings: Any) -> Path:
    path = directory / "config.yaml"
    socket = str(directory / "run" / "agent.sock")
    path.write_text(json.dumps({"version": 1, "engine": "proc", "socket": socket, "reports": reports, **settings}))
    return path


def report(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "every": "1h", "format": "json", "outputs": [{"type": "stdout"}], **settings}


def test_each_report_is_made_once(on_node: Run, tmp_path: Path) -> None:
    config = write(tmp_path, report("a", outputs=[{"type": "file", "path": f"{tmp_path}/a.json"}]))
    assert on_node("run", "--once", "--config", config).status == 0
    assert json.loads((tmp_path / "a.json").read_text())["schema"] == "nsagent/v1"


def test_one_that_cannot_be_written_is_told(on_node: Run, tmp_path: Path) -> None:
    config = write(tmp_path, report("a", outputs=[{"type": "file", "path": f"{tmp_path}/gone/a.json"}]))
    ran = on_node("run", "--once", "--config", config)
    assert ran.status == EXIT_FAILED
    assert f"nsagent: report a: {tmp_path}/gone/a.json: " in ran.err
    ran = on_node("report", "run", "a", "--outputs", "--config", config)
    assert (ran.status, "report a: " in ran.err) == (EXIT_FAILED, True)


@pytest.mark.parametrize("command", [("run", "--once"), ("report", "run", "a", "--outputs")])
def test_what_an_output_says_is_a_line_as_any_other(on_node: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    logger.handlers[:] = []  # As in a process that has not begun to log.
    path = tmp_path / "a.jsonl"
    path.write_text("cut o")
    outputs = [{"type": "file", "path": str(path), "max_size": "1MiB"}]
    ran = on_node(*command, "--config", write(tmp_path, report("a", format="jsonl", outputs=outputs)))
    assert (ran.status, ran.err) == (
        0,
        f"nsagent: {path}: its last line was cut off, as by a kill; it is ended where it is\n",
    )


def test_the_schedule_is_a_table_or_a_document(on_node: Run, tmp_path: Path) -> None:
    outputs = [{"type": "http", "url": "https://receiver.example/nsagent"}, {"type": "stdout"}]
    config = write(tmp_path, report("a", outputs=outputs), report("b", every=None, cron="0 3 * * *"))
    ran = on_node("run", "--dry-run", "--config", config)
    assert ran.status == 0
    assert [line.split()[:2] for line in ran.out.splitlines()] == [["NAME", "WHEN"], ["a", "every"], ["b", "cron"]]
    assert "http https://receiver.example/nsagent, stdout" in ran.out
    ran = on_node("report", "list", "--config", config, "-o", "json", "--agent-socket", f"{tmp_path}/none")
    first, second = json.loads(ran.out)["reports"]
    assert (first["when"], first["runs"], len(first["next"])) == ("every 1h", None, 3)
    assert second["when"] == "cron 0 3 * * * UTC"


def test_a_report_that_is_not_there_and_a_config_that_is_wrong_are_told(on_node: Run, tmp_path: Path) -> None:
    config = write(tmp_path, report("listeners"))
    ran = on_node("report", "run", "listener", "--config", config)
    assert (ran.status, ran.err) == (EXIT_NOT_FOUND, "nsagent: no report 'listener'; near names: listeners\n")
    config.write_text("version: 1\nintervall: 1m\n")
    ran = on_node("run", "--config", config)
    assert (ran.status, ran.err.startswith(f"{config}:2:1: intervall: ")) == (EXIT_USAGE, True)


def test_a_report_is_made_now_as_its_options_say(on_node: Run, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    config = write(tmp_path, report("a", outputs=[{"type": "file", "path": str(out)}]), engine="auto")
    assert on_node("report", "run", "a", "--outputs", "--engine", "proc", "--config", config).status == 0
    assert json.loads(out.read_text())["engine"] == "proc"


def test_the_agent_runs_until_sigterm_and_takes_sighup(on_node: Run, tmp_path: Path) -> None:
    config = write(tmp_path, interval="1s", log="json", events="off")
    path = tmp_path / "run" / "agent.sock"
    heard: list[str] = []

    def watch() -> None:
        try:
            first = until(lambda: find_status(path), "an agent")
            assert first is not None
            os.kill(os.getpid(), signal.SIGHUP)
            until(
                lambda: (find_status(path) or first)["config"]["loaded_at"] != first["config"]["loaded_at"], "a reload"
            )
            heard.append("reloaded")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=watch)
    watcher.start()
    ran = on_node("run", "--config", config)
    watcher.join(60)
    assert (ran.status, heard) == (0, ["reloaded"])
    messages = [json.loads(line)["message"] for line in ran.err.splitlines()]
    assert messages[0].startswith("started: 0 reports")
    assert "config loaded: 0 reports" in messages
    assert messages[-1] == "ended"
