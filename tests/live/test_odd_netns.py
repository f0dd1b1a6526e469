"""Netns that are hard to find, or hard to tell apart: what leads to them, and that none is lost."""

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nsagent.errors import EXIT_PARTIAL
from tests.live.actors import Actor, owners_of
from tests.live.capabilities import Capability, lack
from tests.live.closed_bed import ClosedBed, read_report
from tests.live.coverage import is_whole, own_complaints
from tests.live.netns_bed import NAMED_DIRECTORY, NetnsBed
from tests.live.nsagent_cli import Scan, owners_in, run_scan
from tests.live.odd_bed import OddOne

NETNS, FILES = 200, 128
ATTEMPTS, CREATIONS = 20, 50
WITHOUT_SYS_ADMIN = ("setpriv", "--bounding-set=-sys_admin", "--")
LISTEN = """
import os, socket, sys
listener = socket.create_server(("", 0))
print(os.getpid(), os.fstat(listener.fileno()).st_ino, flush=True)
print("ready", flush=True)
sys.stdin.read()
"""
COVER_ANOTHER = """set -e
mount -t tmpfs none /mnt
touch /mnt/netns
unshare --net mount --bind /proc/self/ns/net /mnt/netns
mount -t tmpfs none /mnt
exec "$@"
"""
DENY_LATER = """set -e
dir=$(mktemp --directory)
mkfifo "$dir/fifo"
cat "$0" > "$dir/text"
mount --bind "$dir/fifo" "$0"
(exec 3> "$0"; chmod 0 "$0"; cat "$dir/text" >&3; rm -r "$dir") &
exec setpriv --bounding-set=-dac_override,-dac_read_search -- "$@"
"""
"""What runs after this may read one file once; all else that is root's it may read."""


def found_by(scan: Scan, netns: int) -> tuple[list[str], int]:
    entry = scan.find_netns(netns)
    assert entry is not None, f"netns {netns} is not listed"
    return sorted(entry["found_by"]), entry["processes"]


def test_a_netns_kept_by_an_fd_shows_the_sockets_that_others_hold_of_it(closed_bed: ClosedBed) -> None:
    bed = closed_bed.netns_bed
    kept, maker = bed.anonymous()
    held = maker.listen()
    bed.actor().ask("hold_netns", path=kept.path)
    maker.ask("unshare_net")
    scan = closed_bed.scan()
    row = scan.one(held.inode)
    assert (row["netns"], owners_in(row), row["flags"]) == (kept.inode, owners_of(held), ["netns_mismatch"])
    assert found_by(scan, kept.inode) == (["fd"], 0)
    assert is_whole(scan.coverage)


def test_a_netns_in_which_only_a_thread_lives_says_so(closed_bed: ClosedBed) -> None:
    actor = closed_bed.netns_bed.actor()
    made = actor.ask("listen_in_thread_netns")
    scan = closed_bed.scan()
    row = scan.one(made["inode"])
    assert (row["netns"], owners_in(row), row["flags"]) == (
        made["netns"],
        {actor.pid: [made["fd"]]},
        ["netns_mismatch"],
    )
    assert found_by(scan, made["netns"]) == (["thread"], 0)
    assert scan.coverage["netns"]["found_by"]["thread"] == 1


def test_a_netns_that_cannot_be_read_is_one_gap_though_another_is_found_late(closed_bed: ClosedBed) -> None:
    named = closed_bed.netns_bed.named()
    made = closed_bed.netns_bed.actor().ask("listen_in_thread_netns")
    scan = closed_bed.scan("--engine", "proc")
    engines = {entry["inode"]: entry["engine"] for entry in scan.netns}
    assert (engines[named.inode], engines[made["netns"]]) == (None, None)
    assert sum(gap["count"] for gap in scan.coverage["gaps"] if gap["stage"] == "netns") == 2


def test_a_netns_that_another_mount_covers_is_told_by_its_path(closed_bed: ClosedBed) -> None:
    """Nothing else leads to it: it is there, and whatever is in it is not to be seen."""
    covered = closed_bed.netns_bed.named()
    closed_bed.run("mount", "-t", "tmpfs", "none", NAMED_DIRECTORY)
    ran = closed_bed.run_nsagent("scan", "--runtime", "none", "--strict")
    closed_bed.run("umount", NAMED_DIRECTORY)
    assert own_complaints(ran.complaints) == [f"nsagent: mount {covered.path} not read (not reachable)"]
    assert ran.status == EXIT_PARTIAL


def test_a_netns_is_one_where_it_is_denied_what_is_mounted_in_the_middle_of_reading_it(closed_bed: ClosedBed) -> None:
    """Its inode has been read by then, and a mount that is covered there is a reason to read once more."""
    apart = ("unshare", "--mount", "--net", "sh", "-c", COVER_ANOTHER, "sh", sys.executable, "-I", "-c", LISTEN)
    ((pid, inode),) = read_report(closed_bed.start(*apart), "ready")
    netns = os.stat(closed_bed.netns_bed.path_in_test(f"/proc/{pid}/ns/net")).st_ino
    scan = closed_bed.scan(before=("unshare", "--mount", "sh", "-c", DENY_LATER, f"/proc/{pid}/mountinfo"))
    row = scan.one(int(inode))
    assert (row["netns"], [*owners_in(row)], row["flags"]) == (netns, [int(pid)], [])
    assert [(one["inode"], one["key"]) for one in scan.netns if one["processes"] == 1] == [(netns, None)]
    told = [(gap["stage"], gap["reason"]) for gap in scan.coverage["gaps"] if gap["stage"] == "netns"]
    assert told == [("netns", "not reachable")]


def test_the_coverage_counts_a_netns_that_only_a_socket_keeps(
    closed_bed: ClosedBed, program: Callable[[str], str]
) -> None:
    made = OddOne(closed_bed, program("odd"), "ordinary", "socket_only")
    scan = closed_bed.scan()
    assert found_by(scan, made.netns["A"]) == (["socket"], 0)
    assert scan.coverage["netns"]["found_by"]["socket"] == 1


def test_two_sockets_that_keep_a_netns_lead_to_it_once(closed_bed: ClosedBed) -> None:
    kept, actor = closed_bed.netns_bed.anonymous()
    held = [actor.listen(), actor.udp()]
    actor.ask("unshare_net")
    scan = closed_bed.scan()
    assert {row["inode"]: row["netns"] for row in scan.sockets} == {one.inode: kept.inode for one in held}
    assert [entry["inode"] for entry in scan.netns].count(kept.inode) == 1


def test_a_registered_file_of_an_io_uring_belongs_to_the_process_of_the_ring(closed_bed: ClosedBed) -> None:
    netns, actor = closed_bed.netns_bed.anonymous()
    held = actor.listen()
    try:
        ring = actor.ask("leave_in_ring", fd=held.fd, close_ring=False)
    except RuntimeError as error:
        lack(Capability.IO_URING, str(error))
    scan = closed_bed.scan()
    row = scan.one(held.inode)
    ((owner,), place) = row["owners"], row["netns"]
    assert (owner["pid"], owner["held_by"], owner["fds"], owner["tid"]) == (actor.pid, "io_uring", [ring], None)
    assert (place, row["verdict"], row["attribution"], row["confidence"]) == (netns.inode, None, "fd", "exact")
    assert is_whole(scan.coverage)


def test_a_name_whose_netns_is_not_mounted_is_stale_until_it_is_removed(bed: NetnsBed, token: str) -> None:
    mounted = bed.named()
    stale = f"{token}-{secrets.token_hex(4)}"
    path = Path(NAMED_DIRECTORY, stale)
    path.touch()
    try:
        seen = [Path(name).name for name in run_scan("--runtime", "none").coverage["stale_names"]]
    finally:
        path.unlink()
    assert stale in seen
    assert mounted.name not in seen
    after = [Path(name).name for name in run_scan("--runtime", "none").coverage["stale_names"]]
    assert stale not in after


def test_a_netns_under_a_used_inode_has_another_cookie(closed_bed: ClosedBed) -> None:
    before, second = reuse_inode(closed_bed)
    held = second.listen()
    scan = closed_bed.scan()
    after = scan.find_netns(before["inode"])
    assert after is not None
    assert before["cookie"] != after["cookie"]
    assert (scan.one(held.inode)["netns"], scan.one(held.inode)["flags"]) == (before["inode"], [])


def reuse_inode(closed_bed: ClosedBed) -> tuple[Mapping[str, Any], Actor]:
    """A netns as a scan saw it before it went, and an actor in a later one with the same inode.

    The number of a netns is free some time after the last process has left it, and any namespace of
    the machine may get it: what fails is tried again with another netns.
    """
    bed = closed_bed.netns_bed
    for _ in range(ATTEMPTS):
        first, actor = bed.anonymous()
        before = closed_bed.scan().find_netns(first.inode)
        assert before is not None
        bed.end(actor)
        second = bed.actor()
        for _creation in range(CREATIONS):
            second.ask("unshare_net")
            if os.stat(bed.path_in_test(f"/proc/{second.pid}/ns/net")).st_ino == first.inode:
                second.ask("raise_loopback")
                return before, second
        bed.end(second)
    pytest.fail(f"{ATTEMPTS} times {CREATIONS} netns, and none has the inode of the one that went")


def test_without_sys_admin_the_tables_come_from_proc_with_the_same_owners(closed_bed: ClosedBed) -> None:
    netns, actor = closed_bed.netns_bed.anonymous()
    held = [*actor.listen_many(5), *actor.pair(actor.listen()), actor.udp()]
    entered, read = closed_bed.scan(), closed_bed.scan(before=WITHOUT_SYS_ADMIN)
    entries = [scan.find_netns(netns.inode) for scan in (entered, read)]
    assert [entry["engine"] for entry in entries if entry] == ["sock_diag", "proc"]
    owners = [{row["inode"]: owners_in(row) for row in scan.of_netns(netns.inode)} for scan in (entered, read)]
    assert owners[0] == owners[1]
    assert {one.inode: owners_of(one) for one in held}.items() <= owners[1].items()


def test_more_netns_than_file_descriptors_are_all_read(closed_bed: ClosedBed, program: Callable[[str], str]) -> None:
    report = read_report(closed_bed.start(program("many"), str(NETNS)), "ready")
    made = {tuple(map(int, words[1:])) for words in report}
    scan = closed_bed.scan(before=("prlimit", f"--nofile={FILES}:{FILES}", "--"))
    seen = {(row["netns"], row["inode"], owner["pid"]) for row in scan.sockets for owner in row["owners"]}
    assert len(made) == NETNS
    assert seen == made
    assert len(scan.sockets) == NETNS
