"""What the kernel tells of sockets and flows in the netns of the host, and by it of all others that have an id there.

What is heard is told by kernel.destroy_events and kernel.conntrack_events, which netns an id is of by kernel.netns_ids.
"""

from contextlib import ExitStack, closing, suppress
from typing import Final

from nsagent.errors import EventsUnavailable, NotRead
from nsagent.kernel.conntrack_events import FlowBatch, open_flow_groups, read_flows
from nsagent.kernel.destroy_events import EndedBatch, open_destroy_groups, read_ended
from nsagent.kernel.host_netns import make_in_host_netns
from nsagent.kernel.multicast import Multicast
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import read_netns_id, read_thread_netns
from nsagent.kernel.netns_id_events import IdNotices, open_id_group, read_id_notices
from nsagent.kernel.netns_ids import NetnsIds
from nsagent.kernel.procfs import ProcFs

RECEIVE_BYTES: Final = 32 << 20
"""Room for 52,000 notices; the default of 208 KiB holds 166."""


class SocketNotices:
    """What is heard in the netns that the calling thread is in now, and what tells netns apart there.

    With `flows` what its conntrack tells is heard, too: the kernel then makes a notice of each flow that it tracks.

    Raises EventsUnavailable. Any one thread may read, and another one ask for ids.
    """

    def __init__(self, receive_bytes: int = RECEIVE_BYTES, *, flows: bool = False) -> None:
        self._flows: Multicast | None = None
        self.flows_failure: EventsUnavailable | None = None
        """Why no flows are heard, though they were asked for."""
        with ExitStack() as made:
            self._groups = made.enter_context(closing(open_destroy_groups(receive_bytes)))
            self.limit = self._groups.limit
            """Why it tells of no other netns than the one in which it listens; None if it does."""
            try:
                self.home = read_thread_netns().inode
                """The netns in which it listens."""
                self._ids = made.enter_context(NetnsIds())
            except NotRead as err:
                raise EventsUnavailable(str(err), err.reason, err.errno) from err
            self._id_group = made.enter_context(closing(open_id_group()))
            try:
                if flows:
                    self._flows = made.enter_context(closing(open_flow_groups(receive_bytes)))
            except EventsUnavailable as err:
                self.flows_failure = err
            self._made = made.pop_all()
        self._buffer = make_buffer()

    def filenos(self) -> tuple[int, ...]:
        """The fds one of which can be read from when something waits."""
        groups = (self._groups, self._id_group, self._flows)
        return tuple(group.fileno() for group in groups if group is not None)

    def read(self) -> EndedBatch:
        """The sockets that have died; see read_ended()."""
        return read_ended(self._groups)

    def read_flows(self) -> FlowBatch:
        """The flows that have begun, or were forgotten; see kernel.conntrack_events.read_flows()."""
        return FlowBatch((), None, drained=True) if self._flows is None else read_flows(self._flows)

    def read_ids(self) -> IdNotices:
        """What has happened to ids; see read_id_notices()."""
        return read_id_notices(self._id_group)

    def give_nsid(self, netns_fd: int) -> int | None:
        """By which id it tells of a netns; None if it is that in which it listens. Raises NotRead and FormatError."""
        if read_netns_id(netns_fd).inode == self.home:
            return None
        return self._ids.give_nsid(netns_fd, self._buffer)

    def close(self) -> None:
        """Hear no more."""
        self._made.close()


def open_socket_notices(procfs: ProcFs, *, receive_bytes: int = RECEIVE_BYTES, flows: bool = False) -> SocketNotices:
    """Those of the netns of the host, into which a thread goes if this program is in another one.

    Nearly every netns has an id there. Where the host's cannot be entered, those of the netns that the calling thread
    is in, in which it takes CAP_NET_ADMIN to give ids to others. Raises EventsUnavailable where nothing is to be heard.
    """
    with suppress(EventsUnavailable):
        return make_in_host_netns(procfs, lambda: SocketNotices(receive_bytes, flows=flows))
    return SocketNotices(receive_bytes, flows=flows)
