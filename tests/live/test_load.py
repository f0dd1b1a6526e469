"""Scans of a closed bed under load, each held against what the load itself has logged."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.live.capabilities import Capability, require, trials
from tests.live.closed_bed import ClosedBed, read_report
from tests.live.load import (
    Born,
    Pass,
    count_short_lived,
    count_stale_events,
    find_faults,
    read_births,
    read_lives,
    take_passes,
)

pytestmark = pytest.mark.timeout(1800)

Program = Callable[[str], str]

CHURN_SECONDS = trials(default=20, full=600)
CONNECTIONS_PER_SECOND, PROCESSES_PER_SECOND = 500, 50
ALWAYS_HELD = 100 + 1 + 2 * 50 + 20 + 5 + 1

SLOW_PASSES = trials(default=5, full=50)
HELD_FOR_LONG = ("strace", "-f", "-qq", "-e", "trace=pidfd_getfd", "-e", "inject=pidfd_getfd:delay_exit=100000")
"""Each duplicate of a descriptor is kept 100 ms: longer than a connection lives."""

STORM_PASSES = trials(default=100, full=1000)
STORM_PER_SECOND = 150
STORM_PID_MAX = 318
"""PIDs are taken again from 300: 18 of them for 150 processes a second and the scan."""

HANDOVER_PASSES = trials(default=40, full=400)
HANDOVERS_PER_SECOND = 4000
WORKERS, SOCKETS = 8, 200

LEAST_OF_RATE = 0.9
SETTLE_SECONDS = 0.3
MOST_FAULTS_SHOWN = 20


def stop(load: subprocess.Popen[bytes]) -> None:
    """End a load; what it did before is in its log by then."""
    time.sleep(SETTLE_SECONDS)
    assert load.stdin is not None
    load.stdin.close()
    load.wait(20)


def show(faults: list[str]) -> str:
    return "\n".join([f"{len(faults)} faults", *faults[:MOST_FAULTS_SHOWN]])


@pytest.fixture
def log(tmp_path: Path) -> str:
    return os.fspath(tmp_path / "log")


def test_under_churn_no_owner_is_wrong_and_no_held_socket_is_lost(
    closed_bed: ClosedBed, program: Program, log: str
) -> None:
    load = closed_bed.start(program("churn"), log, str(CONNECTIONS_PER_SECOND), str(PROCESSES_PER_SECOND))
    read_report(load, "ready")
    start = time.monotonic()
    passes = take_passes(closed_bed.scan, lambda _: time.monotonic() < start + CHURN_SECONDS)
    seconds = time.monotonic() - start
    stop(load)
    lives = read_lives(log)
    opened = Counter(life.comm.split("-")[0] for holders in lives.values() for life in holders)
    processes = {life.comm for holders in lives.values() for life in holders if life.comm.startswith("brief")}
    assert opened["client"] >= LEAST_OF_RATE * CONNECTIONS_PER_SECOND * seconds
    assert len(processes) >= LEAST_OF_RATE * PROCESSES_PER_SECOND * seconds
    faults = list(find_faults(passes, lives))
    met, ownerless = count_short_lived(passes, lives)
    print(f"{len(passes)} passes, {met} rows of short-lived sockets, {ownerless} of them without an owner")
    assert not faults, show(faults)
    assert met >= len(passes), "the scans met no short-lived socket"


def test_under_churn_the_sockets_of_the_keeper_are_all_there(closed_bed: ClosedBed, program: Program, log: str) -> None:
    """Holds the log against the load: what is never closed is what programs/churn.c makes once."""
    load = closed_bed.start(program("churn"), log, str(CONNECTIONS_PER_SECOND), str(PROCESSES_PER_SECOND))
    read_report(load, "ready")
    (taken,) = take_passes(closed_bed.scan, lambda count: count < 1)
    stop(load)
    held = {
        inode
        for inode, holders in read_lives(log).items()
        if any(life.opened <= taken.start and life.before_close >= taken.end for life in holders)
    }
    assert len(held) >= ALWAYS_HELD
    assert held <= {row.inode for row in taken.rows}


def test_a_scan_keeps_no_connection_open_that_its_process_closes(
    closed_bed: ClosedBed, program: Program, log: str, tmp_path: Path
) -> None:
    """Not even where it has to wait for a CPU while it has a descriptor of a stranger's socket."""
    require(Capability.STRACE)
    load = closed_bed.start(program("churn"), log, str(CONNECTIONS_PER_SECOND), str(PROCESSES_PER_SECOND))
    read_report(load, "ready")
    slowly = (*HELD_FOR_LONG, "-o", os.fspath(tmp_path / "trace"))
    take_passes(partial(closed_bed.scan, before=slowly), lambda count: count < SLOW_PASSES)
    stop(load)
    assert count_stale_events(log) == 0, "the server was told of a connection that it had closed"


def test_when_pids_are_used_again_at_once_no_identity_is_wrong(
    open_bed: Callable[..., ClosedBed], program: Program, log: str
) -> None:
    bed = open_bed(pid_max=STORM_PID_MAX)
    load = bed.start(program("storm"), log, str(STORM_PER_SECOND))
    read_report(load, "ready")
    start = time.monotonic()
    passes = take_passes(bed.scan, lambda count: count < STORM_PASSES)
    seconds = time.monotonic() - start
    stop(load)
    births = read_births(log)
    assert len(births) >= LEAST_OF_RATE / 2 * STORM_PER_SECOND * seconds
    wrong = [fault for taken in passes for fault in list_wrong_identities(taken, births)]
    assert not wrong, show(wrong)
    reused = sum(1 for taken in passes if has_reused_pid(taken, births))
    owned = sum(1 for taken in passes for row in taken.rows if row.owners)
    print(f"{len(passes)} passes, {reused} with a PID used twice meanwhile, {owned} rows with an owner")
    assert reused >= 0.5 * len(passes), "the storm was too slow"
    assert owned >= len(passes), "the scans met nobody"


def list_wrong_identities(taken: Pass, births: dict[int, Born]) -> list[str]:
    """The owners that are not the process that made the socket and never gave it away."""
    return [
        f"inode {row.inode}: {owner}, but made by {births.get(row.inode)}"
        for row in taken.rows
        for owner in row.owners
        if row.inode not in births or births[row.inode].process != owner
    ]


def has_reused_pid(taken: Pass, births: dict[int, Born]) -> bool:
    pids = Counter(born.process.pid for born in births.values() if taken.start <= born.time <= taken.end)
    return any(count > 1 for count in pids.values())


def test_a_socket_handed_on_and_on_always_has_an_owner(closed_bed: ClosedBed, program: Program) -> None:
    load = closed_bed.start(program("handover"), str(WORKERS), str(SOCKETS), str(HANDOVERS_PER_SECOND))
    made = read_report(load, "ready")
    workers = {int(words[1]) for words in made if words[0] == "worker"}
    inodes = {int(words[1]) for words in made if words[0] == "socket"}
    assert (len(workers), len(inodes)) == (WORKERS, SOCKETS)
    start = time.monotonic()
    passes = take_passes(closed_bed.scan, lambda count: count < HANDOVER_PASSES)
    seconds = time.monotonic() - start
    passed = read_passed(load)
    faults = [fault for taken in passes for fault in list_lost(taken, inodes, workers)]
    print(f"{len(passes)} passes, {passed} sockets handed on")
    assert not faults, show(faults)
    assert passed >= LEAST_OF_RATE / 2 * HANDOVERS_PER_SECOND * seconds, "the sockets hardly moved"


def list_lost(taken: Pass, inodes: set[int], workers: set[int]) -> list[str]:
    """The sockets of the workers that a pass has without one of them as an owner, or not at all."""
    owners = {row.inode: {owner.pid for owner in row.owners} for row in taken.rows}
    return [
        f"inode {inode}: owners {owners.get(inode)}"
        for inode in owners.keys() | inodes
        if inode not in inodes or not owners.get(inode) or not owners[inode] <= workers
    ]


def read_passed(load: subprocess.Popen[bytes]) -> int:
    """End the workers; how often they have handed a socket on."""
    assert load.stdin is not None
    assert load.stdout is not None
    load.stdin.close()
    return int(load.stdout.read().split()[-1])
