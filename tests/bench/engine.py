"""`python -m tests.bench.engine`: what names cost where a dockerd has 120 containers, as JSON.

Medians: wall and CPU seconds of `nsagent scan` that asks nobody and that asks it, and CPU seconds of the passes of an
agent from its second one on, without engines and with this one. What is compared takes turns. Needs root and
dockerd(8); what else runs on this machine is in all of them.
"""

import itertools
import json
import os
import secrets
import sys
import threading
import time
from contextlib import closing
from typing import Final

from nsagent.agent.passes import Passes, Place
from nsagent.config.model import Config
from tests.bench.measure import Run, measure, median
from tests.bench.tools import NSAGENT
from tests.live.docker_bed import DockerBed

CONTAINERS: Final = 120
RUNS: Final = 9


def main() -> None:
    """Measure."""
    with closing(DockerBed(f"nsl{secrets.token_hex(4)}")) as bed:
        bed.start()
        for number in range(CONTAINERS):
            bed.run(f"bench-{number}", "none", ["sleep", "86400"])
        kind, url = bed.runtime_option
        scans = {name: [NSAGENT, "scan", kind, spec] for name, spec in (("none", "none"), ("engine", url))}
        runs: dict[str, list[Run]] = {name: [] for name in scans}
        for _, name in itertools.product(range(RUNS), scans):
            runs[name].append(_scan(scans[name]))
        walls = {f"scan_{name}": median([run.wall_seconds for run in runs[name]]) for name in scans}
        cpu = {f"scan_{name}_cpu": median([run.cpu_seconds for run in runs[name]]) for name in scans}
        print(json.dumps({**walls, **cpu, **_measure_passes(url)}))


def _scan(command: list[str]) -> Run:
    run = measure(command, stdout=os.devnull, stderr=os.devnull, environment=os.environ)
    if run.status:
        sys.exit(f"{' '.join(command)}: exit status {run.status}")
    return run


def _measure_passes(url: str) -> dict[str, float]:
    configs = {name: Config(version=1, runtime=spec) for name, spec in (("none", "none"), ("engine", url))}
    place, stop = Place(lambda: "bench"), threading.Event()
    agents = {name: Passes(config, place, {}, clock=time.monotonic) for name, config in configs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in agents}
    for turn, name in itertools.product(range(RUNS + 1), agents):
        made = agents[name].make(stop, changes_wanted=True)
        if turn:
            seconds[name].append(made.status.cpu_seconds)
    for each in agents.values():
        each.close()
    return {f"pass_{name}": median(taken) for name, taken in seconds.items()}


if __name__ == "__main__":
    main()
