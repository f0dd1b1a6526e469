"""Hosts on which something that is always there is not: what can be read is read, else a line says why not."""

import os
import platform
import shutil
import sys
from errno import EAGAIN, EPERM
from pathlib import Path

import pytest

from nsagent.errors import EXIT_FAILED
from tests.live import programs
from tests.live.closed_bed import ClosedBed
from tests.live.nsagent_cli import owners_in, run_nsagent, run_scan
from tests.live.test_visibility import AS_PLAIN_USER

FILTER = os.path.join(programs.HERE, "filter_calls.py")
FIXTURES = os.path.join(os.path.dirname(programs.HERE), os.pardir, os.pardir, "fixtures")
CAPTURE = os.path.join(FIXTURES, "captures", "docker.json.gz")
CALLS = {
    "x86_64": {"prlimit64": 302, "sendto": 44, "clone": 56, "clone3": 435},
    "aarch64": {"prlimit64": 261, "sendto": 206, "clone": 220, "clone3": 435},
    "riscv64": {"prlimit64": 261, "sendto": 206, "clone": 220, "clone3": 435},
}[platform.machine()]
WITHOUT_PROC = "mount -t tmpfs none /proc"


def refused(errno: int, *names: str) -> list[str]:
    """A command that is refused these system calls."""
    return [sys.executable, FILTER, f"refuse={errno},{','.join(str(CALLS[name]) for name in names)}"]


def after(script: str) -> list[str]:
    """A command in a mount namespace of its own, after this was done there."""
    return ["unshare", "--mount", "sh", "-c", f'{script}; exec "$@"', "sh"]


@pytest.mark.parametrize(
    "before",
    [
        refused(EPERM, "prlimit64"),
        refused(EPERM, "sendto"),
        refused(EPERM, "prlimit64", "sendto"),
        after('gone=$(mktemp -d); cd "$gone"; rmdir "$gone"'),
        after("mount -o remount,bind,ro / && ! touch /etc/nsagent"),
        ["env", "-u", "HOME", "-u", "TMPDIR", "-u", "PATH"],
        ["env", "LC_ALL=C", "PYTHONIOENCODING=ascii"],
    ],
    ids=lambda before: " ".join(before).replace(sys.executable, "").replace(FILTER, ""),
)
def test_what_is_not_needed_may_be_missing(closed_bed: ClosedBed, before: list[str]) -> None:
    _, actor = closed_bed.netns_bed.stage()
    held = actor.listen()
    scan = closed_bed.scan(before=before)
    assert owners_in(scan.one(held.inode)) == {actor.pid: [held.fd]}
    assert scan.coverage["gaps"] == closed_bed.scan().coverage["gaps"]


@pytest.mark.parametrize("most", [20, 8])
def test_with_few_fds_an_owner_is_told_or_that_it_could_not_be_read(closed_bed: ClosedBed, most: int) -> None:
    """How many fds a pass has open at once is a matter of how its threads are scheduled."""
    _, actor = closed_bed.netns_bed.stage()
    held = actor.listen()
    scan = closed_bed.scan(before=["prlimit", f"--nofile={most}:{most}"])
    row = scan.one(held.inode)
    if {gap["code"] for gap in scan.coverage["gaps"]} == {gap["code"] for gap in closed_bed.scan().coverage["gaps"]}:
        assert owners_in(row) == {actor.pid: [held.fd]}
    else:
        assert owners_in(row) in ({}, {actor.pid: [held.fd]})
        assert "EMFILE" in {gap["code"] for gap in scan.coverage["gaps"]}
        assert not scan.coverage["complete"]


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (after(WITHOUT_PROC), "/proc: no procfs, nor a copy of one: there is no process in it"),
        (refused(EAGAIN, "clone", "clone3"), "a thread to read with: EAGAIN"),
        ([*AS_PLAIN_USER, "prlimit", "--nproc=1:1"], "a thread to read with: EAGAIN"),
    ],
    ids=["no /proc", "no thread", "RLIMIT_NPROC"],
)
def test_what_is_needed_and_not_there_is_told_in_a_line(closed_bed: ClosedBed, before: list[str], why: str) -> None:
    for command in ("scan", "netns", "containers"):
        ran = closed_bed.run_nsagent(command, "--runtime", "none", before=before)
        assert (ran.status, ran.stdout, ran.stderr) == (EXIT_FAILED, b"", f"nsagent: {why}\n")


@pytest.mark.parametrize("arguments", [("scan", "--from", CAPTURE), ("doctor",), ("config", "init"), ("--version",)])
def test_what_needs_no_procfs_does_without(closed_bed: ClosedBed, arguments: tuple[str, ...]) -> None:
    ran = closed_bed.run_nsagent(*arguments, before=after(WITHOUT_PROC))
    assert (ran.status, bool(ran.stdout), ran.stderr) == (0, True, "")


def test_a_directory_that_is_empty_is_no_procfs(tmp_path: Path) -> None:
    for command in ("scan", "netns", "containers"):
        ran = run_nsagent(command, "--proc-root", str(tmp_path))
        told = f"nsagent: {tmp_path}: no procfs, nor a copy of one: there is no process in it\n"
        assert (ran.status, ran.stdout, ran.stderr) == (EXIT_FAILED, b"", told)


@pytest.mark.parametrize("missing", [("cgroup",), ("ns/mnt",), ("net/udp6", "net/dev")], ids=" ".join)
def test_a_copy_of_procfs_that_lacks_files_of_each_process_lacks_no_process(
    tmp_path: Path, missing: tuple[str, ...]
) -> None:
    """A kernel without cgroups has none; trees that others keep for their tests have no more than those need."""
    copy = shutil.copytree(os.path.join(FIXTURES, "proc", "node"), tmp_path / "node", symlinks=True)
    options = ("--runtime", "none", "--proc-root", str(copy))
    whole = run_scan(*options)
    for process in copy.iterdir():
        for name in missing:
            (process / name).unlink(missing_ok=True)
    scan = run_scan(*options)
    assert [(row["inode"], owners_in(row)) for row in scan.sockets] == [
        (row["inode"], owners_in(row)) for row in whole.sockets
    ]
    for each in (scan, whole):
        processes, netns = each.coverage["processes"], each.coverage["netns"]
        assert (processes["ok"], processes["vanished"], netns["failed"]) == (processes["seen"], 0, 0)


LITTLE_MEMORY = (
    "import resource, sys; own = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
    "most = own + (int(sys.argv.pop(1)) << 10); resource.setrlimit(resource.RLIMIT_AS, (most, most)); "
    "from nsagent.__main__ import _answer; _answer(False)"
)
"""nsagent that may have so many KiB more than an interpreter has."""


@pytest.mark.parametrize("more_kib", [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10])
def test_where_memory_ends_is_a_line(closed_bed: ClosedBed, more_kib: int) -> None:
    """What there is none for may be a row, a thread, or a module."""
    limited = [sys.executable, "-I", "-c", LITTLE_MEMORY, str(more_kib)]
    ran = run_nsagent("scan", "--runtime", "none", command=[*closed_bed.enter, *limited])
    if ran.status == 0:
        assert ran.stderr == closed_bed.run_nsagent("scan", "--runtime", "none").stderr
    else:
        (told,) = ran.complaints
        assert (ran.status, ran.stdout, told.startswith("nsagent: ")) == (EXIT_FAILED, b"", True)
        assert more_kib < 64 << 10
