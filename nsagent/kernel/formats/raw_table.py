"""Raw tables of every format: which decoder reads which, and which file of /proc/PID/net holds what.

The only module that knows all formats. A table that was damaged on its way, in a capture, may name
any format together with any protocol: it gives rows or errors.
"""

from collections.abc import Container
from socket import AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNSPEC
from typing import Final, NamedTuple

from nsagent.errors import FormatError
from nsagent.kernel.formats import (
    inet_diag,
    net_inet,
    net_netlink,
    net_packet,
    net_sctp,
    netlink_diag,
    packet_diag,
    vsock_diag,
)
from nsagent.kernel.formats.row_place import RowPlace, UnheldRows
from nsagent.kernel.formats.small_table import PlacedRows
from nsagent.model.facts import NetnsReading, RawTable, TableFormat
from nsagent.model.ids import SocketInode
from nsagent.model.net import ByteOrder, Protocol, SocketRow, SocketState

_new = tuple.__new__


class NetFile(NamedTuple):
    """A file of /proc/PID/net; `family` is 0 where it holds more than one."""

    name: str
    family: int
    format: TableFormat


NET_FILES: Final = {
    Protocol.TCP: (NetFile("tcp", AF_INET, TableFormat.NET_INET), NetFile("tcp6", AF_INET6, TableFormat.NET_INET)),
    Protocol.UDP: (NetFile("udp", AF_INET, TableFormat.NET_INET), NetFile("udp6", AF_INET6, TableFormat.NET_INET)),
    Protocol.UDPLITE: (
        NetFile("udplite", AF_INET, TableFormat.NET_INET),
        NetFile("udplite6", AF_INET6, TableFormat.NET_INET),
    ),
    Protocol.RAW: (NetFile("raw", AF_INET, TableFormat.NET_INET), NetFile("raw6", AF_INET6, TableFormat.NET_INET)),
    Protocol.ICMP: (NetFile("icmp", AF_INET, TableFormat.NET_INET), NetFile("icmp6", AF_INET6, TableFormat.NET_INET)),
    Protocol.SCTP: (
        NetFile("sctp/eps", AF_UNSPEC, TableFormat.NET_SCTP_ENDPOINTS),
        NetFile("sctp/assocs", AF_UNSPEC, TableFormat.NET_SCTP_ASSOCIATIONS),
    ),
    Protocol.PACKET: (NetFile("packet", AF_PACKET, TableFormat.NET_PACKET),),
    Protocol.NETLINK: (NetFile("netlink", AF_NETLINK, TableFormat.NET_NETLINK),),
    Protocol.VSOCK: (),
}
"""The files that hold the sockets of a protocol. Of vsock there is none."""


def find_net_file(table: RawTable) -> NetFile | None:
    """The file that a text table was read from; None for what came by netlink."""
    files = NET_FILES[table.protocol]
    return next((file for file in files if (file.family, file.format) == (table.family, table.format)), None)


def decode_netns(
    reading: NetnsReading, byteorder: ByteOrder
) -> tuple[list[SocketRow], list[tuple[RawTable, FormatError]]]:
    """The rows of all tables of a netns, without those that closed during the pass, and the damage of each table.

    TCP rows say whether they are MPTCP: by the table of MPTCP sockets, which has the inodes of
    their TCP rows, or by the count of such sockets. A row without an inode cannot be told by a table.
    """
    rows: list[SocketRow] = []
    damage: list[tuple[RawTable, FormatError]] = []
    mptcp: set[SocketInode] | None = None
    for table in reading.tables:
        decoded, errors = decode_raw_table(table, byteorder, mptcp=False if reading.mptcp_counted == 0 else None)
        damage += [(table, error) for error in errors]
        if table.format is TableFormat.MPTCP_DIAG:
            mptcp = (mptcp or set()) | {row.inode for row in decoded}
        else:
            rows += decoded
    if mptcp is not None:
        whole = not any(table.format is TableFormat.MPTCP_DIAG for table, _ in damage)
        rows = [_mark(row, mptcp, whole=whole) if row.protocol is Protocol.TCP else row for row in rows]
    if any(table.protocol is Protocol.ICMP for table in reading.tables):
        rows = _drop_strays(rows)
    if reading.closed:
        rows = [row for row in rows if row.inode not in reading.closed]
    return rows, damage


def decode_raw_table(
    table: RawTable, byteorder: ByteOrder, *, mptcp: bool | None = None
) -> tuple[list[SocketRow], list[FormatError]]:
    """All rows of a table, each once, and one error for each damaged one.

    `mptcp` is what rows of TCP say of it. A table of MPTCP sockets gives rows too: not of TCP
    connections, but with the inodes of these.
    """
    of_tcp = mptcp if table.protocol is Protocol.TCP else None
    if table.format in (TableFormat.INET_DIAG, TableFormat.MPTCP_DIAG):
        return inet_diag.decode_table(table.data, table.protocol, byteorder, mptcp=of_tcp)
    if table.format is TableFormat.NET_INET:
        return net_inet.parse_table(table.data, table.protocol, byteorder=byteorder, mptcp=of_tcp)
    placed = _decode_small(table, byteorder)
    return [row for _, row in placed.rows], placed.errors


def list_unheld(table: RawTable, held: Container[int], listed: set[int], byteorder: ByteOrder) -> UnheldRows:
    """The rows of a table that some fd should hold and none in `held` does, and what all of its rows name.

    Adds every inode to `listed`. Damaged rows are passed over: decoding the table reports them.
    MPTCP sockets are no rows: none are listed.
    """
    if table.format is TableFormat.INET_DIAG:
        return inet_diag.list_unheld(table.data, held, listed, byteorder)
    if table.format is TableFormat.NET_INET:
        return UnheldRows(net_inet.list_unheld(table.data, held, listed), set(), set())
    found = UnheldRows([], set(), set())
    if table.format is TableFormat.MPTCP_DIAG:
        return found
    for offset, row in _decode_small(table, byteorder).rows:
        listed.add(row.inode)
        if row.interface:
            found.interfaces.add(row.interface)
        of_kernel = row.protocol is Protocol.NETLINK and not row.local.port  # Its own end, with port id 0.
        if row.inode and row.inode not in held and not of_kernel:
            found.places.append(RowPlace(offset, row.inode, row.uid or 0, row.state is SocketState.LISTEN))
    return found


def _decode_small(table: RawTable, byteorder: ByteOrder) -> PlacedRows:
    match table.format:
        case TableFormat.PACKET_DIAG:
            return packet_diag.decode_table(table.data, byteorder)
        case TableFormat.NETLINK_DIAG:
            return netlink_diag.decode_table(table.data, byteorder)
        case TableFormat.VSOCK_DIAG:
            return vsock_diag.decode_table(table.data, byteorder)
        case TableFormat.NET_PACKET:
            return net_packet.parse_table(table.data)
        case TableFormat.NET_NETLINK:
            return net_netlink.parse_table(table.data)
        case TableFormat.NET_SCTP_ENDPOINTS:
            return net_sctp.parse_endpoints(table.data)
        case TableFormat.NET_SCTP_ASSOCIATIONS:
            return net_sctp.parse_associations(table.data)
        case _:
            return PlacedRows([], [])


def _drop_strays(rows: list[SocketRow]) -> list[SocketRow]:
    """The rows without those of ping sockets in the table of the other family.

    The kernel looks at the family of the first socket of a hash bucket only (net/ipv4/ping.c
    ping_get_next()), so that icmp6 may show a socket of IPv4, and icmp one of IPv6, without its
    addresses. Its own table has it with them; where both have none, that of IPv4 is kept.
    """
    best: dict[tuple[SocketInode, int], SocketRow] = {}
    for row in rows:
        if row.protocol is Protocol.ICMP:
            key = row.inode, row.local.port
            known = best.setdefault(key, row)
            if _has_address(row) and not _has_address(known):
                best[key] = row
    return [row for row in rows if row.protocol is not Protocol.ICMP or best[row.inode, row.local.port] is row]


def _has_address(row: SocketRow) -> bool:
    return {row.local.address, row.remote.address} - {"0.0.0.0", "::"} != set()


def _mark(row: SocketRow, mptcp: Container[int], *, whole: bool) -> SocketRow:
    """The row with its MPTCP mark; `whole`: the table of MPTCP sockets was not damaged."""
    is_mptcp = row.inode in mptcp if row.inode else None
    return _new(SocketRow, (*row[:14], None if is_mptcp is False and not whole else is_mptcp, row.tcp_info))
