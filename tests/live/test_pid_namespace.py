"""A PID namespace of its own is a part of the host, and says so."""

import pytest

from nsagent.errors import EXIT_NOT_FOUND, EXIT_PARTIAL
from tests.live.closed_bed import ClosedBed
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import NSAGENT, owners_in, run_scan, verdict_kind

pytestmark = pytest.mark.timeout(120)

IN_PART = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")


def test_from_within_a_part_nothing_is_complete_and_no_netns_is_the_hosts(closed_bed: ClosedBed) -> None:
    outer = closed_bed.netns_bed.actor().listen()
    scan = closed_bed.scan(before=IN_PART)
    (gap,) = scan.coverage["gaps"]
    assert (gap["stage"], gap["kind"], gap["code"]) == ("processes", "hidden_processes", "pid_namespace")
    assert not scan.coverage["complete"]
    assert [(one["is_host"], one["is_init"]) for one in scan.netns if one["inode"] == closed_bed.host_netns] == [
        (False, True)
    ]
    row = scan.one(outer.inode)
    assert (owners_in(row), verdict_kind(row)) == ({}, "unknown")


def test_that_is_one_line_and_status_3_with_strict(closed_bed: ClosedBed) -> None:
    ran = closed_bed.run_nsagent("scan", "--runtime", "none", "--strict", before=IN_PART)
    (line,) = ran.complaints
    assert line.startswith("nsagent: processes outside of this PID namespace are not seen: run with the host's")
    assert ran.status == EXIT_PARTIAL


def test_the_netns_of_pid_1_is_called_init_and_none_host(closed_bed: ClosedBed) -> None:
    held = closed_bed.netns_bed.actor().listen()
    found = closed_bed.scan("--netns", "init", before=IN_PART)
    assert [socket["inode"] for socket in found.sockets] == [held.inode]
    ran = closed_bed.run_nsagent("scan", "--runtime", "none", "--netns", "host", before=IN_PART)
    assert ran.status == EXIT_NOT_FOUND
    assert ran.complaints == ["nsagent: no netns 'host'; no thread of the kernel is seen: that of PID 1 is called init"]


def test_doctor_says_it_with_what_helps(closed_bed: ClosedBed) -> None:
    said = " ".join(closed_bed.run_nsagent("doctor", "--runtime", "none", before=IN_PART).stdout.decode().split())
    assert "processes are hidden (those outside of this PID namespace)" in said
    assert "hostPID: true, docker run --pid host" in said


def test_the_procfs_of_a_part_is_one_also_where_another_mount_namespace_has_it(closed_bed: ClosedBed) -> None:
    """It is no copy: it has no engine of copies, and is not complete."""
    held = closed_bed.netns_bed.actor().listen()
    inner = closed_bed.start(*IN_PART, "sh", "-c", "echo ready; read line")
    assert inner.stdout is not None
    assert inner.stdout.readline() == b"ready\n"
    (pid,) = closed_bed.run("pgrep", "-xf", "sh -c echo ready; read line").split()
    scan = closed_bed.scan("--proc-root", f"/proc/{pid}/root/proc")
    assert [(gap["kind"], gap["code"]) for gap in scan.coverage["gaps"]] == [("hidden_processes", "pid_namespace")]
    assert {one["engine"] for one in scan.netns} == {"sock_diag"}
    assert verdict_kind(scan.one(held.inode)) == "unknown"


def test_with_the_procfs_of_the_host_all_is_seen(bed: NetnsBed, host_netns: int | None) -> None:
    """What is meant is the procfs that is read, and not where the program runs."""
    _, actor = bed.stage()
    held = actor.listen()
    scan = run_scan("--runtime", "none", command=["unshare", "--pid", "--fork", "--kill-child", "--", *NSAGENT])
    assert owners_in(scan.one(held.inode)) == {actor.pid: [held.fd]}
    assert [one["inode"] for one in scan.netns if one["is_host"]] == ([host_netns] if host_netns else [])
    assert ("pid_namespace" in {gap["code"] for gap in scan.coverage["gaps"]}) == (host_netns is None)
