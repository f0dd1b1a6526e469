"""`python -m tests.bench.agent REQUEST`: what an agent takes on a state where nothing changes, as JSON.

To be started by sandbox.py. REQUEST is a JSON object: `state`, and `runs`, how often each agent is
started. What is compared takes turns (A B A B). Times are CPU times, which a busy machine disturbs least;
memory is told less that of a program that has imported the same modules and done nothing.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any, Final

from nsagent.cli.agent_client import ask_capture
from tests.bench.agent_reports import REPORT_EVERY, make_reports
from tests.bench.agent_run import PLACE, SOCKET, RunningAgent, parse_memory
from tests.bench.host import ENVIRONMENT, Host, end_with_starter, isolate
from tests.bench.measure import Run, measure, median
from tests.bench.states import STATES
from tests.bench.tools import NSAGENT

FURTHER_PASSES: Final = 5
"""After the first one, of each agent that is started for its passes."""
STEADY_INTERVAL_SECONDS: Final = 10
STEADY_PASSES: Final = 3
REPORTS: Final = (1, 10, 100)
REPORT_PASSES: Final = 3

_FORGETFUL: Final = {"memory": "1MiB"}
"""Limits: it has more, so that it keeps nothing between passes; each is like a first one, but for imports."""
_PLACES: Final = {"http": {"listen": "127.0.0.1:0"}, "history": {"path": str(PLACE / "history.sqlite")}}
"""Everything that an agent has besides reports."""
_TELLING_IMPORTS: Final = (sys.executable, "-X", "importtime", "-m", "nsagent")
_IMPORT_AND_TELL: Final = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(ImportError):  # Of those that were looked for and not found, too.
        importlib.import_module(name)
print(open("/proc/self/status").read())
"""


def main() -> None:
    """Do what the request says."""
    request = json.loads(sys.argv[1])
    end_with_starter()
    isolate()
    host = Host(STATES[request["state"]])
    figures = {
        "passes": _measure_passes(request["runs"]),
        "steady": _measure_steady(),
        "reports": _measure_reports(),
        "asked": _measure_asked(request["runs"], host),
    }
    print(json.dumps(figures))


def _measure_passes(runs: int) -> dict[str, Any]:
    """CPU seconds: of the first pass, of a pass that reads everything anew, and of one that goes on from the last."""
    first, anew, further, unnamed = [], [], [], []
    for _ in range(runs):
        with RunningAgent() as agent:
            first += agent.await_passes(1)
            further.append(median(agent.await_passes(FURTHER_PASSES)))
        with RunningAgent({"limits": _FORGETFUL}) as agent:
            agent.await_pass()
            anew.append(median(agent.await_passes(FURTHER_PASSES)))
        with RunningAgent({"runtime": None}) as agent:
            agent.await_pass()
            unnamed.append(median(agent.await_passes(FURTHER_PASSES)))
    return {"first": median(first), "anew": median(anew), "further": median(further), "no_engine": median(unnamed)}


def _measure_steady() -> dict[str, Any]:
    """What an agent takes that makes a pass now and then, with nobody who asks it, and its memory once it is asked."""
    imports = _measure_imports()
    with RunningAgent({"interval": f"{STEADY_INTERVAL_SECONDS}s", **_PLACES}) as agent:
        agent.await_pass()
        agent.await_pass()
        cpu, started = agent.read_cpu_seconds(), time.monotonic()
        for _ in range(STEADY_PASSES):
            agent.await_pass()
        share = (agent.read_cpu_seconds() - cpu) / (time.monotonic() - started)
        silent = agent.read_memory()
        ask_capture(SOCKET)
        asked = agent.read_memory()
    return {
        "share_of_cpu": round(share, 6),
        "imports_rss_bytes": imports,
        "rss_bytes": silent.rss_bytes,
        "peak_rss_bytes": silent.peak_bytes,
        "asked_rss_bytes": asked.rss_bytes,
        "asked_peak_rss_bytes": asked.peak_bytes,
    }


def _measure_imports() -> int:
    """The RSS of a program with the modules of an agent, in bytes."""
    with RunningAgent(_PLACES, command=_TELLING_IMPORTS) as agent:
        agent.await_pass()
        ask_capture(SOCKET)
        modules = agent.list_modules()
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_AND_TELL, *modules], stdout=subprocess.PIPE, env=ENVIRONMENT, check=True
    )
    return parse_memory(done.stdout.decode(errors="replace")).rss_bytes


def _measure_reports() -> dict[str, Any]:
    """CPU seconds of one pass with so many reports of it, by their number; the passes are as those without any."""
    seconds = {}
    for count in (0, *REPORTS):
        # With reports only these ask for passes: each pass has all of them.
        settings = {"interval": "1h", "reports": make_reports(count)} if count else {"interval": REPORT_EVERY}
        with RunningAgent(settings) as agent:
            agent.await_pass()
            agent.await_pass()
            before = agent.read_cpu_seconds()
            for _ in range(REPORT_PASSES):
                agent.await_pass()
            seconds[str(count)] = round((agent.read_cpu_seconds() - before) / REPORT_PASSES, 6)
    return seconds


def _measure_asked(runs: int, host: Host) -> dict[str, Any]:
    """`scan -o json`, and the same asked of an agent."""
    commands = {
        "scan": [NSAGENT, "scan", "-o", "json", "--engine", "sock_diag", "--runtime", "none"],
        "asked": [NSAGENT, "scan", "-o", "json", "--agent"],
    }
    taken: dict[str, list[Run]] = {name: [] for name in commands}
    environment = {**ENVIRONMENT, "NSAGENT_SOCKET": str(SOCKET)}
    with RunningAgent({"interval": "1h"}) as agent:
        agent.await_pass()
        for _ in range(runs):
            host.renew()
            for name, command in commands.items():
                run = measure(command, stdout=os.devnull, stderr=os.devnull, environment=environment)
                if run.status:
                    raise RuntimeError(f"{' '.join(command)}: exit {run.status}")
                taken[name].append(run)
    return {
        name: {
            "wall_seconds": median([run.wall_seconds for run in taken_runs]),
            "cpu_seconds": median([run.cpu_seconds for run in taken_runs]),
        }
        for name, taken_runs in taken.items()
    }


if __name__ == "__main__":
    main()
