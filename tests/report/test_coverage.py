"""What could not be seen, in few lines."""

import pytest

from nsagent.errors import Reason
from nsagent.model.choices import OwnersWanted
from nsagent.model.facts import ProcessCounts
from nsagent.model.gap import Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.ids import Pid
from nsagent.model.net import Protocol
from nsagent.model.process import Process
from nsagent.model.snapshot import NetnsCounts, Snapshot
from nsagent.report.coverage import coverage_lines
from tests.gaps import failed, unnamed

PTRACE = "add CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
LIMIT = "raise the limit of open files (ulimit -Hn)"


def lines_of(
    snapshot: Snapshot,
    *gaps: Gap,
    processes: ProcessCounts = ProcessCounts(214, 214, 0, 0, 0),  # noqa: B008
    netns: NetnsCounts = NetnsCounts(9, 9, 0, 0, 0),  # noqa: B008
    capabilities: int | None = 0,
) -> list[str]:
    coverage = snapshot.coverage._replace(
        gaps=merge_gaps(gaps), processes=processes, netns=netns, capabilities=capabilities
    )
    return coverage_lines(snapshot._replace(coverage=coverage))


def test_the_sample(snapshot: Snapshot) -> None:
    assert coverage_lines(snapshot) == [
        "3 of 214 processes not readable (EACCES): add CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
        "names from docker: no answer within 2 s",
        "1 of 3 netns not read",
    ]


def test_a_whole_pass_says_nothing(snapshot: Snapshot) -> None:
    assert lines_of(snapshot) == []


def tcp_of(number: int) -> Subject:
    return Subject(Kind.TABLE, str(number), Protocol.TCP)


@pytest.mark.parametrize(
    ("gap", "line"),
    [
        (failed(Stage.PROCESSES, Kind.PROCESS, 1, "EPERM"), f"1 of 214 processes not readable (EPERM): {PTRACE}"),
        (failed(Stage.FDS, Kind.PROCESS, 1, "EACCES", 2), f"1 of 214 processes not readable (EACCES): {PTRACE}"),
        (failed(Stage.FDS, Kind.PROCESS, 1, "EMFILE"), f"1 of 214 processes not readable (EMFILE): {LIMIT}"),
        (failed(Stage.FDS, Kind.IO_URING, 1, "EMFILE"), f"io_uring of pid 1 not read (EMFILE): {LIMIT}"),
        (failed(Stage.CGROUPS, Kind.PROCESS, 1, "EIO"), "cgroups of 1 of 214 processes not readable (EIO)"),
        (
            failed(Stage.TABLES, Kind.TABLE, 1, "EMFILE", protocol=Protocol.TCP),
            f"1 read of socket tables failed (EMFILE): {LIMIT}",
        ),
        (
            failed(Stage.NETNS, Kind.NETNS, 1, "ENFILE"),
            "1 of 9 netns not readable (ENFILE): raise the host's limit of open files (sysctl fs.file-max)",
        ),
        (failed(Stage.FDS, Kind.IO_URING, 1, "EACCES"), f"io_uring of pid 1 not read (EACCES): {PTRACE}"),
        (
            failed(Stage.NETNS, Kind.PROCESS, 1, "EACCES"),
            f"netns of 1 of 214 processes not readable (EACCES): {PTRACE}",
        ),
        (failed(Stage.NETNS, Kind.NETNS, 1, "EPERM"), "1 of 9 netns not readable (EPERM): add CAP_SYS_ADMIN"),
        (
            Gap(Stage.NETNS, Subject(Kind.MOUNTINFO, "1"), Reason.MALFORMED, detail="bad row"),
            "mountinfo of pid 1 not read (bad row)",
        ),
        (
            failed(Stage.NETNS, Kind.NETNS_OF_SOCKETS, "", "EPERM", 3),
            "netns of 3 sockets not looked up (EPERM): add CAP_NET_ADMIN",
        ),
        (failed(Stage.NETNS, Kind.NETNS_OF_SOCKETS, "", "ESRCH"), "netns of 1 socket not looked up (ESRCH)"),
        (
            Gap(Stage.NETNS, Subject(Kind.NETNS_OF_SOCKETS), Reason.TOO_MANY, count=2),
            "netns of 2 sockets not looked up (too many)",
        ),
        (
            Gap(Stage.PROCESSES, Subject(Kind.THREADS, "7"), Reason.TOO_MANY, count=9),
            "9 threads of pid 7 not looked at (too many)",
        ),
        (failed(Stage.PROCESSES, Kind.THREADS, 7, "EACCES"), f"threads of pid 7 not read (EACCES): {PTRACE}"),
        (
            Gap(Stage.PROCESSES, Subject(Kind.HIDDEN_PROCESSES), Reason.HIDEPID, detail="invisible"),
            "processes are hidden from this user (hidepid=invisible): run as root, or in the group of its option gid",
        ),
        (
            Gap(Stage.PROCESSES, Subject(Kind.HIDDEN_PROCESSES), Reason.NO_INIT),
            "processes are hidden from this user (no PID 1)",
        ),
        (
            Gap(Stage.PROCESSES, Subject(Kind.PROCFS_FILES, "/proc/sys"), Reason.SUBSET, detail="pid"),
            "/proc/sys not read (subset=pid)",
        ),
        (
            failed(Stage.TABLES, Kind.TABLE, 1, "EIO", protocol=Protocol.TCP),
            "1 read of socket tables failed (EIO)",
        ),
        (
            Gap(Stage.TABLES, Subject(Kind.ADDRESSES, "1"), Reason.MALFORMED, detail="bad row"),
            "own addresses of netns 1 not read (bad row)",
        ),
        (failed(Stage.TABLES, Kind.ADDRESSES, 1, "EACCES"), "own addresses of netns 1 not read (EACCES)"),
        (Gap(Stage.TABLES, tcp_of(1), Reason.SHORT, count=4), "tcp of netns 1: fewer rows than the netns counts"),
        (
            Gap(Stage.CHECKS, Subject(Kind.NETNS_FDS), Reason.LEFT_OPEN, count=2),
            "self-check failed: netns held open: not closed",
        ),
        (
            Gap(Stage.CHECKS, Subject(Kind.NETNS, "1"), Reason.REPEATED),
            "self-check failed: netns 1: a row stands there twice",
        ),
        (
            Gap(Stage.CHECKS, Subject(Kind.COUNTS, "processes"), Reason.MISMATCH),
            "self-check failed: counts of processes: do not add up",
        ),
        (
            failed(Stage.LINKS, Kind.NETNS, 1, "EPERM"),
            "interfaces of 1 of 9 netns not readable (EPERM): add CAP_SYS_ADMIN",
        ),
        (
            Gap(Stage.TABLES, Subject(Kind.CONTAINER, "web"), Reason.SANDBOXED, detail="gvisor"),
            "container web: sandboxed (gvisor), the sockets of its own network stack are not observable",
        ),
        (
            Gap(Stage.PROCESSES, Subject(Kind.CONTAINERS, "docker (tcp://d:1)"), Reason.OTHER_HOST, count=2),
            (
                "processes of the containers of docker (tcp://d:1), 2: "
                "none of them is seen, nor listed: asked over TCP, it may be the engine of another host"
            ),
        ),
        (
            Gap(Stage.PROCESSES, Subject(Kind.PROCESS, "7"), Reason.UNREACHABLE),
            "1 of 214 processes not readable (covered by a mount in /proc): umount what lies over pid 7",
        ),
        (
            Gap(Stage.NETNS, Subject(Kind.MOUNT, "/run/netns/a"), Reason.UNREACHABLE),
            "mount /run/netns/a not read (not reachable)",
        ),
        (unnamed("cri", "\x1b[2J\n"), "names from cri: \\x1b[2J\\x0a"),
    ],
    ids=lambda value: f"{value.subject.kind} {value.stage} {value.reason}" if isinstance(value, Gap) else "",
)
def test_a_gap_says_what_would_help(snapshot: Snapshot, gap: Gap, line: str) -> None:
    assert lines_of(snapshot, gap) == [line]


def test_threads_of_several_processes_are_one_line(snapshot: Snapshot) -> None:
    gaps = [Gap(Stage.PROCESSES, Subject(Kind.THREADS, pid), Reason.TOO_MANY, count=6) for pid in "78"]
    assert lines_of(snapshot, *gaps) == ["12 threads of pid 7, pid 8 not looked at (too many)"]


def test_gaps_of_one_stage_and_reason_are_one_line(snapshot: Snapshot) -> None:
    gaps = [failed(Stage.TABLES, Kind.TABLE, number, "EIO", protocol=Protocol.TCP) for number in range(5)]
    assert lines_of(snapshot, *gaps) == ["5 reads of socket tables failed (EIO)"]


def test_sockets_and_netns_that_fail_alike_are_lines_of_their_own_each_with_its_remedy(snapshot: Snapshot) -> None:
    gaps = (
        failed(Stage.NETNS, Kind.NETNS, 1, "EPERM"),
        failed(Stage.NETNS, Kind.NETNS_OF_SOCKETS, "", "EPERM", 40),
        failed(Stage.NETNS, Kind.MOUNTINFO, 7, "EPERM"),
    )
    assert lines_of(snapshot, *gaps, netns=NetnsCounts(1, 0, 0, 1, 0)) == [
        "1 of 1 netns not readable (EPERM): add CAP_SYS_ADMIN",
        "netns of 40 sockets not looked up (EPERM): add CAP_NET_ADMIN",
        f"mountinfo of pid 7 not read (EPERM): {PTRACE}",
    ]


@pytest.mark.parametrize(
    ("capabilities", "remedy"),
    [
        (0, PTRACE),
        (None, PTRACE),
        (1 << 2, "add CAP_SYS_PTRACE"),
        (1 << 19, "add CAP_DAC_READ_SEARCH"),
        (
            1 << 19 | 1 << 2,
            "although CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH are there: refused by a security module or seccomp: pid 1",
        ),
    ],
)
def test_no_capability_is_asked_for_that_is_there(snapshot: Snapshot, capabilities: int | None, remedy: str) -> None:
    gap = failed(Stage.FDS, Kind.PROCESS, 1, "EACCES")
    assert lines_of(snapshot, gap, capabilities=capabilities) == [f"1 of 214 processes not readable (EACCES): {remedy}"]


def test_whom_a_security_module_protects_is_named(snapshot: Snapshot) -> None:
    known = Process(Pid(7), 100, "aa\x1b", 0, None, None, None)
    gaps = [failed(Stage.FDS, Kind.PROCESS, pid, "EACCES") for pid in (7, 8, 9, 10, 11)]
    (line,) = lines_of(snapshot._replace(processes=(known,)), *gaps, capabilities=1 << 19 | 1 << 2)
    assert line.endswith("refused by a security module or seccomp: pid 7 (aa\\x1b), pid 8, pid 9 and 2 more")


@pytest.mark.parametrize(
    ("reason", "detail", "words"),
    [
        (Reason.TOO_LARGE, "aaaaaaaaaaaa, bbbbbbbbbbbb", "told at too great length: aaaaaaaaaaaa, bbbbbbbbbbbb"),
        (Reason.MALFORMED, None, "not in the form that they should have"),
    ],
)
def test_records_that_were_left_out_are_counted(
    snapshot: Snapshot, reason: Reason, detail: str | None, words: str
) -> None:
    gap = Gap(Stage.NAMES, Subject(Kind.RECORDS, "docker (unix:///d)"), reason, detail=detail, count=2)
    assert lines_of(snapshot, gap) == [f"names from docker (unix:///d): 2 containers left out ({words})"]


def test_each_engine_has_its_own_line(snapshot: Snapshot) -> None:
    gaps = [unnamed(engine, "no answer within 2 s") for engine in ("docker", "cri", "docker")]
    assert lines_of(snapshot, *gaps) == [
        "names from docker: no answer within 2 s",
        "names from cri: no answer within 2 s",
    ]


def test_unread_processes_without_a_gap_are_told(snapshot: Snapshot) -> None:
    gap = failed(Stage.FDS, Kind.PROCESS, 1, "EIO")
    assert lines_of(snapshot, gap, processes=ProcessCounts(214, 210, 0, 3, 1)) == [
        "1 of 214 processes not readable (EIO)",
        "3 of 214 processes not read",
    ]


def test_netns_that_a_pass_about_some_containers_skips_are_no_complaint(snapshot: Snapshot) -> None:
    assert lines_of(snapshot, netns=NetnsCounts(9, 7, 0, 0, 2)) == []


def test_failed_netns_without_a_gap_are_told(snapshot: Snapshot) -> None:
    assert lines_of(snapshot, netns=NetnsCounts(9, 7, 0, 2, 0)) == ["2 of 9 netns not read"]


def test_labels_that_nobody_tells_are_counted(snapshot: Snapshot) -> None:
    gap = Gap(Stage.NAMES, Subject(Kind.LABELS), Reason.NOT_TOLD, count=3)
    assert lines_of(snapshot, gap) == ["labels of 3 containers not known (told by no source that was asked)"]


def test_containers_without_cgroups_of_version_2_are_told_with_what_helps(snapshot: Snapshot) -> None:
    gap = Gap(Stage.CGROUPS, Subject(Kind.CREATORS), Reason.NO_CGROUP2)
    (line,) = lines_of(snapshot, gap)
    assert line == "containers of sockets: containers here have no cgroups of version 2: use --owners pid"


def test_tables_that_name_no_cgroups_are_told_with_what_helps(snapshot: Snapshot) -> None:
    gap = Gap(Stage.CGROUPS, Subject(Kind.CREATORS), Reason.NOT_TOLD, count=12)
    assert lines_of(snapshot, gap) == ["containers of sockets: not told by these tables: use --owners pid"]


def test_cgroups_whose_path_is_not_known_are_counted_where_owners_are_not_told_by_them(snapshot: Snapshot) -> None:
    gap = failed(Stage.CGROUPS, Kind.CGROUP_PATHS, "", "ENAMETOOLONG", 2)
    assert lines_of(snapshot, gap) == ["cgroup paths of 2 cgroups not known (ENAMETOOLONG)"]
    by_creator = snapshot._replace(coverage=snapshot.coverage._replace(owners=OwnersWanted.CONTAINER))
    assert lines_of(by_creator, gap) == ["cgroup paths: ENAMETOOLONG: use --owners pid"]


@pytest.mark.parametrize(
    ("gap", "line"),
    [
        (
            Gap(Stage.FDS, Subject(Kind.IN_FLIGHT, "7"), Reason.TOO_MANY, count=9),
            "queues of 9 sockets of pid 7 not looked at (too many)",
        ),
        (
            Gap(Stage.FDS, Subject(Kind.OWNERS), Reason.LATE, count=9),
            "owners of rows, 9, not looked for again (no time was left)",
        ),
    ],
)
def test_what_a_second_walk_left_out_is_counted(snapshot: Snapshot, gap: Gap, line: str) -> None:
    assert lines_of(snapshot, gap) == [line]


def test_a_process_that_came_after_they_were_counted_is_one_of_them(snapshot: Snapshot) -> None:
    gaps = [failed(Stage.FDS, Kind.PROCESS, pid, "EIO") for pid in (1, 2)]
    (line, *_) = lines_of(snapshot, *gaps, processes=ProcessCounts(1, 0, 0, 1, 0))
    assert line == "2 of 2 processes not readable (EIO)"
