"""Whether a TCP connection without an owner is the kernel's, by what its RPC client tells of the netns."""

import os

from nsagent.model.snapshot import VerdictKind
from nsagent.scan.attribute import attribute
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import run_pass

IN_TRANSIT = """
os.system("ip link set lo up")
server = socket.create_server(("127.0.0.1", 2049))
client = socket.create_connection(server.getsockname())
ends = socket.socketpair()
socket.send_fds(ends[0], [b"x"], [client.fileno()])
port = client.getsockname()[1]
client.close()
ready(port)
wait()
"""


def test_a_connection_of_root_to_the_port_of_nfs_is_not_the_kernels_for_that() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    with start_child(IN_TRANSIT, *IN_NEW_NETNS) as child:
        inode = os.stat(f"/proc/{child.pid}/ns/net").st_ino
        facts = run_pass()
    (read,) = (one for one in facts.netns if one.id and one.id.inode == inode)
    assert read.rpc_flows == ()
    (row,) = (one for one in attribute(facts).sockets if one.netns == inode and one.row.local.port == int(child.said))
    assert row.verdict
    assert (row.row.uid, row.verdict.kind) == (0, VerdictKind.IN_FLIGHT)
