"""The ids that a netns has for others: by one of them its messages tell which netns they are about.

A netns gets an id where another one is connected to it, as by a veth, or where somebody asks for it. It keeps none
from going: when it is gone, its id may be given out again.

Source: rtnetlink(7), ip-netns(8), include/uapi/linux/net_namespace.h, net/core/net_namespace.c rtnl_net_newid(),
rtnl_net_getid().
"""

import socket
import sys
from errno import EEXIST
from typing import Final

from nsagent.kernel.formats.netlink import HEADER_BYTES, NLM_F_ACK, NLM_F_REQUEST, decode_status, find_status
from nsagent.kernel.formats.route_link import (
    RTM_GETNSID,
    RTM_NEWNSID,
    decode_nsid,
    encode_new_nsid,
    encode_nsid,
)
from nsagent.kernel.netlink import SocketDialogue, make_failure

_SUBJECT: Final = "netns ids"


class NetnsIds(SocketDialogue):
    """Those of the netns that the calling thread is in when this is made; a context manager. Raises NotRead."""

    def __init__(self, subject: str = _SUBJECT) -> None:
        super().__init__(socket.NETLINK_ROUTE, subject)

    def read_nsid(self, netns_fd: int, buffer: bytearray) -> int | None:
        """The id that this netns has for another one, None if it has none; raises NotRead and FormatError."""
        self._send(RTM_GETNSID, NLM_F_REQUEST, encode_nsid(netns_fd))
        view = self._receive(buffer)
        return None if find_status(view).end else decode_nsid(bytes(view[HEADER_BYTES:]), sys.byteorder)

    def give_nsid(self, netns_fd: int, buffer: bytearray) -> int | None:
        """The same, given first if there is none: that needs CAP_NET_ADMIN. Takes 10 us where there is one."""
        nsid = self.read_nsid(netns_fd, buffer)
        if nsid is not None:
            return nsid
        self._send(RTM_NEWNSID, NLM_F_REQUEST | NLM_F_ACK, encode_new_nsid(netns_fd))
        view = self._receive(buffer)
        end = find_status(view).end
        status = decode_status(view, end) if end else 0
        if status not in (0, EEXIST):  # Somebody else has given it one meanwhile.
            raise make_failure(status, self._subject)
        return self.read_nsid(netns_fd, buffer)
