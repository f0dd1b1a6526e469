"""What is printed of a process of which everything is known, and of one of which next to nothing is."""

import json
from dataclasses import replace
from typing import Any

from nsagent.errors import Reason
from nsagent.model.forebear import Forebear
from nsagent.model.gap import AlikeGaps, Kind, Stage, Subject
from nsagent.model.ids import ContainerId, Fd, Pid, SocketInode, Tid
from nsagent.model.inspection import InspectedRow, InspectedSocket, Inspection, Peer, Relative
from nsagent.model.net import Endpoint, SocketState
from nsagent.model.process import CommandLine, ProcessKey
from nsagent.model.process_details import (
    Capabilities,
    Checksum,
    FdKind,
    FileStatus,
    Image,
    ImageState,
    Io,
    Limit,
    MapsSummary,
    MemoryImage,
    Namespace,
    OpenFd,
    Rollup,
    Seccomp,
    Statm,
    Status,
    StatusMemory,
    Thread,
)
from nsagent.model.process_event import ExitStatus
from nsagent.model.snapshot import Confidence
from nsagent.report.inspection import forebear_record, render_inspections_json
from nsagent.report.inspection_table import MOST_FILES, render_inspections_table, render_inspections_tree, tell_size
from tests.scan.snapshots import container, pod, socket

WEB = container("web", "a", pod("web-7d9c", "u-1"))
DB = container("db", "b")
CONTAINERS = (WEB, DB)
NOON = 1_700_000_000.0


def relative(pid: int, comm: str, container_id: ContainerId | None = None, *, begins: bool = False) -> Relative:
    return Relative(ProcessKey(Pid(pid), pid * 10), comm, None, container_id, begins)


STATUS = Status(
    parent=Pid(50),
    pids=(Pid(145), Pid(7)),
    tracer=Pid(99),
    umask=0o22,
    uids=(1000, 1000, 1000, 1000),
    gids=(100, 100, 100, 100),
    groups=(4, 27),
    threads=2,
    capabilities=Capabilities((), ("net_raw",), ("net_raw", "net_admin"), ("net_raw",), ()),
    no_new_privs=True,
    seccomp=Seccomp.FILTER,
    seccomp_filters=1,
    voluntary_switches=10,
    involuntary_switches=2,
)
EXE = Image(
    "/srv/app (deleted)",
    "/srv/app",
    "/var/lib/x/srv/app",
    ImageState.REPLACED,
    FileStatus(0o100755, 1, 2, 1, 1 << 20, int(NOON * 1e9)),
    (Checksum("sha256", "ab" * 32),),
)
CONNECTED = socket(SocketState.ESTABLISHED, Endpoint("10.0.0.2", 410), Endpoint("2001:db8::1", 54), netns=-7)
PEERS = Peer((Pid(1), Pid(2), Pid(3), Pid(4)), DB.id, pod("db-0", "u-2"), Confidence.EXACT)
WHOLE = Inspection(
    asked=146,
    key=ProcessKey(Pid(145), 1450),
    comm="ap\x1bp",
    state="S",
    leader_ended=True,
    kernel_thread=False,
    started_seconds=NOON,
    age_seconds=7200.0,
    status=STATUS,
    parents=(relative(50, "shim", WEB.id, begins=True), relative(1, "systemd")),
    same_exe_as_parent=True,
    children=(relative(200, "child", ContainerId("c" * 64), begins=True),),
    threads=(Thread(Tid(145), "app", "Z"), Thread(Tid(146), "worker", "S")),
    command_line=CommandLine(("/proc/self/exe", "", "a b", "it's"), cut=True),
    exe=EXE,
    cwd="/srv",
    root="/",
    namespaces=(Namespace("net", 4026532500, False), Namespace("uts", 4026531838, True)),
    cgroup=("0::/x",),
    container=WEB,
    pod=WEB.pod,
    unit="app.service",
    fds=(
        OpenFd(Fd(0), "/dev/null", FdKind.CHARACTER_DEVICE, None, None),
        OpenFd(Fd(1), "/var/log/app", FdKind.FILE, 2048, int(NOON * 1e9)),
        *(OpenFd(Fd(fd), f"socket:[{70 + fd // 4}]", FdKind.SOCKET, None, None) for fd in range(2, 7)),
    ),
    fds_left_out=3,
    fds_unread=2,
    sockets=(
        InspectedSocket((Fd(2), Fd(3), Fd(4), Fd(5)), SocketInode(70), "TCP", CONNECTED, PEERS),
        InspectedSocket((Fd(6),), SocketInode(71), "ALG", None, None),
    ),
    io=Io(1024, 100, 1, 1, 0, 0, 0),
    memory=StatusMemory(1 << 30, 1 << 30, 1 << 21, 1 << 21, 4096, 0),
    statm=Statm(1 << 30, 1 << 21, 0, 0, 0),
    rollup=Rollup(1 << 21, 1 << 20, None, None, None, 0, 0, 0, None),
    maps=MapsSummary(12, 1 << 30, 0, 0, 0, ("/srv/app", "/gone"), ("/gone",), cut=True),
    limits=(Limit("open files", None, 4096, "files"),),
    oom_score=666,
    oom_score_adj=-5,
    wchan="ep_poll",
    stack=("ep_poll", "do_epoll_wait"),
    environ=("A=1", "B=\n"),
    environ_cut=False,
    memory_image=MemoryImage("/srv/app", 2, 3 << 20, 0, True, (Checksum("mem:sha256", "cd" * 32),)),
    gaps=(
        AlikeGaps(
            Stage.DETAILS, Kind.DETAIL, (Subject(Kind.DETAIL, "smaps_rollup"),), Reason.DENIED, "EACCES", None, 1
        ),
    ),
)

TABLE = """\
PID           145 (thread 146 was asked for)
COMM          ap\\x1bp
STATE         sleeping (its first thread has ended)
STARTED       2023-11-14T22:13:20.000Z (2.0 h ago, tick 1450)
ARGV          /proc/self/exe '' 'a b' 'it'\\''s' ... (cut)
EXE           /srv/app (replaced)
ARGV[0]       /proc/self/exe is /srv/app
EXE ON HOST   /var/lib/x/srv/app
SHA256        abababababababababababababababababababababababababababababababab
CWD           /srv
ROOT          /
PARENTS       50 shim  [k8s_web_a begins here] < 1 systemd
SAME EXE      as its parent
CHILDREN      200 child
THREADS       2
PIDS          145 > 7
TRACER        99
UID           1000 1000 1000 1000
GID           100 100 100 100
GROUPS        4 27
CAPABILITIES  net_raw net_admin
CONFINED      seccomp filter, no new privileges
CONTAINER     k8s_web_a aaaaaaaaaaaa
POD           shop/web-7d9c
UNIT          app.service
CGROUP        0::/x
NAMESPACES    net:[4026532500]
MEMORY        resident 2.0 MiB, PSS 1.0 MiB, swap 4.0 KiB
MAPS          12 or more of 2 files, 1 deleted
IN MEMORY     /srv/app: 3.0 MiB of 2 mappings, cut
MEM:SHA256    cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd
IO            read 1.0 KiB, written 100 bytes
OPEN FILES    12 of unlimited
OOM SCORE     666 (adjusted by -5)
WAITS IN      ep_poll
STACK         ep_poll < do_epoll_wait
ENVIRON       A=1
ENVIRON       B=\\x0a
NOT READ      smaps_rollup (EACCES)

FD        KIND              WHAT                                                          PEER
2,3,4 +1  socket            tcp established 10.0.0.2:410 -> [2001:db8::1]:54 netns key:7  pid 1 pid 2 pid 3 db shop/db-0
6         socket            alg [71]                                                      -
0         character_device  /dev/null                                                     -
1         file              /var/log/app (2.0 KiB, 2023-11-14T22:13:20.000Z)              -
and 3 fds more (-o json)
"""

TREE = """\
1 systemd
└─ 50 shim  [k8s_web_a begins here]
   └─ 145 ap\\x1bp  [k8s_web_a]  <- asked for 146
      └─ thread 146 worker
      └─ 200 child  [cccccccccccc begins here]
"""


def make_bare() -> Inspection:
    """A zombie that is nothing but its stat."""
    absent: dict[str, Any] = dict.fromkeys(
        ("status", "same_exe_as_parent", "command_line", "exe", "cwd", "root", "container", "pod")
    )
    absent |= dict.fromkeys(("unit", "io", "memory", "statm", "rollup", "maps", "oom_score", "oom_score_adj", "wchan"))
    absent |= dict.fromkeys(("stack", "environ", "memory_image"))
    empty: dict[str, Any] = dict.fromkeys(("parents", "children", "threads", "namespaces", "cgroup", "fds"), ())
    empty |= dict.fromkeys(("sockets", "limits", "gaps"), ())
    none: dict[str, Any] = {"fds_left_out": 0, "fds_unread": 0}
    return replace(WHOLE, asked=145, leader_ended=False, state="Z", age_seconds=3.25, **none, **absent, **empty)


def test_all_that_is_known_of_a_process_is_told_line_by_line() -> None:
    assert "".join(render_inspections_table([WHOLE], CONTAINERS)) == TABLE


def test_what_is_not_known_has_no_line() -> None:
    text = "".join(render_inspections_table([make_bare(), make_bare()], ()))
    one = "PID      145\nCOMM     ap\\x1bp\nSTATE    zombie\nSTARTED  2023-11-14T22:13:20.000Z (3.2 s ago, tick 1450)\n"
    assert text == f"{one}\n{one}"


def test_a_tree_has_parents_threads_and_children_and_where_a_container_begins() -> None:
    assert "".join(render_inspections_tree([WHOLE], CONTAINERS)) == TREE
    alone = "145 ap\\x1bp  <- asked for 145\n"
    assert "".join(render_inspections_tree([make_bare(), make_bare()], ())) == f"{alone}\n{alone}"


LOST = Forebear(Pid(77), None, "s\x1bh", None, NOON, ExitStatus(0, 9, core_dumped=False))
OLDER = Forebear(Pid(60), 600, None, None, NOON - 1, ExitStatus(3, 0, core_dumped=False))
UNHEARD = Forebear(Pid(61), 610, "a", None, NOON - 2, None)
SHIM = Forebear(Pid(50), 500, "shim", None, None, None)
ENDED_AT = "2023-11-14T22:13:20.000Z"


def test_parents_that_have_ended_stand_where_they_were_and_how_and_when_they_ended() -> None:
    adopted = replace(WHOLE, forebears=(LOST, OLDER, UNHEARD, SHIM))
    line = (
        f"BEGUN BY      77 s\\x1bh (ended {ENDED_AT}, signal 9) < 60 ? (ended 2023-11-14T22:13:19.000Z, exit code 3)"
        " < 61 a (ended 2023-11-14T22:13:18.000Z) < 50 shim\n"
    )
    assert line in "".join(render_inspections_table([adopted], CONTAINERS))
    tree = "".join(render_inspections_tree([replace(adopted, forebears=(LOST, SHIM))], CONTAINERS))
    assert tree.splitlines()[:4] == [
        "1 systemd",
        "└─ 50 shim",
        f"   └─ 77 s\\x1bh (ended {ENDED_AT}, signal 9)",
        "      └─ 145 ap\\x1bp  [k8s_web_a]  <- asked for 146, now a child of 50 shim",
    ]


def test_the_line_of_parents_begins_with_the_first_one_known() -> None:
    elsewhere = SHIM._replace(pid=Pid(51))
    for forebears in ((LOST,), (LOST, elsewhere), (LOST, SHIM._replace(start_ticks=None))):
        tree = "".join(render_inspections_tree([replace(WHOLE, forebears=forebears)], CONTAINERS))
        assert tree.startswith(f"{forebears[-1].pid} ")


def test_who_has_lost_no_parent_is_told_as_without_an_agent() -> None:
    for forebears in ((), (SHIM,)):
        one = replace(WHOLE, forebears=forebears)
        assert "".join(render_inspections_table([one], CONTAINERS)) == TABLE
        assert "".join(render_inspections_tree([one], CONTAINERS)) == TREE


def test_of_many_files_some_are_printed_and_the_others_counted() -> None:
    fds = tuple(OpenFd(Fd(number), f"/f{number}", FdKind.PATH, None, None) for number in range(MOST_FILES + 5))
    lines = "".join(render_inspections_table([replace(make_bare(), fds=fds)], ())).splitlines()
    assert lines[-2:] == [f"{MOST_FILES - 1}  path  /f{MOST_FILES - 1}  -", "and 5 fds more (-o json)"]


def test_the_document_of_next_to_nothing_has_every_name_that_one_of_everything_has() -> None:
    text = "".join(render_inspections_json([WHOLE, make_bare()], host="node-1"))
    whole, bare = json.loads(text)["processes"]
    assert (whole["forebears"], forebear_record(LOST)["ended_at"]) == (None, ENDED_AT)
    assert whole.keys() == bare.keys()
    assert (bare["exe"], bare["uids"], bare["memory"]["statm"], bare["fds"]) == (None, None, None, [])
    assert whole["fds"][2]["peer"] == {
        "pids": [1, 2, 3, 4],
        "container_id": DB.id,
        "pod": {"name": "db-0", "namespace": "shop", "uid": "u-2", "labels": {"token": "s3cret"}},
        "confidence": "exact",
    }
    assert (whole["fds"][6]["protocol"], whole["fds"][6]["socket"]) == ("alg", None)
    assert whole["memory_image"]["checksums"] == {"mem:sha256": "cd" * 32}


def test_sizes_are_told_in_the_largest_unit_that_leaves_a_whole() -> None:
    sizes = (None, 0, 1023, 1024, 1536, 5 << 30, 3 << 50)
    assert [*map(tell_size, sizes)] == ["-", "0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "5.0 GiB", "3072.0 TiB"]


def test_each_row_of_a_socket_is_told_for_the_same_fds() -> None:
    """The subflows of an MPTCP connection."""
    subflow = CONNECTED._replace(row=CONNECTED.row._replace(local=Endpoint("10.8.1.1", 5)))
    twice = InspectedSocket((Fd(6),), SocketInode(70), "MPTCP", CONNECTED, PEERS, (InspectedRow(subflow, None),))
    told = replace(WHOLE, sockets=(twice,))
    lines = [
        line for line in "".join(render_inspections_table([told], CONTAINERS)).splitlines() if line.startswith("6 ")
    ]
    assert [line.split()[0] for line in lines] == ["6", "6"]
    assert (" 10.8.1.1:5 " in lines[0], " 10.8.1.1:5 " in lines[1]) == (False, True)
    document = json.loads("".join(render_inspections_json([told], host="node-1")))
    (fd,) = [each for each in document["processes"][0]["fds"] if each["fd"] == 6]
    assert [(each["socket"]["local"]["address"], each["peer"]) for each in fd["others"]] == [("10.8.1.1", None)]


def test_a_peer_that_is_inferred_is_no_fact_in_the_table() -> None:
    inferred = InspectedSocket((Fd(6),), SocketInode(70), "TCP", CONNECTED, Peer((), DB.id, None, Confidence.INFERRED))
    table = "".join(render_inspections_table([replace(WHOLE, sockets=(inferred,))], CONTAINERS))
    (line,) = (line for line in table.splitlines() if line.startswith("6 "))
    assert line.endswith("(inferred)")
