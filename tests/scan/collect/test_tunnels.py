"""Whether a UDP socket without an owner is that of a tunnel, by what the kernel tells of its netns."""

import os
from collections.abc import Callable

from nsagent.errors import Reason
from nsagent.kernel.formats.route_link import Tunnel
from nsagent.kernel.procfs import ProcFs
from nsagent.model.facts import TunnelEnd
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.ids import NetnsId
from nsagent.model.net import Family
from nsagent.model.snapshot import VerdictKind
from nsagent.scan.attribute import attribute
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.state import NetnsState
from nsagent.scan.collect.tunnels import MOST_ASKED, Asked, Lacking, search
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.live.capabilities import Capability, lack, require
from tests.scan.collect.passes import open_pass, run_pass

VXLAN, GENEVE = TunnelEnd(Family.IPV4, 4789), TunnelEnd(Family.IPV4, 6081)

TUNNEL = """
done = os.system("ip link add tunnel type vxlan id 7 dstport 4789 local 127.0.0.1 && ip link set tunnel up")
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); other.bind(("0.0.0.0", 4790))
ready(done)
wait()
"""


def test_the_socket_of_a_tunnel_is_the_kernels_and_the_one_beside_it_is_not() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    with start_child(TUNNEL, *IN_NEW_NETNS) as child:
        if child.said.strip() != "0":
            lack(Capability.VXLAN)
        inode = os.stat(f"/proc/{child.pid}/ns/net").st_ino
        facts = run_pass()
    (read,) = (one for one in facts.netns if one.id and one.id.inode == inode)
    assert read.tunnels == (TunnelEnd(Family.IPV4, 4789),)
    kinds = {
        one.row.local.port: one.verdict and one.verdict.kind for one in attribute(facts).sockets if one.netns == inode
    }
    assert kinds == {4789: VerdictKind.KERNEL, 4790: None}


def asked(serial: int, *rows: TunnelEnd) -> Asked:
    return Asked(NetnsState(MetNetns(serial, NetnsId(4, 1000 + serial), None, None)), frozenset(rows))


def reader(ids: dict[int, int], questions: list[int]) -> Callable[[NetnsState], int | None]:
    """The ids that one netns has for others, by their serials; lists of whom it was asked."""

    def read(state: NetnsState) -> int | None:
        questions.append(state.met.serial)
        return ids.get(state.met.serial)

    return read


def test_whose_tunnel_it_is_is_asked_of_those_that_lack_it_still() -> None:
    owners = [asked(1, VXLAN), asked(2, GENEVE), asked(3, VXLAN, GENEVE), asked(4)]
    lacking = Lacking(owners)
    questions: list[int] = []
    lacking.note_moved([Tunnel(7, (VXLAN,)), Tunnel(None, (GENEVE,))], reader({1: 7}, questions))
    lacking.note_moved([Tunnel(5, (VXLAN,)), Tunnel(6, (GENEVE,))], reader({2: 6, 3: 5}, questions))
    lacking.note_moved([Tunnel(5, (VXLAN,)), Tunnel(8, (TunnelEnd(Family.IPV6, 4789),))], reader({}, questions))
    assert questions == [1, 3, 2]
    assert [one.state.tunnels for one in owners] == [{VXLAN}, {GENEVE}, {VXLAN}, set()]
    assert (lacking.list_lacking(), lacking.missed) == ([owners[2].state], {})


def test_of_many_that_lack_the_same_few_are_asked_and_the_others_are_told() -> None:
    owners = [asked(serial, VXLAN) for serial in range(MOST_ASKED + 2)]
    lacking = Lacking(owners)
    questions: list[int] = []
    for nsid in range(3):
        lacking.note_moved([Tunnel(nsid, (VXLAN,))], reader({}, questions))
    assert questions == [*range(MOST_ASKED)] * 3
    assert [*lacking.missed] == [MOST_ASKED, MOST_ASKED + 1]


def test_what_is_not_looked_for_as_the_pass_is_late_is_told() -> None:
    require(Capability.ROOT)
    with open_pass(ProcFs()) as context:
        search(context._replace(ends_at=0.0), [asked(1, VXLAN), asked(2)])
        assert context.gaps.list_gaps() == [Gap(Stage.LINKS, Subject(Kind.TUNNELS, "1001"), Reason.LATE)]
