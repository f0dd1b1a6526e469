"""Mounts of /proc that hide something: the coverage says which, and what is hidden is not said to be nobody's."""

from collections.abc import Callable

import pytest

from tests.live.actors import Actor, Held, owners_of
from tests.live.closed_bed import ClosedBed
from tests.live.coverage import is_whole
from tests.live.netns_bed import MadeNetns
from tests.live.nsagent_cli import Scan, owners_in, verdict_kind
from tests.live.unprivileged import UID

# The interpreter may stand where only root can read: that one capability opens no other process.
AS_PLAIN_USER = (
    "setpriv",
    f"--reuid={UID}",
    f"--regid={UID}",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
    "--",
)
INVISIBLE = ("ptraceable", "invisible")
OTHER_PROC = "/run/proc"


def remount_proc(bed: ClosedBed, option: str) -> None:
    bed.run("mount", "-o", f"remount,{option}", "/proc")


def place_stranger(bed: ClosedBed) -> tuple[MadeNetns, Held, Actor]:
    """A listener of root in a netns that has a name."""
    netns, actor = bed.netns_bed.stage()
    return netns, actor.listen(), actor


def place_own(bed: ClosedBed) -> Held:
    """A listener of the plain user in the netns of PID 1."""
    actor = bed.netns_bed.actor()
    actor.ask("become", uid=UID)
    return actor.listen()


def seen(scan: Scan) -> tuple[str | None, str | None, bool, bool]:
    """hidepid, subset, whether PID 1 was there, whether nothing was left out in there."""
    visibility = scan.coverage["visibility"]
    return visibility["hidepid"], visibility["subset"], visibility["init"], is_whole(scan.coverage)


def test_an_open_proc_hides_nothing(closed_bed: ClosedBed) -> None:
    assert seen(closed_bed.scan()) == (None, None, True, True)


@pytest.mark.parametrize("hidepid", INVISIBLE)
def test_root_sees_through_hidepid(closed_bed: ClosedBed, hidepid: str) -> None:
    netns, held, _ = place_stranger(closed_bed)
    remount_proc(closed_bed, f"hidepid={hidepid}")
    scan = closed_bed.scan()
    assert seen(scan) == (hidepid, None, True, True)
    assert (scan.one(held.inode)["netns"], owners_in(scan.one(held.inode))) == (netns.inode, owners_of(held))


@pytest.mark.parametrize("hidepid", INVISIBLE)
def test_a_plain_user_is_told_that_processes_are_hidden(closed_bed: ClosedBed, hidepid: str) -> None:
    """Root's listener in the own netns is seen, and might be anybody's."""
    own = place_own(closed_bed)
    foreign = closed_bed.netns_bed.actor().listen()
    remount_proc(closed_bed, f"hidepid={hidepid}")
    scan = closed_bed.scan(before=AS_PLAIN_USER)
    assert seen(scan) == (hidepid, None, False, False)
    assert owners_in(scan.one(own.inode)) == owners_of(own)
    assert (verdict_kind(scan.one(foreign.inode)), scan.one(foreign.inode)["owners"]) == ("hidden", [])


@pytest.mark.parametrize("hidepid", INVISIBLE)
def test_hidden_processes_are_told_also_where_pid_1_is_not_among_them(
    open_bed: Callable[..., ClosedBed], hidepid: str
) -> None:
    """Root without CAP_SYS_PTRACE sees the processes of root, and no others."""
    bed = open_bed(without=("sys_ptrace",))
    own, foreign = bed.netns_bed.actor().listen(), place_own(bed)
    remount_proc(bed, f"hidepid={hidepid}")
    scan = bed.scan()
    assert seen(scan) == (hidepid, None, True, False)
    assert owners_in(scan.one(own.inode)) == owners_of(own)
    assert (verdict_kind(scan.one(foreign.inode)), scan.one(foreign.inode)["owners"]) == ("hidden", [])


@pytest.mark.parametrize("over", ["tmpfs", "another process"])
def test_a_process_over_which_something_is_mounted_is_not_mixed_up_and_is_told(
    closed_bed: ClosedBed, over: str
) -> None:
    """So programs hide from ps(1); what is at their path would be a second owner of another's sockets."""
    netns, hidden = closed_bed.netns_bed.stage()
    other = closed_bed.netns_bed.actor(netns)
    theirs, seen = hidden.listen(), other.listen()
    what = ["-t", "tmpfs", "none"] if over == "tmpfs" else ["--bind", f"/proc/{other.pid}"]
    closed_bed.run("mount", *what, f"/proc/{hidden.pid}")
    scan = closed_bed.scan()
    ran = closed_bed.run_nsagent("inspect", "--runtime", "none", str(hidden.pid))
    closed_bed.run("umount", f"/proc/{hidden.pid}")
    assert (ran.status, ran.stdout, ran.complaints[-1]) == (1, b"", f"nsagent: pid {hidden.pid}: unreachable")
    assert owners_in(scan.one(seen.inode)) == {other.pid: [seen.fd]}
    row = scan.one(theirs.inode)
    assert (owners_in(row), row["verdict"]["kind"]) == ({}, "hidden")
    told = [(gap["kind"], gap["ids"], gap["code"]) for gap in scan.coverage["gaps"]]
    assert ("process", [str(hidden.pid)], "unreachable") in told


def test_a_proc_of_processes_only_is_enough_and_is_named(closed_bed: ClosedBed) -> None:
    netns, held, _ = place_stranger(closed_bed)
    closed_bed.run("mkdir", OTHER_PROC)
    closed_bed.run("mount", "-t", "proc", "-o", "subset=pid", "proc", OTHER_PROC)
    scan = closed_bed.scan("--proc-root", OTHER_PROC)
    assert seen(scan)[:3] == (None, "pid", True)
    assert (scan.one(held.inode)["netns"], owners_in(scan.one(held.inode))) == (netns.inode, owners_of(held))


def test_a_proc_given_by_option_is_the_one_that_is_judged(closed_bed: ClosedBed) -> None:
    _, held, _ = place_stranger(closed_bed)
    closed_bed.run("mkdir", OTHER_PROC)
    closed_bed.run("mount", "-t", "proc", "-o", "hidepid=invisible", "proc", OTHER_PROC)
    scan = closed_bed.scan("--proc-root", OTHER_PROC)
    assert seen(scan) == ("invisible", None, True, True)
    assert owners_in(scan.one(held.inode)) == owners_of(held)


def test_an_unreadable_process_keeps_its_netns_apart_by_key(open_bed: Callable[..., ClosedBed]) -> None:
    """Scanned without CAP_SYS_PTRACE: rows by /proc, a key for the inode, and nobody named."""
    bed = open_bed(without=("sys_ptrace",))
    _, actor = bed.netns_bed.anonymous()
    held = actor.listen()
    actor.ask("become", uid=UID)
    scan = bed.scan()
    row = scan.one(held.inode)
    (entry,) = (entry for entry in scan.netns if entry["inode"] is None)
    assert (entry["key"], entry["engine"], entry["processes"]) == (row["netns"], "proc", 1)
    assert (verdict_kind(row), row["owners"], row["flags"]) == ("hidden", [], [])
    assert not is_whole(scan.coverage)
