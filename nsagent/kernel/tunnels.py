"""The tunnels of one netns that the kernel has UDP sockets for, by rtnetlink.

What their messages say is kernel.formats.route_link's. Other facts about interfaces are kernel.links',
by a library that takes as long to import as a scan of a small host.

Source: rtnetlink(7).
"""

import sys
from socket import NETLINK_ROUTE

from nsagent.kernel.formats.netlink import HEADER_BYTES, NLM_F_REQUEST, find_status
from nsagent.kernel.formats.route_link import (
    RTM_GETLINK,
    RTM_GETNSID,
    Tunnel,
    decode_nsid,
    decode_tunnels,
    encode_links,
    encode_nsid,
)
from nsagent.kernel.netlink import SocketDialogue


class Tunnels(SocketDialogue):
    """Those of the netns that the calling thread is in now; a context manager. Raises NotRead."""

    def __init__(self) -> None:
        super().__init__(NETLINK_ROUTE, "links")

    def list_tunnels(self, buffer: bytearray) -> list[Tunnel]:
        """Those that are up, also those whose sockets are in another netns; raises NotRead and FormatError."""
        data, _ = self._dump_steadily(RTM_GETLINK, encode_links(), buffer)
        return decode_tunnels(data, sys.byteorder)

    def read_nsid(self, netns_fd: int, buffer: bytearray) -> int | None:
        """The id that this netns has for another one, None if it has none; raises NotRead and FormatError."""
        self._send(RTM_GETNSID, NLM_F_REQUEST, encode_nsid(netns_fd))
        view = self._receive(buffer)
        return None if find_status(view).end else decode_nsid(bytes(view[HEADER_BYTES:]), sys.byteorder)
