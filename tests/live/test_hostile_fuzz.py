"""A plain user does at random whatever it may beside an honest world: each scan of that stays whole, right and in time.

`make fuzz-hostile` goes on for ten minutes, with another seed each time. A failure shows the seed and the last acts of
each hostile process; NSAGENT_TEST_SEED takes the seed, NSAGENT_TEST_ACTS the names of a few acts, so that less and less
of them can be tried until those are left that do it.
"""

import json
import os
import random
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.capabilities import choose_seed, trials
from tests.live.closed_bed import ClosedBed, read_report
from tests.live.honest_world import HonestWorld, find_faults, list_ports
from tests.live.hostile.nest import Kind
from tests.live.made_cgroups import V2, MadeCgroups, find_hierarchies
from tests.live.opened import OpenWatch
from tests.live.unprivileged import PROJECT, UID

SECONDS = trials(default=60, full=600)
pytestmark = pytest.mark.timeout(SECONDS + 600)

SEED = 20240229
SHOWN_ACTS, SHOWN_FAULTS = 25, 20
OPTIONS = ((), (), (), ("--deep",), ("--owners", "container"))
BAIT, FUSE, TREE = "/run/bait", "/run/fuse", "/run/tree"


@pytest.fixture
def cgroups() -> Iterator[MadeCgroups]:
    made = MadeCgroups()
    yield made
    made.close()


@contextmanager
def told(seed: int, log: Path) -> Iterator[None]:
    """Says the seed, and what was done last, which a failure shows."""
    try:
        yield
    finally:
        acts: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=SHOWN_ACTS))
        for line in log.read_text("utf-8").splitlines():
            life, act = line.split(" ", 1)
            acts[life.partition(".")[0]].append(f"{life} {act}")
        print(f"NSAGENT_TEST_SEED={seed}", *(", ".join(acts[process]) for process in sorted(acts)), sep="\n")


def delegate(cgroups: MadeCgroups, name: str) -> list[str]:
    """Cgroups that the plain user may change, in the hierarchy of version 2 and one of version 1."""
    hierarchies = {name: top for name, top in find_hierarchies().items() if name in (V2, "systemd")}
    directories = cgroups.make(name, hierarchies)
    for directory in directories:
        for path in (directory, *(os.path.join(directory, name) for name in ("cgroup.procs", "cgroup.threads"))):
            if os.path.exists(path):
                os.chown(path, UID, UID)
    return directories


def let_loose(bed: ClosedBed, world: HonestWorld, delegated: list[str], trap: str, seed: int, log: str) -> None:
    """Start the hostile processes, in the cgroups that they may change."""
    bed.run("sh", "-c", f"mkfifo -m 666 {BAIT}; mknod -m 666 {FUSE} c 10 229; mkdir -m 777 {TREE}")
    told = {
        "ports": list_ports(world), "ids": sorted(world.ids), "names": sorted(world.names), "uid": UID,
        "bait": BAIT, "trap": trap, "tree": TREE, "device": FUSE, "delegated": delegated,
        "letters": [f"\0{seed}-{number}" for number in range(6)], "kinds": list(Kind),
        "acts": os.environ.get("NSAGENT_TEST_ACTS", "").split(),
    }  # fmt: skip
    enter = 'python=$1; shift; for top in $1; do echo $$ > "$top/cgroup.procs"; done; shift; exec "$python" -m "$@"'
    nest = ("tests.live.hostile.nest", str(seed), log, json.dumps(told))
    command = ("sh", "-c", enter, "sh", sys.executable, " ".join(delegated), *nest)
    read_report(bed.start("env", f"PYTHONPATH={PROJECT}", "PYTHONWARNINGS=ignore", *command), "ready")


def test_whatever_a_plain_user_does_the_honest_rows_are_whole_and_right(
    token: str, cgroups: MadeCgroups, open_bed: Callable[..., ClosedBed], tmp_path: Path
) -> None:
    seed, bed = choose_seed(SEED), open_bed()
    world = HonestWorld(bed, cgroups)
    before = {options: bed.scan(*options) for options in OPTIONS}
    assert world.describe(before[()]) == world.truth
    log, trap = tmp_path / "log", tmp_path / "trap" / "fifo"
    trap.parent.mkdir(0o700)
    os.mkfifo(trap, 0o600)
    let_loose(bed, world, delegate(cgroups, token), os.fspath(trap), seed, os.fspath(log))
    rng, taken = random.Random(seed), []
    with told(seed, log), OpenWatch(os.fspath(trap), bed.root + BAIT) as watch:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            options, start = rng.choice(OPTIONS), time.monotonic()
            faults = list(find_faults(world, before[options], bed.scan(*options)))
            taken.append(time.monotonic() - start)
            assert not faults, "\n".join([f"{options}: {len(faults)} faults", *faults[:SHOWN_FAULTS]])
            assert not watch.has_seen(), f"{options}: a file was opened that only a hostile process has named"
        print(f"{len(taken)} scans, {max(taken):.1f} s the longest")
    assert " failed " not in log.read_text("utf-8")
