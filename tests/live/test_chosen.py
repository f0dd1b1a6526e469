"""A pass about some containers only: it reads their netns, and the others where it takes them."""

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.live.actors import Actor
from tests.live.made_cgroups import MadeCgroups, find_hierarchies
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import NSAGENT, Scan, owners_in, run_nsagent, run_scan

MOST_FILES = 75
"""A pass leaves 64 of them for everything but netns."""


@pytest.fixture
def cgroups(bed: NetnsBed) -> Iterator[MadeCgroups]:
    """Cgroups that go when the processes of the bed have ended."""
    made = MadeCgroups()
    try:
        yield made
    finally:
        bed.close()
        made.close()


def put_into_container(cgroups: MadeCgroups, *actors: Actor) -> str:
    """The id of a new container that the actors are in."""
    id_ = secrets.token_hex(32)
    for actor in actors:
        cgroups.enter(actor.pid, f"/docker/{id_}", find_hierarchies())
    return id_


def scan(*options: str) -> Scan:
    return run_scan("--runtime", "none", *options)


def inodes(answer: Scan) -> set[int]:
    return {socket["inode"] for socket in answer.sockets}


def read_and_skipped(answer: Scan) -> tuple[int, int]:
    netns = answer.coverage["netns"]
    return netns["read"] + netns["empty"], netns["skipped"]


def others(bed: NetnsBed) -> tuple[MadeNetns, Actor]:
    """Two more netns, the second with a listener."""
    bed.named()
    netns, actor = bed.stage()
    actor.listen()
    return netns, actor


def test_only_the_netns_of_the_container_is_read(bed: NetnsBed, cgroups: MadeCgroups) -> None:
    netns, actor = bed.stage()
    listener = actor.listen()
    id_ = put_into_container(cgroups, actor)
    others(bed)
    answer = scan("-c", id_)
    assert inodes(answer) == {listener.inode}
    assert [one["inode"] for one in answer.netns] == [netns.inode]
    read, skipped = read_and_skipped(answer)
    assert read == 1
    assert skipped >= 2
    assert read + skipped + answer.coverage["netns"]["failed"] == answer.coverage["netns"]["seen"]


def test_the_rows_are_those_of_a_whole_pass(bed: NetnsBed, cgroups: MadeCgroups) -> None:
    _, actor = bed.stage()
    listener = actor.listen()
    actor.connect("127.0.0.1", listener.port)
    actor.accept(listener)
    waiting = actor.connect("127.0.0.1", listener.port)
    actor.drop(waiting)
    id_ = put_into_container(cgroups, actor)
    _, neighbour = others(bed)
    neighbour.udp()
    whole = scan()
    expected = [
        socket for socket in whole.sockets if id_ in (socket["container_id"], *map(container_of, socket["owners"]))
    ]
    # Timers run on between two scans.
    assert [{**socket, "timer": None} for socket in scan("-c", id_).sockets] == [
        {**socket, "timer": None} for socket in expected
    ]
    assert len(expected) >= 4


def container_of(owner: dict[str, str | None]) -> str | None:
    return owner["container_id"]


def test_a_container_in_two_netns_has_both_read(bed: NetnsBed, cgroups: MadeCgroups) -> None:
    (_, first), (_, second) = bed.stage(), bed.stage()
    made = {first.listen().inode, second.listen().inode}
    id_ = put_into_container(cgroups, first, second)
    others(bed)
    answer = scan("-c", id_)
    assert inodes(answer) == made
    assert read_and_skipped(answer)[0] == 2


def test_a_socket_that_its_process_took_along_to_another_netns_is_found(bed: NetnsBed, cgroups: MadeCgroups) -> None:
    origin, actor = bed.stage()
    kept = actor.listen()
    target = bed.named()
    actor.ask("enter_netns", path=target.path)
    id_ = put_into_container(cgroups, actor)
    others(bed)
    answer = scan("-c", id_)
    assert [(socket["netns"], socket["inode"]) for socket in answer.sockets] == [(origin.inode, kept.inode)]
    assert read_and_skipped(answer)[1] == 0


def test_a_holder_outside_of_the_container_is_an_owner_too(bed: NetnsBed, cgroups: MadeCgroups) -> None:
    _, actor = bed.stage()
    listener = actor.listen()
    child = actor.fork()
    id_ = put_into_container(cgroups, actor)
    (socket,) = scan("-c", id_).sockets
    assert set(owners_in(socket)) == {actor.pid, child}
    assert socket["flags"] == ["holder_outside"]
    assert socket["inode"] == listener.inode


def test_netns_that_are_not_to_be_read_need_not_be_open(bed: NetnsBed, cgroups: MadeCgroups) -> None:
    """More netns than files: the one of the container is read by the files of /proc."""
    # Processes are walked by their pids: the one with the highest is met when no file is left.
    actor = max((bed.stage()[1] for _ in range(12)), key=lambda each: each.pid)
    listener = actor.listen()
    id_ = put_into_container(cgroups, actor)
    limited = ("prlimit", f"--nofile={MOST_FILES}:{MOST_FILES}", *NSAGENT)
    answer = run_scan("--runtime", "none", "-c", id_, command=limited)
    assert inodes(answer) == {listener.inode}
    assert [one["engine"] for one in answer.netns] == ["proc"]
    assert ("netns", "EMFILE") in {(gap["stage"], gap["reason"]) for gap in answer.coverage["gaps"]}


def test_a_container_that_is_unknown_ends_before_any_table_is_read(bed: NetnsBed) -> None:
    ran = run_nsagent("scan", "--runtime", "none", "-c", "no-such-container")
    assert (ran.status, ran.stdout) == (4, b"")
    assert "no container 'no-such-container'" in ran.stderr


def test_a_capture_of_some_containers_says_so_when_others_are_asked_for(
    bed: NetnsBed, cgroups: MadeCgroups, capture_file: str
) -> None:
    _, actor = bed.stage()
    actor.listen()
    id_ = put_into_container(cgroups, actor)
    others(bed)
    live = run_nsagent("scan", "--runtime", "none", "-o", "json", "-c", id_, "--capture", capture_file)
    replayed = run_nsagent("scan", "-o", "json", "-c", id_, "--from", capture_file)
    assert replayed.stdout == live.stdout
    skipped = json.loads(live.stdout)["coverage"]["netns"]["skipped"]
    assert any(f"is of some containers only: {skipped} of" in line for line in replayed.complaints)
