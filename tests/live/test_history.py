"""What an agent remembers of real sockets, and what changed since a capture."""

import json
import signal
from pathlib import Path
from typing import Any

from tests.live.agent_bed import AgentBed
from tests.live.deadlines import until
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import run_nsagent


def list_changes(*arguments: str | Path) -> list[dict[str, Any]]:
    """Those that a command tells of listeners, with when."""
    lines = run_nsagent(*map(str, arguments), "-o", "jsonl").stdout.splitlines()[1:]
    return [line for line in map(json.loads, lines) if "listener" in line["kind"]]


def tell(changes: list[dict[str, Any]], name: str | None) -> list[tuple[str, int]]:
    """The kinds and ports of those in one netns."""
    there = (change for change in changes if change["socket"]["netns_name"] == name)
    return [(change["kind"], change["socket"]["local"]["port"]) for change in there]


def test_a_history_tells_what_came_and_went_and_what_was_open_also_after_a_kill(
    agent: AgentBed, bed: NetnsBed, tmp_path: Path
) -> None:
    netns, actor = bed.stage()
    first = actor.listen()
    database = tmp_path / "history.db"
    agent.write_config(interval="1s", history={"path": str(database)})
    agent.start()
    second = actor.listen()
    until(lambda: len(tell(list_changes("history", "--path", database), netns.name)) == 1, "a new listener")
    actor.drop(first)
    until(lambda: len(tell(list_changes("history", "--path", database), netns.name)) == 2, "a listener that is gone")
    agent.end(signal.SIGKILL)
    came, went = [
        change
        for change in list_changes("history", "--config", agent.config)
        if change["socket"]["netns_name"] == netns.name
    ]
    assert tell([came, went], netns.name) == [("new_listener", second.port), ("listener_gone", first.port)]
    assert [holder["pid"] for holder in came["socket"]["holders"]] == [second.pid]
    for at, ports in ((came["at"], {first.port, second.port}), (went["at"], {second.port})):
        then = tell(list_changes("history", "--path", database, "--at", at), netns.name)
        assert {port for _, port in then} == ports


def test_a_capture_is_compared_with_now(bed: NetnsBed, tmp_path: Path) -> None:
    netns, actor = bed.stage()
    first = actor.listen()
    run_nsagent("capture", "--runtime", "none", str(tmp_path / "before"))
    second = actor.listen()
    actor.drop(first)
    changes = list_changes("diff", tmp_path / "before", "--runtime", "none", "--netns", str(netns.name))
    assert tell(changes, netns.name) == [("listener_gone", first.port), ("new_listener", second.port)]
