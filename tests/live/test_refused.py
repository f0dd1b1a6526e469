"""A system call that is refused is not a host without sockets."""

import os
import sys
from errno import EACCES, EAFNOSUPPORT, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM

import pytest

from tests.live import programs
from tests.live.actors import Actor, Held
from tests.live.closed_bed import ClosedBed
from tests.live.nsagent_cli import owners_in

pytestmark = pytest.mark.timeout(120)

REFUSE = os.path.join(programs.HERE, "refuse_netlink.py")


def without_netlink(errno: int) -> list[str]:
    return [sys.executable, REFUSE, str(errno)]


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
