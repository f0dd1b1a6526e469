"""Netns mounted in mount namespaces of others, who make of the mount points what they like."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.kernel.inotify import Opened
from tests.live.actors import owners_of
from tests.live.capabilities import PATH, Capability, require
from tests.live.closed_bed import ClosedBed, read_report
from tests.live.coverage import is_whole
from tests.live.nsagent_cli import NSAGENT, Ran, Scan, clean_environment, owners_in

PROGRAM: Final = os.path.join(os.path.dirname(__file__), "hostile_mounts.py")
MOUNTS: Final = 8000
KEPT: Final = 16
SECONDS: Final = 60.0
MOST_RSS_KIB: Final = 60 * 1024
MEASURE: Final = (
    "import resource, subprocess, sys; status = subprocess.run(sys.argv[2:]).returncode; "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=open(sys.argv[1], 'w')); sys.exit(status)"
)
"""`MEASURE FILE COMMAND ...`: the most KiB that the command had in memory; that of whoever starts it counts as well."""


class Hostile(NamedTuple):
    """What hostile_mounts.py says that it made: {pid: netns}, and the servers that hold up look-ups."""

    processes: dict[int, int]
    servers: list[int]


def start_hostile(bed: ClosedBed, mode: str, count: int) -> Hostile:
    made = Hostile({}, [])
    for kind, pid, *numbers in read_report(bed.start(sys.executable, "-I", "-S", PROGRAM, mode, str(count)), "ready"):
        if kind == "process":
            made.processes[int(pid)] = int(numbers[0])
        else:
            made.servers.append(int(pid))
    return made


def gaps_of(scan: Scan) -> dict[tuple[str, str], tuple[set[int], int]]:
    """{(kind, code): (pids, count)} of what was not read of netns."""
    return {
        (gap["kind"], gap["code"]): ({int(id_) for id_ in gap["ids"]}, gap["count"])
        for gap in scan.coverage["gaps"]
        if gap["stage"] == "netns"
    }


def test_no_symbolic_link_at_a_mount_point_leads_out_of_the_root_of_its_owner(closed_bed: ClosedBed) -> None:
    secret = Path(closed_bed.root, "run/secret")
    secret.mkdir(0o700)
    os.mkfifo(secret / "fifo", 0o600)
    made = start_hostile(closed_bed, "link", 1)
    with Opened(secret / "fifo") as opened:
        scan = closed_bed.scan()
        assert not opened.happened()
    assert gaps_of(scan) == {("mounts", "unreachable"): (set(made.processes), 1)}


@pytest.mark.parametrize(("mode", "count"), [("silent", 50), ("held", 1)])
def test_mounts_that_never_answer_cost_a_few_seconds_and_no_row_of_others(
    closed_bed: ClosedBed, mode: str, count: int
) -> None:
    require(Capability.FUSE)
    actor = closed_bed.netns_bed.anonymous()[1]
    held = [actor.listen(), *actor.pair(actor.listen())]
    quiet = owned(closed_bed.scan())
    made = start_hostile(closed_bed, mode, count)
    scan = Scan(json.loads(run_beside(closed_bed, made, "scan", "--runtime", "none", "-o", "json").stdout))
    assert owned(scan) == quiet
    assert {one.inode: owners_of(one) for one in held}.items() <= quiet.items()
    assert gaps_of(scan) == {("mounts", "no_answer"): (set(made.processes), count)}


def test_a_file_that_takes_the_place_of_a_socket_meanwhile_holds_up_no_scan_when_it_is_closed(
    closed_bed: ClosedBed, tmp_path: Path
) -> None:
    require(Capability.FUSE, Capability.STRACE)
    actor = closed_bed.netns_bed.anonymous()[1]
    held = [actor.listen(), *actor.pair(actor.listen())]
    made = start_hostile(closed_bed, "swap", 1)
    # Between the look at the link and the duplicate there is time enough to swap.
    slow = ("strace", "-D", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "inject=pidfd_getfd:delay_enter=1000000")
    ran = run_beside(closed_bed, made, "scan", "--runtime", "none", "-o", "json", before=slow)
    assert {one.inode: owners_of(one) for one in held}.items() <= owned(Scan(json.loads(ran.stdout))).items()


def owned(scan: Scan) -> dict[int, dict[int, list[int]]]:
    """Who holds which socket."""
    return {row["inode"]: owners_in(row) for row in scan.sockets}


def run_beside(bed: ClosedBed, made: Hostile, *arguments: str, before: Sequence[str] = ()) -> Ran:
    """nsagent in the bed, beside servers that may hold it up for ever: they end with it, whether it does or not."""
    command = [*bed.enter, *before, *NSAGENT, *arguments]
    environment = {**clean_environment(), "PATH": PATH}
    started = time.monotonic()
    # Into files: whoever traces what is left behind has pipes open for as long.
    with (
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment) as process,
    ):
        try:
            process.wait(SECONDS)
        finally:
            for server in made.servers:
                bed.run("kill", "-KILL", str(server))
            process.kill()
        said = []
        for each in (stdout, stderr):
            each.seek(0)
            said.append(each.read())
    return Ran(process.returncode, said[0], said[1].decode(), time.monotonic() - started)


def test_a_netns_mounted_in_another_mount_namespace_alone_is_read(closed_bed: ClosedBed) -> None:
    (netns,) = start_hostile(closed_bed, "plain", 1).processes.values()
    scan = closed_bed.scan()
    entry = scan.find_netns(netns)
    assert entry is not None
    assert (entry["found_by"], entry["foreign_mounts"], entry["engine"]) == (
        ["mount"],
        ["/mnt/below/netns"],
        "sock_diag",
    )
    assert is_whole(scan.coverage)


@pytest.mark.parametrize("errno", ["ENOSYS", "EPERM"])
def test_without_openat2_mounts_of_others_are_left_alone_and_told(
    closed_bed: ClosedBed, tmp_path: Path, errno: str
) -> None:
    require(Capability.STRACE)
    named = closed_bed.netns_bed.named()
    made = start_hostile(closed_bed, "plain", 1)
    traced = ("strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"inject=openat2:error={errno}")
    scan = closed_bed.scan(before=traced)
    assert gaps_of(scan) == {("mounts", errno): (set(made.processes), 1)}
    assert scan.find_netns(named.inode) is not None


def test_no_child_is_started_where_something_else_leads_to_every_netns(closed_bed: ClosedBed, tmp_path: Path) -> None:
    require(Capability.STRACE)
    named = closed_bed.netns_bed.named()
    netns, actor = closed_bed.netns_bed.anonymous()
    bind = f"touch /run/own && mount --bind /proc/{actor.pid}/ns/net /run/own && echo ready && exec cat"
    read_report(closed_bed.start("unshare", "--mount", "sh", "-c", bind), "ready")
    trace = tmp_path / "trace"
    scan = closed_bed.scan(before=("strace", "-f", "-qq", "-e", "trace=execve", "-o", str(trace)))
    mounts = {entry["inode"]: entry["mounts"] + entry["foreign_mounts"] for entry in scan.netns}
    assert (mounts[named.inode], mounts[netns.inode]) == ([named.path], ["/run/own"])
    assert trace.read_text().count("execve(") == 1


@pytest.mark.parametrize("mode", ["long", "covered"])
def test_thousands_of_mounts_of_one_netns_cost_little_and_are_counted(
    closed_bed: ClosedBed, tmp_path: Path, mode: str
) -> None:
    ((pid, netns),) = start_hostile(closed_bed, mode, MOUNTS).processes.items()
    rss = tmp_path / "rss"
    scan = closed_bed.scan(before=(sys.executable, "-I", "-S", "-c", MEASURE, str(rss)))
    entry = scan.find_netns(netns)
    assert (entry is None) == (mode == "covered")
    assert gaps_of(scan) == ({("mounts", "unreachable"): ({pid}, 1)} if entry is None else {})
    (cut,) = [gap for gap in scan.coverage["gaps"] if gap["kind"] == "mount_points"]
    assert (cut["ids"], cut["code"], cut["count"]) == ([str(pid)], "too_many", MOUNTS - KEPT)
    assert int(rss.read_text()) < MOST_RSS_KIB
