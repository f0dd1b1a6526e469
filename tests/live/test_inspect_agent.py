"""`nsagent inspect` beside a real agent: whose child a process was when it began, where that one has ended."""

import json
import os
import signal
import time
from datetime import datetime
from typing import Any

from tests.kernel.children import start_child
from tests.live.agent_bed import AgentBed
from tests.live.capabilities import Capability, require
from tests.live.deadlines import until
from tests.live.nsagent_cli import run_nsagent

FORK_TWICE = """
if not os.fork():
    open("/proc/self/comm", "w").write("middle")
    if not os.fork():
        open("/proc/self/comm", "w").write("grandchild")
        ready(f"{os.getppid()} {os.getpid()}")
        time.sleep(1000)
        os._exit(0)
    os._exit(3 if sys.stdin.readline() else 4)
os.wait()
ready()
wait()
"""
"""The child in the middle ends once it has a line, and leaves its own child behind."""


def inspect(bed: AgentBed, pid: int, *arguments: str) -> str:
    ran = run_nsagent("inspect", str(pid), "--runtime", "none", "--agent-socket", str(bed.socket), *arguments)
    assert ran.status == 0, ran.stderr
    return ran.stdout.decode()


def find_forebears(bed: AgentBed, pid: int) -> list[dict[str, Any]] | None:
    """As the document has them."""
    (one,) = json.loads(inspect(bed, pid, "-o", "json"))["processes"]
    forebears: list[dict[str, Any]] | None = one["forebears"]
    return forebears


def test_a_parent_that_has_ended_is_told_with_its_name_and_how_and_when_it_ended(agent: AgentBed) -> None:
    require(Capability.PROCESS_EVENTS)
    agent.write_config()
    agent.start()
    agent.await_status(lambda status: status["events"]["engine"] == "connector", "the kernel tells")
    with start_child(FORK_TWICE) as shell:
        middle, grandchild = map(int, shell.said.split())
        try:
            told = until(lambda: find_forebears(agent, grandchild), "the agent has heard of it")
            assert told is not None
            assert [(one["pid"], one["ended_at"], one["status"]) for one in told] == [
                (middle, None, None),
                (shell.pid, None, None),
                (os.getpid(), None, None),
            ]
            assert "BEGUN BY" not in inspect(agent, grandchild)
            began = time.time()
            shell.say("end")
            told = until(lambda: find_ended(agent, grandchild), "the agent has heard of the end")
            assert told is not None
            ended_at = told[0]["ended_at"]
            assert began - 0.001 <= datetime.fromisoformat(ended_at).timestamp() <= time.time()
            assert told[0] == {
                "pid": middle,
                "start_ticks": None,
                "comm": "middle",
                "container_id": None,
                "ended_at": ended_at,
                "status": {"code": 3, "signal": 0, "core_dumped": False},
            }
            assert [(one["pid"], one["ended_at"]) for one in told[1:]] == [(shell.pid, None), (os.getpid(), None)]
            lost = f"{middle} middle (ended {ended_at}, exit code 3)"
            begun_by = f"BEGUN BY      {lost} < {shell.pid} {told[1]['comm']} < {os.getpid()} "
            assert begun_by in inspect(agent, grandchild)
            tree = inspect(agent, grandchild, "-o", "tree")
            *_, before, own, lost_line, last = tree.splitlines()
            assert before.lstrip(" └─").startswith(f"{os.getpid()} ")
            assert own.endswith(f"└─ {shell.pid} {told[1]['comm']}")
            assert lost_line.endswith(f"   └─ {lost}")
            assert f"└─ {grandchild} grandchild  <- asked for {grandchild}, now a child of " in last
        finally:
            os.kill(grandchild, signal.SIGKILL)


def test_of_whom_no_agent_has_heard_nothing_is_claimed(agent: AgentBed) -> None:
    with start_child("ready(); wait()") as child:
        assert find_forebears(agent, child.pid) is None
        assert "BEGUN BY" not in inspect(agent, child.pid)


def find_ended(bed: AgentBed, pid: int) -> list[dict[str, Any]] | None:
    """The forebears of a process, once the nearest has ended."""
    told = find_forebears(bed, pid)
    return told if told and told[0]["ended_at"] else None
