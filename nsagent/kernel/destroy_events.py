"""Notices of sock_diag: TCP and UDP sockets that die, in the netns in which it is listened, and in others.

What the messages say is kernel.formats.socket_destroy's; which netns an id is of, kernel.netns_ids'. The kernel
sends them when nobody has the socket any more: its TIME_WAIT is another one, of which nothing is told. Listening
makes the closing of every socket of the host dearer (10 -> 13.5 us).

Source: net/core/sock_diag.c sock_diag_broadcast_destroy().
"""

import sys
from contextlib import ExitStack, closing, suppress
from typing import Final, NamedTuple

from nsagent.errors import EventsUnavailable, FormatError, NotRead
from nsagent.kernel.formats.socket_destroy import (
    SKNLGRP_INET6_UDP_DESTROY,
    SKNLGRP_INET_TCP_DESTROY,
    Destroyed,
    decode_destroyed,
)
from nsagent.kernel.host_netns import make_in_host_netns
from nsagent.kernel.multicast import Multicast, MulticastQueue, join_losses
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import read_netns_id, read_thread_netns
from nsagent.kernel.netns_id_events import IdNotices, open_id_group, read_id_notices
from nsagent.kernel.netns_ids import NetnsIds
from nsagent.kernel.proc_events import EventsLost
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.sock_diag import NETLINK_SOCK_DIAG

RECEIVE_BYTES: Final = 32 << 20
"""Room for 52,000 notices; the default of 208 KiB holds 166."""

GROUPS: Final = range(SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_UDP_DESTROY + 1)


class Ended(NamedTuple):
    """A socket that has died, and the id of its netns, None for that of the listener."""

    nsid: int | None
    socket: Destroyed


class EndedBatch(NamedTuple):
    """What has come since the last one."""

    ended: tuple[Ended, ...]
    lost: EventsLost | None
    drained: bool
    """Whether nothing is left; else more waits already."""


def read_ended(queue: MulticastQueue) -> EndedBatch:
    """The sockets that have died, of at most 4096 notices; never waits itself. Raises NotRead."""
    messages, lost, drained = queue.read()
    told = decode_destroyed([message.data for message in messages], sys.byteorder)
    pairs = zip(messages, told, strict=True)
    ended = tuple(Ended(message.nsid, one) for message, one in pairs if not isinstance(one, FormatError))
    return EndedBatch(ended, join_losses(lost, len(told) - len(ended)), drained)


class SocketNotices:
    """What is heard in the netns that the calling thread is in now, and what tells netns apart there.

    Raises EventsUnavailable. Any one thread may read, and another one ask for ids.
    """

    def __init__(self, receive_bytes: int = RECEIVE_BYTES) -> None:
        with ExitStack() as made:
            self._groups = made.enter_context(
                closing(Multicast(NETLINK_SOCK_DIAG, GROUPS, "socket events", receive_bytes, all_netns=True))
            )
            self.limit = self._groups.limit
            """Why it tells of no other netns than the one in which it listens; None if it does."""
            try:
                self.home = read_thread_netns().inode
                """The netns in which it listens."""
                self._ids = made.enter_context(NetnsIds())
            except NotRead as err:
                raise EventsUnavailable(str(err), err.reason, err.errno) from err
            self._id_group = made.enter_context(closing(open_id_group()))
            self._made = made.pop_all()
        self._buffer = make_buffer()

    def filenos(self) -> tuple[int, ...]:
        """The fds one of which can be read from when something waits."""
        return self._groups.fileno(), self._id_group.fileno()

    def read(self) -> EndedBatch:
        """The sockets that have died; see read_ended()."""
        return read_ended(self._groups)

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


def open_socket_notices(procfs: ProcFs, *, receive_bytes: int = RECEIVE_BYTES) -> SocketNotices:
    """Those of the netns of the host, into which a thread goes if this program is in another one.

    Nearly every netns has an id there. Where the host's cannot be entered, those of the netns that the calling thread
    is in, in which it takes CAP_NET_ADMIN to give ids to others. Raises EventsUnavailable where nothing is to be heard.
    """
    with suppress(EventsUnavailable):
        return make_in_host_netns(procfs, lambda: SocketNotices(receive_bytes))
    return SocketNotices(receive_bytes)
