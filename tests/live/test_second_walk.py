"""What a row costs whose holder is nowhere to be seen: not all fds of the host once more."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.capabilities import Capability, require
from tests.live.closed_bed import ClosedBed
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import verdict_kind

pytestmark = pytest.mark.timeout(120)

PROCESSES = 20


@pytest.fixture
def outside(token: str, closed_bed: ClosedBed) -> Iterator[NetnsBed]:
    """Makes actors that are in no PID namespace of the bed."""
    with closing(NetnsBed(token)) as made:
        yield made


def count_walks(bed: ClosedBed, trace: Path, inode: int | None = None) -> float:
    """How often a scan lists the fds of a process, over how many processes there are; it shows the row of the inode."""
    scan = bed.scan(before=("strace", "-f", "-qq", "-e", "trace=openat", "-o", str(trace)))
    assert [verdict_kind(row) for row in scan.sockets if row["inode"] == inode] == ["unknown"] * (inode is not None)
    lists = re.findall(r'openat\(\d+, "fd", [A-Z_|]*O_DIRECTORY', trace.read_text())
    return len(lists) / int(scan.coverage["processes"]["seen"])


def test_a_row_that_nobody_holds_costs_no_second_look_at_processes_that_have_not_run(
    closed_bed: ClosedBed, outside: NetnsBed, tmp_path: Path
) -> None:
    require(Capability.STRACE)
    for _ in range(PROCESSES):
        closed_bed.netns_bed.actor().listen()
    alone = count_walks(closed_bed, tmp_path / "trace")
    place = MadeNetns(closed_bed.host_netns, None, f"/proc/{closed_bed.init_pid}/ns/net")
    held = outside.actor(place).listen()
    beside = count_walks(closed_bed, tmp_path / "trace", held.inode)
    assert 1 <= alone <= beside < 1.5 * alone
