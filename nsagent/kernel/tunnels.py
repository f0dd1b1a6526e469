"""The tunnels of one netns that the kernel has UDP sockets for, by rtnetlink.

What their messages say is kernel.formats.route_link's. Other facts about interfaces are kernel.links',
by a library that takes as long to import as a scan of a small host.

Source: rtnetlink(7).
"""

import sys

from nsagent.kernel.formats.route_link import RTM_GETLINK, Tunnel, decode_tunnels, encode_links
from nsagent.kernel.netns_ids import NetnsIds


class Tunnels(NetnsIds):
    """Those of the netns that the calling thread is in now; a context manager. Raises NotRead."""

    def __init__(self) -> None:
        super().__init__("links")

    def list_tunnels(self, buffer: bytearray) -> list[Tunnel]:
        """Those that are up, also those whose sockets are in another netns; raises NotRead and FormatError."""
        data, _ = self._dump_steadily(RTM_GETLINK, encode_links(), buffer)
        return decode_tunnels(data, sys.byteorder)
