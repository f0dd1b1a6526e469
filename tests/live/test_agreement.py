"""Random topologies on a quiet host: a scan agrees with ss(8) and psutil, and engine proc with sock_diag.

NSAGENT_TEST_SEED repeats the topology that a failure names.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.live.capabilities import choose_seed, trials
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import Scan, run_scan
from tests.live.rows import Row, explain_difference, read_ss_rows
from tests.live.topology import Builder, Town

TOPOLOGIES = trials(default=20, full=100)

ROUNDS = 5

PSUTIL_ROWS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "bench", "psutil_rows.py")

Tables = dict[int, list[Row]]
PlainRow = tuple[int, str, int, int]


def read_tables(town: Town) -> Tables:
    return {netns.inode: read_ss_rows(netns.path) for netns in town.netns}


def read_psutil_rows(town: Town) -> list[tuple[PlainRow, int | None]]:
    """What psutil says: netns, protocol, local and remote port of each row, and one of its holders."""
    places = [f"{netns.inode}={netns.path}" for netns in town.netns]
    done = subprocess.run(
        [sys.executable, PSUTIL_ROWS, *places], capture_output=True, text=True, timeout=60, check=True
    )
    rows: list[tuple[PlainRow, int | None]] = []
    netns = 0
    for words in map(str.split, done.stdout.splitlines()):
        if words[0] == "netns":
            netns = int(words[1])
            continue
        protocol, _, port, remote_port, pid = words
        rows.append(((netns, protocol, int(port), int(remote_port)), None if pid == "-" else int(pid)))
    return rows


def explain_psutil(rows: list[tuple[PlainRow, int | None]], scan: Scan, town: Town) -> str:
    """How psutil's rows and holders differ from a scan's; empty if they do not."""
    seen: Counter[PlainRow] = Counter()
    holders: set[tuple[PlainRow, int | None]] = set()
    for socket in scan.of_netns(*(netns.inode for netns in town.netns)):
        row = (socket["netns"], socket["protocol"], socket["local"]["port"], socket["remote"]["port"])
        seen[row] += 1
        holders |= {(row, owner["pid"]) for owner in socket["owners"]} or {(row, None)}
    told = Counter(row for row, _ in rows)
    lines = [
        f"psutil {told[row]} times, the scan {seen[row]} times: {row}" for row in told | seen if told[row] != seen[row]
    ]
    lines += [f"only psutil has {pid} as a holder of {row}" for row, pid in rows if (row, pid) not in holders]
    return "\n".join(lines)


def read_while_quiet(town: Town) -> tuple[Tables, Scan, Scan, list[tuple[PlainRow, int | None]]]:
    """What ss says both before and after two scans and psutil, the scans, one by each engine, and psutil's rows."""
    for _ in range(ROUNDS):
        before = read_tables(town)
        by_diag, by_proc = run_scan("--engine", "sock_diag"), run_scan("--engine", "proc")
        by_psutil = read_psutil_rows(town)
        if read_tables(town) == before:
            return before, by_diag, by_proc, by_psutil
    pytest.fail(f"in {ROUNDS} rounds the topology never kept quiet")


def explain(what: str, first: Tables, second: Tables) -> str:
    """Which rows of which netns differ; empty if none."""
    found = ((number, explain_difference(rows, second[number])) for number, rows in first.items())
    return "\n".join(f"netns {number}, {what}:\n{difference}" for number, difference in found if difference)


@pytest.mark.parametrize("trial", range(TOPOLOGIES))
def test_a_random_topology_is_seen_alike_by_ss_psutil_and_both_engines(
    bed: NetnsBed, tmp_path: Path, trial: int
) -> None:
    seed = choose_seed(trial)
    print(f"NSAGENT_TEST_SEED={seed}")
    town = Builder(bed, seed, os.fspath(tmp_path)).build()
    expected, by_diag, by_proc, by_psutil = read_while_quiet(town)
    diag = {netns.inode: by_diag.rows_of_netns(netns.inode) for netns in town.netns}
    proc = {netns.inode: [row.plain() for row in by_proc.rows_of_netns(netns.inode)] for netns in town.netns}
    plain = {number: [row.plain() for row in rows] for number, rows in expected.items()}
    difference = explain("ss against sock_diag", expected, diag) + explain("ss against proc", plain, proc)
    difference += explain_psutil(by_psutil, by_diag, town)
    assert not difference, difference
