"""Notices of sock_diag: TCP and UDP sockets that die, in the netns in which it is listened, and in others.

What the messages say is kernel.formats.socket_destroy's. The kernel sends them when nobody has the socket any more:
its TIME_WAIT is another one, of which nothing is told. Listening makes the closing of every socket of the host dearer
(10 -> 13.5 us).

Source: net/core/sock_diag.c sock_diag_broadcast_destroy().
"""

import sys
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.socket_destroy import (
    SKNLGRP_INET6_UDP_DESTROY,
    SKNLGRP_INET_TCP_DESTROY,
    Destroyed,
    decode_destroyed,
)
from nsagent.kernel.multicast import Multicast, MulticastQueue, join_losses
from nsagent.kernel.proc_events import EventsLost
from nsagent.kernel.sock_diag import NETLINK_SOCK_DIAG

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


def open_destroy_groups(receive_bytes: int) -> Multicast:
    """Those of the netns that the calling thread is in, and of those with an id there. Raises EventsUnavailable."""
    return Multicast(NETLINK_SOCK_DIAG, GROUPS, "socket events", receive_bytes, all_netns=True)
