"""The UDP ports of foo over UDP of one netns, by generic netlink. What the messages say is kernel.formats.fou's.

Source: ip-fou(8), net/ipv4/fou.c (FOU_CMD_GET needs no privilege).
"""

import sys
from typing import Final

from nsagent.kernel.formats import fou, generic_netlink
from nsagent.kernel.netlink import SocketDialogue
from nsagent.model.facts import TunnelEnd

_NETLINK_GENERIC: Final = 16


class FouPorts(SocketDialogue):
    """Those of the netns that the calling thread is in now; a context manager. Raises NotRead."""

    def __init__(self) -> None:
        super().__init__(_NETLINK_GENERIC, "fou")

    def list_ends(self, buffer: bytearray) -> list[TunnelEnd]:
        """Those bound to any address, none where fou is not loaded; raises NotRead, DumpUnavailable and FormatError."""
        data, _ = self._dump_steadily(generic_netlink.GENL_ID_CTRL, generic_netlink.encode_families(), buffer)
        number = generic_netlink.decode_families(data, sys.byteorder).get(fou.FAMILY)
        if number is None:
            return []
        data, _ = self._dump_steadily(number, generic_netlink.encode_command(fou.FOU_CMD_GET), buffer)
        return fou.decode_ports(data, sys.byteorder)
