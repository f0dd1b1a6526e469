"""What could not be seen, in few lines."""

from dataclasses import replace

import pytest

from nsagent.model.facts import Gap, ProcessCounts, Stage
from nsagent.model.snapshot import NetnsCounts, Snapshot
from nsagent.report.coverage import coverage_lines

PTRACE = "add CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
LIMIT = "raise the limit of open files (ulimit -Hn)"


def lines_of(
    snapshot: Snapshot,
    *gaps: Gap,
    processes: ProcessCounts = ProcessCounts(214, 214, 0, 0, 0),  # noqa: B008
    netns: NetnsCounts = NetnsCounts(9, 9, 0, 0, 0),  # noqa: B008
) -> list[str]:
    coverage = replace(snapshot.coverage, gaps=gaps, processes=processes, netns=netns)
    return coverage_lines(replace(snapshot, coverage=coverage))


def test_the_sample(snapshot: Snapshot) -> None:
    assert coverage_lines(snapshot) == [
        "3 of 214 processes not readable (EACCES): add CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
        "names from docker: no answer within 2 s",
        "1 of 3 netns not read",
    ]


def test_a_whole_pass_says_nothing(snapshot: Snapshot) -> None:
    assert lines_of(snapshot) == []


@pytest.mark.parametrize(
    ("gap", "line"),
    [
        (Gap(Stage.PROCESSES, "pid 1", "EPERM"), f"1 of 214 processes not readable (EPERM): {PTRACE}"),
        (Gap(Stage.FDS, "pid 1, pid 2", "EACCES", 2), f"2 of 214 processes not readable (EACCES): {PTRACE}"),
        (Gap(Stage.FDS, "pid 1", "EMFILE"), f"1 of 214 processes not readable (EMFILE): {LIMIT}"),
        (Gap(Stage.FDS, "io_uring of pid 1", "EMFILE"), f"io_uring of pid 1 not read (EMFILE): {LIMIT}"),
        (Gap(Stage.TABLES, "tcp of netns 1", "EMFILE"), f"1 read of socket tables failed (EMFILE): {LIMIT}"),
        (
            Gap(Stage.NETNS, "netns 1", "ENFILE"),
            "1 of 9 netns not readable (ENFILE): raise the host's limit of open files (sysctl fs.file-max)",
        ),
        (Gap(Stage.FDS, "io_uring of pid 1", "EACCES"), f"io_uring of pid 1 not read (EACCES): {PTRACE}"),
        (Gap(Stage.NETNS, "pid 1", "EACCES"), f"netns of 1 of 214 processes not readable (EACCES): {PTRACE}"),
        (Gap(Stage.NETNS, "netns 1", "EPERM", 2), "2 of 9 netns not readable (EPERM): add CAP_SYS_ADMIN"),
        (Gap(Stage.NETNS, "mountinfo of pid 1", "bad row"), "mountinfo of pid 1 not read (bad row)"),
        (
            Gap(Stage.NETNS, "netns of sockets in no table", "EPERM", 3),
            "netns of 3 sockets not looked up (EPERM): add CAP_NET_ADMIN",
        ),
        (
            Gap(Stage.NETNS, "netns of sockets in no table", "ESRCH", 1),
            "netns of 1 socket not looked up (ESRCH)",
        ),
        (Gap(Stage.PROCESSES, "threads of pid 7", "too many", 9), "9 threads of pid 7 not looked at (too many)"),
        (Gap(Stage.PROCESSES, "threads of pid 7", "EACCES"), f"threads of pid 7 not read (EACCES): {PTRACE}"),
        (
            Gap(Stage.PROCESSES, "threads of pid 7, threads of pid 8", "too many", 12),
            "12 threads of pid 7, pid 8 not looked at (too many)",
        ),
        (
            Gap(Stage.PROCESSES, "hidden processes", "hidepid=invisible"),
            "processes are hidden from this user (hidepid=invisible): run as root, or in the group of its option gid",
        ),
        (Gap(Stage.PROCESSES, "hidden processes", "no PID 1"), "processes are hidden from this user (no PID 1)"),
        (Gap(Stage.PROCESSES, "/proc/sys", "subset=pid"), "/proc/sys not read (subset=pid)"),
        (Gap(Stage.TABLES, "tcp of netns 1", "EIO"), "1 read of socket tables failed (EIO)"),
        (
            Gap(Stage.TABLES, "tcp of netns 1", "fewer rows than the netns counts", 4),
            "tcp of netns 1: fewer rows than the netns counts",
        ),
        (
            Gap(Stage.CHECKS, "netns held open", "not closed", 2),
            "self-check failed: netns held open: not closed",
        ),
        (
            Gap(Stage.CHECKS, "netns 1", "a row stands there twice"),
            "self-check failed: netns 1: a row stands there twice",
        ),
        (Gap(Stage.LINKS, "netns 1", "EPERM"), "interfaces of 1 of 9 netns not readable (EPERM): add CAP_SYS_ADMIN"),
        (Gap(Stage.NAMES, "cri", "\x1b[2J\n"), "names from cri: \\x1b[2J\\x0a"),
    ],
    ids=lambda value: f"{value.subject} {value.stage} {value.reason}" if isinstance(value, Gap) else "",
)
def test_a_gap_says_what_would_help(snapshot: Snapshot, gap: Gap, line: str) -> None:
    assert lines_of(snapshot, gap) == [line]


def test_gaps_of_one_stage_and_reason_are_one_line(snapshot: Snapshot) -> None:
    gaps = [Gap(Stage.TABLES, f"tcp of netns {number}", "EIO") for number in range(5)]
    assert lines_of(snapshot, *gaps) == ["5 reads of socket tables failed (EIO)"]


def test_each_engine_has_its_own_line(snapshot: Snapshot) -> None:
    gaps = [Gap(Stage.NAMES, engine, "no answer within 2 s") for engine in ("docker", "cri", "docker")]
    assert lines_of(snapshot, *gaps) == [
        "names from docker: no answer within 2 s",
        "names from cri: no answer within 2 s",
    ]


def test_unread_processes_without_a_gap_are_told(snapshot: Snapshot) -> None:
    gap = Gap(Stage.FDS, "pid 1", "EIO")
    assert lines_of(snapshot, gap, processes=ProcessCounts(214, 210, 0, 3, 1)) == [
        "1 of 214 processes not readable (EIO)",
        "3 of 214 processes not read",
    ]


def test_netns_that_a_pass_about_some_containers_skips_are_no_complaint(snapshot: Snapshot) -> None:
    assert lines_of(snapshot, netns=NetnsCounts(9, 7, 0, 0, 2)) == []


def test_failed_netns_without_a_gap_are_told(snapshot: Snapshot) -> None:
    assert lines_of(snapshot, netns=NetnsCounts(9, 7, 0, 2, 0)) == ["2 of 9 netns not read"]


def test_labels_that_nobody_tells_are_counted(snapshot: Snapshot) -> None:
    gap = Gap(Stage.NAMES, "labels of containers", "told by no source that was asked", 3)
    assert lines_of(snapshot, gap) == ["labels of 3 containers not known (told by no source that was asked)"]


def test_containers_without_cgroups_of_version_2_are_told_with_what_helps(snapshot: Snapshot) -> None:
    gap = Gap(Stage.CGROUPS, "containers of sockets", "containers here have no cgroups of version 2")
    (line,) = lines_of(snapshot, gap)
    assert line == "containers of sockets: containers here have no cgroups of version 2: use --owners pid"
