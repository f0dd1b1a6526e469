"""What an ordinary user gets: every socket, the owners of the own processes, and a plain word about the rest."""

import json
import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.live.actors import Actor, by_inode, owners_of
from tests.live.closed_bed import ClosedBed
from tests.live.coverage import own_complaints
from tests.live.nsagent_cli import Scan, owners_in, verdict_kind
from tests.live.unprivileged import UID, PlainUser

SCAN = ("scan", "-o", "json", "--runtime", "none")


@pytest.fixture
def plain_user(token: str, closed_bed: ClosedBed) -> Iterator[PlainUser]:
    """An ordinary user in the bed: nothing but what the test makes is hidden from it."""
    with closing(PlainUser(token, closed_bed.enter)) as user:
        user.require_readable_interpreter()
        yield user


def netns_key(bed: ClosedBed, actor: Actor) -> int:
    """What tells netns apart for somebody who may not read ns/net."""
    return os.stat(f"{bed.root}/proc/{actor.pid}/net/dev").st_ino


def scan_as(user: PlainUser) -> Scan:
    ran = user.run_nsagent(*SCAN)
    assert ran.status == 0, ran.stderr
    return Scan(json.loads(ran.stdout))


def test_foreign_sockets_of_every_netns_are_shown_as_hidden(closed_bed: ClosedBed, plain_user: PlainUser) -> None:
    stages = [closed_bed.netns_bed.stage(), closed_bed.netns_bed.anonymous()]
    held = {netns_key(closed_bed, actor): by_inode(actor.listen_many(7)) for _, actor in stages}
    scan = scan_as(plain_user)
    for key, listeners in held.items():
        rows = scan.of_netns(key)
        assert {row["inode"]: row["local"]["port"] for row in rows} == {
            inode: one.port for inode, one in listeners.items()
        }
        assert {(verdict_kind(row), len(row["owners"]), row["container_id"]) for row in rows} == {("hidden", 0, None)}
        (entry,) = (entry for entry in scan.netns if entry["key"] == key)
        assert (entry["inode"], entry["engine"]) == (None, "proc")


def test_the_own_sockets_have_their_owner(closed_bed: ClosedBed, plain_user: PlainUser) -> None:
    netns, actor = closed_bed.netns_bed.stage()
    actor.ask("become", uid=UID)
    held = actor.listen()
    socket = scan_as(plain_user).one(held.inode)
    assert (socket["netns"], owners_in(socket), socket["verdict"]) == (netns.inode, owners_of(held), None)


def test_one_line_names_the_capability_that_would_show_the_owners(closed_bed: ClosedBed, plain_user: PlainUser) -> None:
    closed_bed.netns_bed.anonymous()
    ran = plain_user.run_nsagent(*SCAN)
    assert ran.status == 0
    (line,) = (line for line in own_complaints(ran.complaints) if "process" in line.split("(")[0])
    assert "CAP_SYS_PTRACE" in line


def test_one_line_names_the_capability_that_would_show_a_netns_without_process(
    closed_bed: ClosedBed, plain_user: PlainUser
) -> None:
    closed_bed.netns_bed.named()
    ran = plain_user.run_nsagent(*SCAN)
    (line,) = (line for line in own_complaints(ran.complaints) if "netns" in line.split("(")[0])
    assert "CAP_SYS_ADMIN" in line


def test_what_only_netlink_tells_is_null(closed_bed: ClosedBed, plain_user: PlainUser) -> None:
    _, actor = closed_bed.netns_bed.stage()
    held = actor.listen()
    socket = scan_as(plain_user).one(held.inode)
    assert (socket["cookie"], socket["cgroup_id"], socket["accept_queue"]) == (None, None, {"used": 0, "limit": None})


def test_the_coverage_counts_the_processes_that_were_denied(closed_bed: ClosedBed, plain_user: PlainUser) -> None:
    closed_bed.netns_bed.stage()
    coverage = scan_as(plain_user).coverage
    counts = coverage["processes"]
    assert not coverage["complete"]
    assert counts["denied"] > 0
    assert counts["seen"] == counts["ok"] + counts["vanished"] + counts["denied"] + counts["skipped"]


def test_strict_exits_3_with_the_same_answer(closed_bed: ClosedBed, plain_user: PlainUser) -> None:
    _, actor = closed_bed.netns_bed.stage()
    held = actor.listen()
    ran = plain_user.run_nsagent(*SCAN, "--strict")
    assert ran.status == 3
    assert Scan(json.loads(ran.stdout)).one(held.inode)["local"]["port"] == held.port
