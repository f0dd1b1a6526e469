"""A system call that is refused is not a host without sockets."""

import json
import os
import platform
import sys
from errno import EACCES, EAFNOSUPPORT, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM

import pytest

from nsagent.errors import EXIT_PARTIAL
from tests.live import programs
from tests.live.actors import Actor, Held
from tests.live.closed_bed import ClosedBed, read_report
from tests.live.nsagent_cli import Scan, owners_in

pytestmark = pytest.mark.timeout(120)

FILTER = os.path.join(programs.HERE, "filter_calls.py")
HOLD_UNBOUND = "import socket, sys; one = socket.socket(); print('ready', flush=True); sys.stdin.read()"
SYS_OPEN_BY_HANDLE_AT = {"x86_64": 304, "aarch64": 265, "riscv64": 265}
SYS_CAPSET = {"x86_64": 126, "aarch64": 91, "riscv64": 91}
SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT, SYS_PIDFD_GETFD = 430, 431, 432, 438


def without_netlink(errno: int) -> list[str]:
    return [sys.executable, FILTER, f"netlink={errno}"]


def killing_for(*numbers: int) -> list[str]:
    return [sys.executable, FILTER, f"kill={','.join(map(str, numbers))}"]


def place(bed: ClosedBed) -> tuple[Actor, Held, Held]:
    """A process with a listener in a netns of its own, and one that it took along from a netns that has only a name."""
    named = bed.netns_bed.named()
    _, actor = bed.netns_bed.stage()
    here = actor.listen()
    actor.ask("enter_netns", path=named.path)
    there = actor.listen()
    return actor, here, there


@pytest.mark.parametrize("errno", [EPERM, EACCES, ENOMEM, ENFILE, EMFILE, EAFNOSUPPORT, ENOBUFS], ids=os.strerror)
def test_without_netlink_every_row_is_read_from_proc(closed_bed: ClosedBed, errno: int) -> None:
    actor, *held = place(closed_bed)
    scan = closed_bed.scan(before=without_netlink(errno))
    assert [owners_in(scan.one(one.inode)) for one in held] == [{actor.pid: [one.fd]} for one in held]
    assert {one["engine"] for one in scan.netns if one["rows"]["tcp"]["seen"]} == {"proc"}
    assert scan.coverage["gaps"] == closed_bed.scan().coverage["gaps"]


def test_where_sock_diag_was_asked_for_the_netns_is_a_gap_and_its_rows_are_not_invented(closed_bed: ClosedBed) -> None:
    place(closed_bed)
    scan = closed_bed.scan("--engine", "sock_diag", before=without_netlink(EPERM))
    (gap,) = [gap for gap in scan.coverage["gaps"] if gap["stage"] == "netns"]
    assert (scan.sockets, gap["code"], scan.coverage["complete"]) == ([], "EPERM", False)
    ran = closed_bed.run_nsagent(
        "scan", "--runtime", "none", "--engine", "sock_diag", "--strict", before=without_netlink(EPERM)
    )
    assert ran.status == 3


def test_tables_that_name_no_cgroup_do_not_answer_who_made_a_socket(closed_bed: ClosedBed) -> None:
    _, actor = closed_bed.netns_bed.stage()
    held = actor.listen()
    usual = closed_bed.scan().coverage["gaps"]
    scan = closed_bed.scan("--owners", "container", "--engine", "proc")
    assert (scan.one(held.inode)["cgroup_id"], scan.coverage["complete"]) == (None, False)
    told = [gap for gap in scan.coverage["gaps"] if gap not in usual]
    assert [(gap["stage"], gap["kind"], gap["code"], gap["count"]) for gap in told] == [
        ("cgroups", "creators", "not_told", 1)
    ]


COVER = """set -e
dir=$(mktemp --directory)
mount -t tmpfs none "$dir"
for file in dev sockstat sockstat6 udp udp6; do cp "$1/$file" "$dir"; done
for file in tcp tcp6; do install --mode "$0" /dev/null "$dir/$file"; done
mount --bind "$dir" "$1"
umount "$dir"
rmdir "$dir"
shift
exec "$@"
"""
"""What runs after this finds other tables of TCP in a process's net/: with nothing in them, and of this mode."""


@pytest.mark.parametrize(("mode", "code"), [("444", "short"), ("0", "EACCES")])
def test_without_netlink_and_without_the_files_of_proc_a_netns_is_a_gap(
    closed_bed: ClosedBed, mode: str, code: str
) -> None:
    """The netns itself counts its sockets."""
    netns, actor = closed_bed.netns_bed.stage()
    held = actor.listen()
    usual = closed_bed.scan().coverage["gaps"]
    cover = ("unshare", "--mount", "sh", "-c", COVER, mode, f"/proc/{actor.pid}/net")
    ordinary = ("setpriv", "--bounding-set=-sys_admin,-dac_override,-dac_read_search", "--")
    before = (*cover, *ordinary, *without_netlink(EPERM))
    ran = closed_bed.run_nsagent("scan", "--runtime", "none", "-o", "json", "--strict", before=before)
    scan = Scan(json.loads(ran.stdout))
    assert scan.of_netns(netns.inode) == []
    told = [gap for gap in scan.coverage["gaps"] if gap not in usual]
    assert [(gap["kind"], gap["ids"], gap["code"]) for gap in told] == [("netns", [str(netns.inode)], code)]
    assert (ran.status, scan.coverage["complete"]) == (EXIT_PARTIAL, False)
    assert owners_in(closed_bed.scan(before=ordinary).one(held.inode)) == {actor.pid: [held.fd]}


def test_a_filter_that_kills_for_unusual_calls_costs_only_what_they_alone_tell(closed_bed: ClosedBed) -> None:
    """A plain SystemCallFilter=@system-service of systemd has none of them on its list."""
    actor, *held = place(closed_bed)
    read_report(closed_bed.start(sys.executable, "-c", HOLD_UNBOUND), "ready")
    own = SYS_OPEN_BY_HANDLE_AT[platform.machine()], SYS_CAPSET[platform.machine()]
    scan = closed_bed.scan(before=killing_for(*own, SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT, SYS_PIDFD_GETFD))
    assert [owners_in(scan.one(one.inode)) for one in held] == [{actor.pid: [one.fd]} for one in held]
    untold = [gap for gap in scan.coverage["gaps"] if gap not in closed_bed.scan().coverage["gaps"]]
    assert [(gap["kind"], gap["code"]) for gap in untold] == [("netns_of_sockets", "EPERM")]


def test_a_filter_that_kills_for_nothing_that_is_called_costs_nothing(closed_bed: ClosedBed) -> None:
    place(closed_bed)
    bpf = {"x86_64": 321, "aarch64": 280, "riscv64": 280}[platform.machine()]
    scan = closed_bed.scan(before=killing_for(bpf))
    assert scan.coverage["gaps"] == closed_bed.scan().coverage["gaps"]
