"""The options of `nsagent scan` that pick rows, on real sockets, and their exit statuses."""

import os
from typing import NamedTuple

import pytest

from tests.live.actors import Actor, Held, Pair
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import Scan, run_nsagent, run_scan


class Street(NamedTuple):
    """Two netns: one with some of everything, one with a single listener."""

    netns: MadeNetns
    actor: Actor
    listener: Held
    pair: Pair
    udp: Held
    connected_udp: Held
    other_netns: MadeNetns
    other: Held

    @property
    def all_here(self) -> set[int]:
        """The inodes in the first netns."""
        return {held.inode for held in (self.listener, *self.pair, self.udp, self.connected_udp)}


@pytest.fixture
def street(bed: NetnsBed) -> Street:
    netns, actor = bed.stage()
    other_netns, other_actor = bed.stage()
    listener = actor.listen()
    pair = actor.pair(listener)
    connected_udp = actor.connect_udp(actor.udp(), "127.0.0.1", 9)
    return Street(netns, actor, listener, pair, actor.udp(), connected_udp, other_netns, other_actor.listen())


def inodes(scan: Scan) -> set[int]:
    return {socket["inode"] for socket in scan.sockets}


def test_a_netns_can_be_chosen_by_name(street: Street) -> None:
    assert street.netns.name is not None
    assert inodes(run_scan("--netns", street.netns.name)) == street.all_here


def test_a_netns_can_be_chosen_by_inode(street: Street) -> None:
    assert inodes(run_scan("--netns", str(street.netns.inode))) == street.all_here


@pytest.mark.parametrize("kind", ["mount", "process"])
def test_a_netns_can_be_chosen_by_path(street: Street, kind: str) -> None:
    path = street.netns.path if kind == "mount" else f"/proc/{street.actor.pid}/ns/net"
    assert inodes(run_scan("--netns", path)) == street.all_here


def test_host_chooses_the_netns_of_the_host(street: Street, bed: NetnsBed, host_netns: int | None) -> None:
    if host_netns is None:
        ran = run_nsagent("scan", "--netns", "host")
        assert (ran.status, "no netns 'host'" in ran.stderr) == (4, True)
        return
    scan = run_scan("--netns", "host")
    assert {socket["netns"] for socket in scan.sockets} <= {host_netns}
    assert [entry["inode"] for entry in scan.netns] in ([], [host_netns])
    if os.stat("/proc/self/ns/net").st_ino == host_netns:
        held = bed.actor().listen()
        assert held.inode in inodes(run_scan("--netns", "host"))


def test_repeated_and_comma_separated_values_are_alternatives(street: Street) -> None:
    both = street.all_here | {street.other.inode}
    here, there = str(street.netns.inode), str(street.other_netns.inode)
    assert inodes(run_scan("--netns", here, "--netns", there)) == both
    assert inodes(run_scan("--netns", f"{here},{there}")) == both


def test_a_pid_chooses_the_sockets_it_holds(street: Street) -> None:
    assert inodes(run_scan("--pid", str(street.actor.pid))) == street.all_here


def test_a_state_chooses_rows_in_it(street: Street) -> None:
    scan = run_scan("--netns", str(street.netns.inode), "--state", "listen")
    assert inodes(scan) == {street.listener.inode}


def test_a_port_chooses_both_ends(street: Street) -> None:
    scan = run_scan("--netns", str(street.netns.inode), "--port", str(street.listener.port))
    assert inodes(scan) == {street.listener.inode, *(end.inode for end in street.pair)}


def test_a_protocol_chooses_its_rows(street: Street) -> None:
    scan = run_scan("--netns", str(street.netns.inode), "--protocol", "udp")
    assert inodes(scan) == {street.udp.inode, street.connected_udp.inode}


def test_listening_means_tcp_listeners_and_unconnected_udp(street: Street) -> None:
    scan = run_scan("--netns", str(street.netns.inode), "--listening")
    assert inodes(scan) == {street.listener.inode, street.udp.inode}


def test_different_options_must_all_hold(street: Street) -> None:
    scan = run_scan("--pid", str(street.actor.pid), "--protocol", "tcp", "--state", "established,listen")
    assert inodes(scan) == {street.listener.inode, *(end.inode for end in street.pair)}
    assert inodes(run_scan("--pid", str(street.actor.pid), "--netns", str(street.other_netns.inode))) == set()


def test_the_netns_listed_are_those_of_the_rows_and_the_coverage_is_of_all(street: Street) -> None:
    scan = run_scan("--pid", str(street.actor.pid))
    assert [entry["inode"] for entry in scan.netns] == [street.netns.inode]
    assert scan.coverage["netns"]["seen"] >= 2


def test_a_filter_that_matches_nothing_is_an_answer(street: Street) -> None:
    scan = run_scan("--netns", str(street.other_netns.inode), "--protocol", "udp")
    assert scan.sockets == []


def test_an_unknown_netns_exits_4_with_near_names(street: Street) -> None:
    assert street.netns.name is not None
    wrong = street.netns.name[:-1] + "x"
    ran = run_nsagent("scan", "--netns", wrong)
    assert (ran.status, ran.stdout) == (4, b"")
    assert wrong in ran.stderr
    assert street.netns.name in ran.stderr


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--netns", "1"), id="netns inode"),
        pytest.param(("--netns", "/proc/self/nowhere"), id="netns path"),
        pytest.param(("--pid", "4194303"), id="pid"),
        pytest.param(("--container", "no-such-container"), id="container"),
    ],
)
def test_what_does_not_exist_exits_4(bed: NetnsBed, options: tuple[str, str]) -> None:
    ran = run_nsagent("scan", *options)
    assert (ran.status, ran.stdout) == (4, b"")
    assert options[1] in ran.stderr


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--state", "sleeping"), id="state"),
        pytest.param(("--port", "65536"), id="port above the last"),
        pytest.param(("--port", "http!"), id="port not a number"),
        pytest.param(("--protocol", "smoke"), id="protocol"),
        pytest.param(("--pid", "-3"), id="negative pid"),
        pytest.param(("--engine", "steam"), id="engine"),
        pytest.param(("-o", "papyrus"), id="format"),
        pytest.param(("--runtime", "smithy=unix:///run/smithy.sock"), id="runtime of an unknown kind"),
        pytest.param(("--no-such-option",), id="option"),
    ],
)
def test_what_makes_no_sense_exits_2(options: tuple[str, ...]) -> None:
    ran = run_nsagent("scan", *options)
    assert (ran.status, ran.stdout) == (2, b"")
    assert ran.stderr != ""
