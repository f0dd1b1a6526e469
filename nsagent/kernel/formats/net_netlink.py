"""/proc/PID/net/netlink: the AF_NETLINK sockets of one netns as text.

Source: netlink(7), net/netlink/af_netlink.c netlink_native_seq_show().
"""

from nsagent.errors import FormatError
from nsagent.kernel.formats.netlink_diag import name_protocol
from nsagent.kernel.formats.numbers import parse_decimal
from nsagent.kernel.formats.small_table import NOBODY, PlacedRows, make_row, parse_lines
from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState


def parse_table(data: bytes) -> PlacedRows:
    """All rows of a table without its header line, each once, and one error for each bad row."""
    return parse_lines(data, parse_row)


def parse_row(line: str) -> SocketRow:
    """`SK PROTOCOL PORTID GROUPS RMEM WMEM DUMP LOCKS DROPS INODE`; raises FormatError.

    The text does not tell whether the socket is connected: it is shown as if it were not.
    """
    columns = line.split()
    try:
        number, port_id = parse_decimal(columns[1], 16), parse_decimal(columns[2], 32)
        received, sent = parse_decimal(columns[4], 32), parse_decimal(columns[5], 32)
        inode = parse_decimal(columns[9], 64)
    except (IndexError, ValueError) as err:
        raise FormatError("a row of /proc/PID/net/netlink", line) from err
    return make_row(
        Family.NETLINK,
        Protocol.NETLINK,
        SocketState.CLOSE,
        Endpoint(name_protocol(number), port_id),
        NOBODY,
        inode,
        rx_queue=received,
        tx_queue=sent,
    )
