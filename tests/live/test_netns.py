"""Every netns is found, and every socket stands in its own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.live.actors import by_inode, owners_of
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import owners_in, run_scan


def test_23_listeners_in_each_of_5_netns_are_exactly_115(bed: NetnsBed) -> None:
    stages = [bed.stage() for _ in range(5)]
    listeners = {netns.inode: by_inode(actor.listen_many(23)) for netns, actor in stages}
    scan = run_scan()
    found = {
        number: {
            socket["inode"]: (socket["protocol"], socket["state"], socket["local"]["port"], owners_in(socket))
            for socket in scan.of_netns(number)
        }
        for number in listeners
    }
    assert found == {
        number: {inode: ("tcp", "listen", held.port, {held.pid: [held.fd]}) for inode, held in made.items()}
        for number, made in listeners.items()
    }
    assert len(scan.of_netns(*listeners)) == 23 * 5


def test_an_owner_says_which_process_it_is(bed: NetnsBed) -> None:
    netns, actor = bed.stage()
    actor.ask("rename", comm="baker")
    held = actor.listen()
    stat = Path(f"/proc/{actor.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    (owner,) = run_scan().one(held.inode)["owners"]
    assert (owner["pid"], owner["fds"], owner["comm"]) == (actor.pid, [held.fd], "baker")
    assert (owner["start_ticks"], owner["netns"]) == (int(stat[19]), netns.inode)


def test_equal_addresses_in_two_netns_are_kept_apart(bed: NetnsBed) -> None:
    stages = [bed.stage() for _ in range(2)]
    pairs = [(netns, actor.pair(actor.listen(port=8080))) for netns, actor in stages]
    scan = run_scan("--port", "8080")
    for netns, pair in pairs:
        found = {socket["inode"]: owners_in(socket) for socket in scan.of_netns(netns.inode) if socket["inode"]}
        connected = {end.inode: owners_of(end) for end in pair}
        assert {inode: found[inode] for inode in connected} == connected
        assert {pid for owners in found.values() for pid in owners} == {pair.client.pid}
        assert len(found) == 3


def found_by(entry: Mapping[str, Any]) -> set[str]:
    """What led to a netns, but for an fd: the scan of another test may have one on it."""
    return set(entry["found_by"]) - {"fd"}


def test_a_netns_is_listed_with_its_name_and_what_led_to_it(bed: NetnsBed) -> None:
    netns, actor = bed.stage()
    actor.listen()
    entry = run_scan().find_netns(netns.inode)
    assert entry is not None
    assert (entry["names"], found_by(entry), entry["processes"]) == ([netns.name], {"mount", "process"}, 1)
    assert (entry["is_host"], entry["key"], entry["containers"]) == (False, None, [])


def test_a_netns_without_a_process_is_found_by_its_mount(bed: NetnsBed) -> None:
    netns = bed.named()
    entry = run_scan().find_netns(netns.inode)
    assert entry is not None
    assert (entry["names"], found_by(entry), entry["processes"]) == ([netns.name], {"mount"}, 0)


def test_a_netns_without_a_name_is_found_by_its_process(bed: NetnsBed) -> None:
    netns, actor = bed.anonymous()
    held = actor.listen()
    scan = run_scan()
    entry = scan.find_netns(netns.inode)
    assert entry is not None
    assert (entry["names"], found_by(entry), entry["processes"]) == ([], {"process"}, 1)
    assert scan.one(held.inode)["netns"] == netns.inode


def test_a_netns_that_only_an_fd_keeps_is_found(bed: NetnsBed) -> None:
    netns, actor = bed.anonymous()
    bed.actor().ask("hold_netns", path=netns.path)
    bed.end(actor)
    entry = run_scan().find_netns(netns.inode)
    assert entry is not None
    assert (entry["found_by"], entry["processes"]) == (["fd"], 0)


def test_a_netns_that_only_a_thread_is_in_is_found_by_its_sockets(bed: NetnsBed) -> None:
    _, actor = bed.stage()
    made = actor.ask("listen_in_thread_netns")
    socket = run_scan().one(made["inode"])
    assert (socket["netns"], owners_in(socket)) == (made["netns"], {actor.pid: [made["fd"]]})


def test_one_netns_is_the_host_and_none_where_it_is_not_seen(bed: NetnsBed, host_netns: int | None) -> None:
    bed.stage()
    expected = [] if host_netns is None else [host_netns]
    assert [entry["inode"] for entry in run_scan().netns if entry["is_host"]] == expected


def test_a_process_that_moved_keeps_its_socket_in_the_old_netns(bed: NetnsBed) -> None:
    old, actor = bed.stage()
    new = bed.named()
    held = actor.listen()
    actor.ask("enter_netns", path=new.path)
    socket = run_scan().one(held.inode)
    assert (socket["netns"], socket["flags"]) == (old.inode, ["netns_mismatch"])
    assert [(owner["pid"], owner["netns"]) for owner in socket["owners"]] == [(actor.pid, new.inode)]


def test_a_socket_passed_to_another_netns_lists_both_holders(bed: NetnsBed, tmp_path: Path) -> None:
    home, sender = bed.stage()
    away, receiver = bed.stage()
    sent = sender.listen()
    received = sender.pass_to(receiver, sent, os.fspath(tmp_path / "channel"))
    socket = run_scan().one(sent.inode)
    assert received.inode == sent.inode
    assert (socket["netns"], socket["flags"]) == (home.inode, ["netns_mismatch"])
    assert owners_in(socket) == owners_of(sent, received)
    assert {owner["pid"]: owner["netns"] for owner in socket["owners"]} == {
        sender.pid: home.inode,
        receiver.pid: away.inode,
    }


def test_a_passed_socket_whose_sender_ended_has_the_receiver_alone(bed: NetnsBed, tmp_path: Path) -> None:
    home, sender = bed.stage()
    _, receiver = bed.stage()
    received = sender.pass_to(receiver, sender.listen(), os.fspath(tmp_path / "channel"))
    bed.end(sender)
    socket = run_scan().one(received.inode)
    assert (socket["netns"], owners_in(socket)) == (home.inode, owners_of(received))
    assert socket["flags"] == ["netns_mismatch"]
