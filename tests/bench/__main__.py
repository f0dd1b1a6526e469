"""`python -m tests.bench`: how fast and how right nsagent and its peers are, on hosts that are known exactly.

Needs root, util-linux and gcc. It asserts no time: it prints each ratio beside its target.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.sandbox import (
    ROOT,
    AgentRequest,
    AnyRequest,
    LookupRequest,
    Request,
    SandboxFailed,
    find_missing_capability,
    run_inside,
)
from tests.bench.states import IDLE, STATES
from tests.bench.tables import list_agent_lines, list_state_lines, list_verdict_lines
from tests.bench.targets import (
    Verdict,
    judge_agent,
    judge_engine,
    judge_lookup,
    judge_metrics,
    judge_rendering,
    judge_scan,
    judge_startup,
)
from tests.bench.tools import PATH, list_peers

STARTUP_TOOLS: Final = ("typer-help", "help", "typer", "idle-scan")
STARTUP_RUNS: Final = 15
AGENT_STATES: Final = ("node", "large")
AGENT_RUNS: Final = 3
LOOKUP_STATE: Final = "node"
PARTS: Final = ("states", "startup", "rendering", "agent", "engine", "lookup")


def main() -> int:
    """The exit status: 0 measured, 1 something failed, 2 this machine or the command line will not do."""
    options = _parse_options()
    missing = find_missing_capability()
    if missing:
        print(f"bench: this machine lacks {missing}", file=sys.stderr)
        return 2
    report: dict[str, Any] = {"machine": _machine(), "states": {}, "verdicts": []}
    failures = [failed for part in options.parts for failed in _measure_part(part, options, report)]
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if any(failures) else 0


def _measure_part(part: str, options: argparse.Namespace, report: dict[str, Any]) -> list[bool]:
    """True for each measurement that failed."""
    if part == "states":
        return [_measure_state(name, options, report) for name in options.states]
    if part == "startup":
        return [_measure_startup(report)]
    if part == "rendering":
        return [_measure_rendering(report)]
    if part == "engine":
        return [_measure_engine(report)]
    if part == "lookup":
        return [_measure_lookup(options.runs, report)]
    agents = [_measure_agent(name, report) for name in options.states if name in AGENT_STATES]
    return [*agents, _measure_metrics(report)]


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--states", type=_names(STATES), default=["small", "node", "flat"], help=",".join(STATES))
    parser.add_argument("--parts", type=_names(PARTS), default=list(PARTS), help=f"{','.join(PARTS)}; all without")
    parser.add_argument("--runs", type=int, default=5, help="how often each program runs (default 5)")
    peers = list_peers()
    parser.add_argument("--peers", type=_names(peers), default=peers, help=f"{','.join(peers)}; empty for none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--truth", type=Path, metavar="DIR", help="write the ground truth of each state there")
    return parser.parse_args()


def _names(known: Container[str]) -> Callable[[str], list[str]]:
    """A converter for a comma-separated list of known names."""

    def names(text: str) -> list[str]:
        given = [name for name in text.split(",") if name]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no such name: {', '.join(unknown)}")
        return given

    return names


def _measure_state(name: str, options: argparse.Namespace, report: dict[str, Any]) -> bool:
    """True if it failed; the figures go to stdout and to the report."""
    truth = None
    if options.truth:
        options.truth.mkdir(parents=True, exist_ok=True)
        truth = str(options.truth.resolve() / f"{name}.json")
    tools = ["bound", "scan", "scan-owners-container", "version", *options.peers]
    result = _run(Request(name, tools, options.runs, truth))
    if result is None:
        return True
    report["states"][name] = result
    print("\n".join(list_state_lines(STATES[name], result)))
    _conclude(judge_scan(name, result["tools"]), report, state=name)
    return _is_nsagent_broken(result, "scan")


def _measure_startup(report: dict[str, Any]) -> bool:
    result = _run(Request(IDLE.name, STARTUP_TOOLS, STARTUP_RUNS))
    if result is None:
        return True
    report["states"][IDLE.name] = result
    print("\n".join(list_state_lines(IDLE, result)))
    _conclude(judge_startup(result["tools"]), report, state=IDLE.name)
    return _is_nsagent_broken(result, "idle-scan")


def _measure_rendering(report: dict[str, Any]) -> bool:
    seconds = _run_program("tests.bench.render")
    if seconds is None:
        print("rendering: failed")
        return True
    report["rendering"] = seconds
    print("rendering: " + ", ".join(f"{name} {value:.3f} s" for name, value in seconds.items()))
    _conclude(judge_rendering(seconds), report, state=None)
    return False


def _measure_agent(name: str, report: dict[str, Any]) -> bool:
    figures = _run(AgentRequest(name, AGENT_RUNS))
    if figures is None:
        return True
    report.setdefault("agent", {})[name] = figures
    print("\n".join(list_agent_lines(STATES[name], figures)))
    _conclude(judge_agent(name, figures), report, state=name)
    return False


def _measure_metrics(report: dict[str, Any]) -> bool:
    seconds = _run_program("tests.bench.agent_metrics")
    if seconds is None:
        print("metrics: failed")
        return True
    report["metrics"] = seconds
    print(f"metrics: {seconds['series']} series {seconds['first']:.3f} s, asked again {seconds['again']:.3f} s of CPU")
    _conclude(judge_metrics(seconds), report, state=None)
    return False


def _measure_engine(report: dict[str, Any]) -> bool:
    if shutil.which("dockerd", path=PATH) is None:
        print("engine: no dockerd here")
        return False
    seconds = _run_program("tests.bench.engine")
    if seconds is None:
        print("engine: failed")
        return True
    report["engine"] = seconds
    print("engine of 120 containers: " + ", ".join(f"{name} {value:.3f} s" for name, value in seconds.items()))
    _conclude(judge_engine(seconds), report, state=None)
    return False


def _measure_lookup(runs: int, report: dict[str, Any]) -> bool:
    figures = _run(LookupRequest(LOOKUP_STATE, runs))
    if figures is None:
        return True
    report["lookup"] = figures
    for what, values in figures.items():
        print(f"{LOOKUP_STATE}, {what}: " + ", ".join(f"{name} {value:g}" for name, value in values.items()))
    _conclude(judge_lookup(figures), report, state=LOOKUP_STATE)
    return False


def _run_program(module: str) -> dict[str, Any] | None:
    """The JSON that a program of this directory prints; None if it failed."""
    done = subprocess.run([sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def _run(request: AnyRequest) -> dict[str, Any] | None:
    try:
        return run_inside(request)
    except SandboxFailed as failed:
        print(f"bench: {failed}", file=sys.stderr)
        return None


def _conclude(verdicts: Sequence[Verdict], report: dict[str, Any], *, state: str | None) -> None:
    print("\n".join(list_verdict_lines(verdicts)), end="\n\n", flush=True)
    report["verdicts"] += [{"state": state, **verdict._asdict()} for verdict in verdicts]


def _is_nsagent_broken(result: dict[str, Any], tool: str) -> bool:
    return result["tools"][tool]["failed"] is not None


def _machine() -> dict[str, Any]:
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
