"""Notices of rtnetlink: ids that a netns gives to others, and that are free because those are gone.

Source: rtnetlink(7), net/core/net_namespace.c rtnl_net_notifyid(), unhash_nsid().
"""

import socket
import sys
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats.route_link import RTNLGRP_NSID, decode_nsid_notice
from nsagent.kernel.multicast import Multicast, MulticastQueue

_RECEIVE_BYTES: Final = 1 << 20


class IdNotices(NamedTuple):
    """What has happened to ids, in the order of it."""

    ids: tuple[tuple[int, bool], ...]
    """Each with whether it was given out; else the netns is gone, and its id free."""
    lost: bool
    """Whether some did not arrive: then any id may be another netns's."""


def open_id_group() -> Multicast:
    """Notices of the netns that the calling thread is in now. Raises EventsUnavailable."""
    return Multicast(socket.NETLINK_ROUTE, (RTNLGRP_NSID,), "netns ids", _RECEIVE_BYTES, all_netns=False)


def read_id_notices(queue: MulticastQueue) -> IdNotices:
    """What has happened to ids; never waits itself. Raises NotRead."""
    messages, loss, drained = queue.read()
    ids: list[tuple[int, bool]] = []
    lost = loss is not None or not drained
    for message in messages:
        try:
            notice = decode_nsid_notice(message.data, sys.byteorder)
        except FormatError:
            lost = True
            continue
        if notice is not None:
            ids.append(notice)
    return IdNotices(tuple(ids), lost)
