"""In which netns the peers of veths are, and how many netns are asked about to know it."""

import os

import pytest

from nsagent.errors import Reason
from nsagent.kernel.links import Link
from nsagent.kernel.procfs import ProcFs
from nsagent.model.facts import Interface
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import NetnsId
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.state import NetnsState
from nsagent.scan.collect.veth_peers import MOST_ASKED, Candidates, FoundLinks, join_peers
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import open_pass, run_pass

HUB = 1
LEAVES = 300


def veth(index: int, peer_index: int, nsid: int | None) -> Link:
    interface = Interface(index, f"veth{index}", "veth", up=True, mac=None, addresses=(), peer_index=peer_index)
    return Link(interface, nsid)


def found(serial: int, *links: Link) -> FoundLinks:
    return FoundLinks(NetnsState(MetNetns(serial, NetnsId(4, 1000 + serial), None, None)), links)


class Ids:
    """The ids that one netns has for others, by their serials; counts what is asked."""

    def __init__(self, ids: dict[int, int]) -> None:
        self._ids = ids
        self.asked = 0

    def read(self, other: MetNetns) -> int | None:
        self.asked += 1
        return self._ids.get(other.serial)


def test_of_many_netns_around_one_few_are_asked_about() -> None:
    leaves = [found(10 + each, veth(2, 100 + each, 0)) for each in range(LEAVES)]
    hub = found(HUB, *(veth(100 + each, 2, each) for each in range(LEAVES)))
    candidates = Candidates([*leaves, hub], [])
    asked = 0
    for leaf in leaves:
        ids = Ids({HUB: 0})
        assert candidates.find(leaf.links, ids.read) == ({0: 1000 + HUB}, 0)
        asked += ids.asked
    ids = Ids({10 + each: each for each in range(LEAVES)})
    inodes, missed = candidates.find(hub.links, ids.read)
    assert (inodes, missed) == ({each: 1010 + each for each in range(LEAVES)}, 0)
    assert asked + ids.asked == 2 * LEAVES


def test_where_too_many_netns_may_have_the_peer_that_is_told() -> None:
    alike = [found(10 + each, veth(5, 7, 0)) for each in range(LEAVES)]
    here = found(HUB, veth(7, 5, 3), veth(8, 9, 4))
    ids = Ids({10 + MOST_ASKED - 1: 3})
    assert Candidates([*alike, here], []).find(here.links, ids.read) == ({3: 1010 + MOST_ASKED - 1}, 0)
    ids = Ids({10 + MOST_ASKED: 3})
    assert Candidates([*alike, here], []).find(here.links, ids.read) == ({}, 1)
    assert ids.asked == MOST_ASKED


def test_a_netns_of_which_the_links_could_not_be_read_may_have_the_peer() -> None:
    unread = found(10).state.met
    here = found(HUB, veth(7, 5, 3))
    assert Candidates([here], [unread]).find(here.links, Ids({10: 3}).read) == ({3: 1010}, 0)


@pytest.mark.usefixtures("nothing_left")
def test_peers_are_not_looked_for_when_the_pass_is_late_and_that_is_told() -> None:
    one = found(HUB, veth(7, 5, 3))
    with open_pass(ProcFs()) as context:
        join_peers(context._replace(ends_at=0.0), [one], [])
        assert context.gaps.list_gaps() == [Gap(Stage.LINKS, Subject(Kind.VETH_PEERS, str(1000 + HUB)), Reason.LATE)]
    assert one.state.interfaces == (one.links[0].interface,)


@pytest.mark.usefixtures("nothing_left")
def test_both_ends_of_a_veth_tell_in_which_netns_the_other_one_is() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    with start_child("ready(); wait()", *IN_NEW_NETNS) as there:
        move = f"os.system('ip link add one type veth peer name other netns {there.pid}'); ready(); wait()"
        with start_child(move, *IN_NEW_NETNS) as here:
            inodes = [os.stat(f"/proc/{child.pid}/ns/net").st_ino for child in (here, there)]
            facts = run_pass(interfaces=True)
    peers = {
        one.id.inode: {each.name: each.peer_netns for each in one.interfaces or () if each.kind == "veth"}
        for one in facts.netns
        if one.id and one.id.inode in inodes
    }
    assert peers == {inodes[0]: {"one": inodes[1]}, inodes[1]: {"other": inodes[0]}}
