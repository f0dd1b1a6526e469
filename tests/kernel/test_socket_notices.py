"""Where sockets and flows are listened for, and what is said where that cannot be had."""

import os
from contextlib import closing

from nsagent.errors import Reason
from nsagent.kernel.capabilities import Capability as Right
from nsagent.kernel.capabilities import give_back_capabilities
from nsagent.kernel.conntrack_events import FlowBatch
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.socket_notices import SocketNotices, open_socket_notices
from tests.kernel.apart import run_apart
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.kernel.inside import make_inside
from tests.kernel.proc_tree import ProcTree
from tests.live.capabilities import Capability, require


def test_where_no_thread_of_the_kernel_is_seen_it_is_listened_in_the_own_netns(same_fds: None, tree: ProcTree) -> None:
    with closing(open_socket_notices(ProcFs(str(tree.root)))) as notices:
        assert notices.home == os.stat("/proc/self/ns/net").st_ino


def test_the_netns_in_which_it_is_listened_has_no_id_of_its_own(same_fds: None) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child("ready(); wait()", *IN_NEW_NETNS) as child:
        fds = [os.open(f"/proc/{each}/ns/net", os.O_RDONLY) for each in (child.pid, "self")]
        with closing(make_inside(child.pid, SocketNotices)) as notices:
            assert [notices.give_nsid(fd) for fd in fds] == [None, 0]
        for fd in fds:
            os.close(fd)


def test_flows_are_heard_where_they_are_asked_for_and_else_it_is_said_why_not(same_fds: None) -> None:
    require(Capability.ROOT, Capability.IPTABLES)

    def listen() -> None:
        give_back_capabilities((Right.SYS_PTRACE, Right.NET_BROADCAST))
        with closing(SocketNotices(flows=True)) as notices:
            failure = notices.flows_failure
            assert (failure and failure.reason, len(notices.filenos())) == (Reason.DENIED, 2)
            assert notices.read_flows() == FlowBatch((), None, True)

    run_apart(listen)
    for flows in (False, True):
        with closing(SocketNotices(flows=flows)) as notices:
            assert (notices.flows_failure, len(notices.filenos())) == (None, 2 + flows)
