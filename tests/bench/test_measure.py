"""How runs are planned and judged: repeats within a budget, samples, ratios beside their targets."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.bench.measure import measure, pick_sample, scaled_runs
from tests.bench.targets import Verdict, judge_rendering, judge_scan, judge_startup


@pytest.mark.parametrize(("wall", "runs"), [(0.1, 5), (10.0, 3), (29.0, 1), (31.0, 1)])
def test_a_slow_tool_runs_less_often_but_once(wall: float, runs: int) -> None:
    assert scaled_runs(wall, wanted=5, budget_seconds=30.0) == runs


def test_a_sample_is_always_the_same_and_repeats_nothing() -> None:
    sample = pick_sample(200, wanted=10)
    assert sample == pick_sample(200, wanted=10)
    assert len(set(sample)) == 10
    assert set(sample) <= set(range(200))


def test_a_sample_of_few_is_all_of_them() -> None:
    assert pick_sample(3, wanted=4) == [0, 1, 2]


def test_a_run_tells_its_status_and_its_time(tmp_path: Path) -> None:
    command = ["sh", "-c", "sleep 0.2; exit 3"]
    run = measure(command, stdout=str(tmp_path / "out"), stderr=str(tmp_path / "err"), environment=dict(os.environ))
    assert run.status == 3
    assert run.wall_seconds >= 0.2
    assert run.cpu_seconds < run.wall_seconds


def test_a_run_over_its_limit_is_killed(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    run = measure(["sleep", "60"], stdout=output, stderr=output, environment=dict(os.environ), limit=0.1)
    assert run.status == -9


def test_the_scan_is_judged_without_the_start_of_the_program() -> None:
    tools = {"bound": {"wall_seconds": 0.2}, "scan": {"wall_seconds": 0.5}, "version": {"wall_seconds": 0.1}}
    [verdict] = judge_scan("node", tools)
    assert verdict.ratio == pytest.approx(2.0)
    assert verdict.target == 2.0


def test_the_scan_is_compared_with_the_peers_that_ran() -> None:
    walls = {"bound": 0.2, "scan": 0.5, "version": 0.1, "ss": 10.0, "lsof": 20.0, "scan-owners-container": 0.4}
    _, ss, owners = judge_scan("node", {name: {"wall_seconds": wall} for name, wall in walls.items()})
    assert (ss, owners) == (
        Verdict("    ss -tunap in each netns / scan", 20.0, None),
        Verdict("    scan --owners container / scan", 0.8, None),
    )


def test_a_tool_that_failed_leaves_no_ratio() -> None:
    tools: dict[str, dict[str, Any]] = {
        "bound": {"wall_seconds": 0.2},
        "scan": {"failed": "exit 1"},
        "version": {"wall_seconds": 0.1},
    }
    assert [verdict.ratio for verdict in judge_scan("node", tools)] == [None]
    assert [verdict.ratio for verdict in judge_startup(tools)] == [None, None]


def test_rendering_is_judged_by_the_rows_of_its_own_format() -> None:
    seconds = {"json.dumps jsonl": 2.0, "jsonl": 1.0, "json.dumps table": 1.0, "table": 3.0}
    seconds |= {"markdown": 4.0, "html": 5.0, "5,000 series": 0.05}
    assert [verdict.ratio for verdict in judge_rendering(seconds)] == [0.5, 3.0, 4.0, 5.0, 0.05]
