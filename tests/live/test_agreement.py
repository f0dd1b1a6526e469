"""Random topologies on a quiet host: a scan agrees with ss(8), and engine proc with sock_diag.

NSAGENT_TEST_SEED repeats the topology that a failure names.
"""

import os
import random
from pathlib import Path

import pytest

from tests.live.capabilities import trials
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import Scan, run_scan
from tests.live.rows import Row, explain_difference, read_ss_rows
from tests.live.topology import Builder, Town

pytestmark = pytest.mark.timeout(60)

TOPOLOGIES = trials(default=20, full=100)
_GIVEN = os.environ.get("NSAGENT_TEST_SEED")
SEEDS = [int(_GIVEN)] if _GIVEN else [random.SystemRandom().getrandbits(32) for _ in range(TOPOLOGIES)]

ROUNDS = 5

Tables = dict[int, list[Row]]


def read_tables(town: Town) -> Tables:
    return {netns.inode: read_ss_rows(netns.path) for netns in town.netns}


def read_while_quiet(town: Town) -> tuple[Tables, Scan, Scan]:
    """What ss says both before and after two scans, and the scans, one by each engine."""
    for _ in range(ROUNDS):
        before = read_tables(town)
        by_diag, by_proc = run_scan("--engine", "sock_diag"), run_scan("--engine", "proc")
        if read_tables(town) == before:
            return before, by_diag, by_proc
    pytest.fail(f"in {ROUNDS} rounds the topology never kept quiet")


def explain(what: str, first: Tables, second: Tables) -> str:
    """Which rows of which netns differ; empty if none."""
    found = ((number, explain_difference(rows, second[number])) for number, rows in first.items())
    return "\n".join(f"netns {number}, {what}:\n{difference}" for number, difference in found if difference)


@pytest.mark.parametrize("trial", range(len(SEEDS)))
def test_a_random_topology_is_seen_alike_by_ss_and_both_engines(bed: NetnsBed, tmp_path: Path, trial: int) -> None:
    seed = SEEDS[trial]
    print(f"NSAGENT_TEST_SEED={seed}")
    town = Builder(bed, seed, os.fspath(tmp_path)).build()
    expected, by_diag, by_proc = read_while_quiet(town)
    diag = {netns.inode: by_diag.rows_of_netns(netns.inode) for netns in town.netns}
    proc = {netns.inode: [row.plain() for row in by_proc.rows_of_netns(netns.inode)] for netns in town.netns}
    plain = {number: [row.plain() for row in rows] for number, rows in expected.items()}
    difference = explain("ss against sock_diag", expected, diag) + explain("ss against proc", plain, proc)
    assert not difference, difference
