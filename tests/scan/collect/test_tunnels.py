"""Whether a UDP socket without an owner is that of a tunnel, by what the kernel tells of its netns."""

import os

from nsagent.model.facts import TunnelEnd
from nsagent.model.net import Family
from nsagent.model.snapshot import VerdictKind
from nsagent.scan.attribute import attribute
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.live.capabilities import Capability, lack, require
from tests.scan.collect.passes import run_pass

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
