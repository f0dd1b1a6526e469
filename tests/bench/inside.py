"""`python -m tests.bench.inside REQUEST`: make a state, run the tools in it, print what they took as JSON.

To be started by sandbox.py. REQUEST is a JSON object: `state`, `tools` (names of tools.list_tools),
`runs`, and `truth`, a file for the ground truth, or null. Tools take turns (A B A B), so that what
disturbs the machine disturbs all of them. Each run of a tool that lists sockets is scored.
"""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.bench.host import ENVIRONMENT, WORK, Host, compile_program, end_with_starter, isolate
from tests.bench.measure import Run, measure, median, pick_sample, scaled_runs
from tests.bench.states import STATES
from tests.bench.tools import NetnsPath, Tool, list_tools

BUDGET_SECONDS: Final = 30.0
"""A tool whose runs take longer in sum is run less often; one that takes longer at once is sampled."""

SAMPLED_NETNS: Final = 10
OUTPUT: Final = f"{WORK}/stdout"
ERRORS: Final = f"{WORK}/stderr"


class ToolFailed(Exception):
    """A tool did not do its work: what its last line on stderr says, with its exit status."""


@dataclass(slots=True)
class Series:
    """The runs of one tool; `scale` is 1, or netns / sampled netns where it was run in a sample."""

    tool: Tool
    wanted: int
    scale: float = 1.0
    runs: list[Run] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    printed: str = ""
    failed: str | None = None


def main() -> None:
    """Do what the request says."""
    request = json.loads(sys.argv[1])
    end_with_starter()
    isolate()
    host = Host(STATES[request["state"]])
    tools = list_tools(compile_program("bound.c"))
    series = [Series(tools[name], wanted=request["runs"]) for name in request["tools"]]
    for each in series:
        if not each.tool.per_netns:
            measure(each.tool.arguments([]), stdout=OUTPUT, stderr=ERRORS, environment=ENVIRONMENT)  # warms the caches
    for _ in range(request["runs"]):
        for each in series:
            if each.failed is None and len(each.runs) < each.wanted:
                _run_next(each, host)
    if request["truth"]:
        shutil.copyfile(host.truth, request["truth"])
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rss_floor_bytes": floor, "tools": {each.tool.name: _record(each) for each in series}}))


def _run_next(series: Series, host: Host) -> None:
    try:
        is_large = series.tool.per_netns and len(host.netns) > SAMPLED_NETNS
        if is_large and not series.runs and _run_sample(series, host):
            return
        run = _run(series, host, host.netns)
    except ToolFailed as failed:
        series.failed = str(failed)
        return
    series.runs.append(run)
    series.wanted = scaled_runs(run.wall_seconds, wanted=series.wanted, budget_seconds=BUDGET_SECONDS)


def _run_sample(series: Series, host: Host) -> bool:
    """Run in a sample of the netns; true if all of them would take so long that this has to do."""
    sample = [host.netns[index] for index in pick_sample(len(host.netns), wanted=SAMPLED_NETNS)]
    run = _run(series, host, sample)
    scale = len(host.netns) / len(sample)
    if run.wall_seconds * scale <= BUDGET_SECONDS:
        series.scores.clear()
        return False
    series.scale, series.wanted = scale, 1
    series.runs.append(run)
    return True


def _run(series: Series, host: Host, netns: Sequence[NetnsPath]) -> Run:
    host.renew()
    tool = series.tool
    run = measure(tool.arguments(netns), stdout=OUTPUT, stderr=ERRORS, environment=ENVIRONMENT)
    if run.status != 0:
        said = Path(ERRORS).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ToolFailed(f"exit {run.status}: {said[-1] if said else ''}")
    if tool.parser:
        series.scores.append(_judge(tool.parser, host, netns if tool.per_netns else []))
    else:
        with open(OUTPUT, encoding="utf-8", errors="replace") as output:
            series.printed = output.readline().strip()
    return run


def _judge(parser: str, host: Host, netns: Sequence[NetnsPath]) -> dict[str, Any]:
    asked = [str(each.inode) for each in netns]
    command = [sys.executable, "-m", "tests.bench.judge", parser, host.truth, OUTPUT, *asked]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=ENVIRONMENT, check=True)
    score: dict[str, Any] = json.loads(done.stdout)
    return score


def _record(series: Series) -> dict[str, Any]:
    """What is reported of a tool: medians, the worst score, and all runs."""
    if not series.runs:
        return {"failed": series.failed or "not run"}
    return {
        "wall_seconds": median([run.wall_seconds * series.scale for run in series.runs]),
        "cpu_seconds": median([run.cpu_seconds * series.scale for run in series.runs]),
        "peak_rss_bytes": max(run.peak_rss_bytes for run in series.runs),
        "estimated": series.scale != 1.0,
        "failed": series.failed,
        "printed": series.printed,
        "score": min(series.scores, key=_rightness) if series.scores else None,
        "runs": [asdict(run) for run in series.runs],
    }


def _rightness(score: dict[str, Any]) -> float:
    ratios: list[float] = [score[what][ratio] for what in ("sockets", "owners") for ratio in ("recall", "precision")]
    return min(ratios)


if __name__ == "__main__":
    main()
