"""What an ordinary user gets: every socket, the owners of the own processes, and a plain word about the rest."""

import json
import os

import pytest

from tests.live.actors import Actor, by_inode, owners_of
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import Scan, owners_in, verdict_kind
from tests.live.unprivileged import UID, PlainUser

pytestmark = pytest.mark.timeout(60)

SCAN = ("scan", "-o", "json", "--runtime", "none")


def netns_key(actor: Actor) -> int:
    """What tells netns apart for somebody who may not read ns/net."""
    return os.stat(f"/proc/{actor.pid}/net/dev").st_ino


def scan_as(user: PlainUser) -> Scan:
    ran = user.run_nsagent(*SCAN)
    assert ran.status == 0, ran.stderr
    return Scan(json.loads(ran.stdout))


def test_foreign_sockets_of_every_netns_are_shown_as_hidden(bed: NetnsBed, plain_user: PlainUser) -> None:
    stages = [bed.stage(), bed.anonymous()]
    held = {netns_key(actor): by_inode(actor.listen_many(7)) for _, actor in stages}
    scan = scan_as(plain_user)
    for key, listeners in held.items():
        rows = scan.of_netns(key)
        assert {row["inode"]: row["local"]["port"] for row in rows} == {
            inode: one.port for inode, one in listeners.items()
        }
        assert {(verdict_kind(row), len(row["owners"]), row["container_id"]) for row in rows} == {("hidden", 0, None)}
        (entry,) = (entry for entry in scan.netns if entry["key"] == key)
        assert (entry["inode"], entry["engine"]) == (None, "proc")


def test_the_own_sockets_have_their_owner(bed: NetnsBed, plain_user: PlainUser) -> None:
    netns, actor = bed.stage()
    actor.ask("become", uid=UID)
    held = actor.listen()
    socket = scan_as(plain_user).one(held.inode)
    assert (socket["netns"], owners_in(socket), socket["verdict"]) == (netns.inode, owners_of(held), None)


def test_one_line_names_the_capability_that_would_show_the_owners(bed: NetnsBed, plain_user: PlainUser) -> None:
    bed.anonymous()
    ran = plain_user.run_nsagent(*SCAN)
    assert ran.status == 0
    (line,) = (line for line in ran.complaints if "process" in line.split("(")[0])
    assert "CAP_SYS_PTRACE" in line


def test_one_line_names_the_capability_that_would_show_a_netns_without_process(
    bed: NetnsBed, plain_user: PlainUser
) -> None:
    bed.named()
    ran = plain_user.run_nsagent(*SCAN)
    (line,) = (line for line in ran.complaints if "netns" in line.split("(")[0])
    assert "CAP_SYS_ADMIN" in line


def test_what_only_netlink_tells_is_null(bed: NetnsBed, plain_user: PlainUser) -> None:
    _, actor = bed.stage()
    held = actor.listen()
    socket = scan_as(plain_user).one(held.inode)
    assert (socket["cookie"], socket["cgroup_id"], socket["accept_queue"]) == (None, None, {"used": 0, "limit": None})


def test_the_coverage_counts_the_processes_that_were_denied(bed: NetnsBed, plain_user: PlainUser) -> None:
    bed.stage()
    coverage = scan_as(plain_user).coverage
    counts = coverage["processes"]
    assert not coverage["complete"]
    assert counts["denied"] > 0
    assert counts["seen"] == counts["ok"] + counts["vanished"] + counts["denied"] + counts["skipped"]


def test_strict_exits_3_with_the_same_answer(bed: NetnsBed, plain_user: PlainUser) -> None:
    _, actor = bed.stage()
    held = actor.listen()
    ran = plain_user.run_nsagent(*SCAN, "--strict")
    assert ran.status == 3
    assert Scan(json.loads(ran.stdout)).one(held.inode)["local"]["port"] == held.port
