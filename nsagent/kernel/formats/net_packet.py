"""/proc/PID/net/packet: the AF_PACKET sockets of one netns as text.

Source: packet(7), net/packet/af_packet.c packet_seq_show().
"""

from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.formats.numbers import parse_decimal, parse_hex
from nsagent.kernel.formats.small_table import NOBODY, PlacedRows, make_row, parse_lines
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState

_GONE: Final = "-1"
"""The interface of a socket whose own was deleted (net/packet/af_packet.c packet_notifier())."""


def parse_table(data: bytes) -> PlacedRows:
    """All rows of a table without its header line, each once, and one error for each bad row."""
    return parse_lines(data, parse_row)


def parse_row(line: str) -> SocketRow:
    """`SK REFCOUNT TYPE PROTO IFACE RUNNING RMEM USER INODE`; PROTO is an EtherType in hex. Raises FormatError.

    A socket whose interface was deleted is bound to none that there is, and has None.
    """
    columns = line.split()
    try:
        ether_type = parse_hex(columns[3], 16)
        interface = None if columns[4] == _GONE else parse_decimal(columns[4], 32)
        memory, uid, inode = (parse_decimal(columns[i], bits) for i, bits in ((6, 32), (7, 32), (8, 64)))
    except (IndexError, ValueError) as err:
        raise FormatError("a row of /proc/PID/net/packet", line) from err
    return make_row(
        Family.PACKET,
        Protocol.PACKET,
        SocketState.CLOSE,
        Endpoint(f"{ether_type:04x}", 0),
        NOBODY,
        inode,
        interface=interface,
        uid=uid,
        rx_queue=memory,
    )
