"""Raw tables of every format: which decoder reads which, and which file of /proc/PID/net holds what.

The only module that knows all formats. A table that was damaged on its way, in a capture, may name
any format together with any protocol: it gives rows or errors.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
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
    small_table,
    vsock_diag,
)
from nsagent.kernel.formats.inet_diag import Decoded, InetDecoder, InetTables
from nsagent.kernel.formats.row_place import RowIndex, RowPlace
from nsagent.kernel.formats.small_table import PlacedRows
from nsagent.model.facts import NetnsReading, RawTable, TableFormat
from nsagent.model.ids import SocketInode
from nsagent.model.net import ByteOrder, Protocol, SocketRow, SocketState


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
    reading: NetnsReading, byteorder: ByteOrder, inet: InetTables | None = None
) -> tuple[list[SocketRow], list[tuple[RawTable, FormatError]]]:
    """The rows of all tables of a netns, without those that closed during the pass, and the damage of each table.

    TCP rows say whether they are MPTCP: by the table of MPTCP sockets, which has the inodes of
    their TCP rows, or by the count of such sockets. A row without an inode cannot be told by a table.

    `inet` knows the tables of an earlier pass.
    """
    of_mptcp = [table for table in reading.tables if table.format is TableFormat.MPTCP_DIAG]
    mptcp: set[SocketInode] = set()
    rows: list[SocketRow] = []
    damage: list[tuple[RawTable, FormatError]] = []
    for table in of_mptcp:
        decoded, errors = decode_raw_table(table, byteorder, inet=inet)
        mptcp.update(row.inode for row in decoded)
        damage += [(table, error) for error in errors]
    no_others = not damage if of_mptcp else reading.mptcp_counted == 0
    for table in reading.tables:
        if table.format is not TableFormat.MPTCP_DIAG:
            decoded, errors = decode_raw_table(table, byteorder, False if no_others else None, inet)
            damage += [(table, error) for error in errors]
            rows += decoded
    if of_mptcp:
        rows = [_mark(row, mptcp) if row.protocol is Protocol.TCP else row for row in rows]
    if any(table.protocol is Protocol.ICMP for table in reading.tables):
        rows = _drop_strays(rows)
    if any(table.format is TableFormat.NET_SCTP_ASSOCIATIONS for table in reading.tables):
        rows = _join_sctp(rows)
    if reading.closed:
        rows = [row for row in rows if row.inode not in reading.closed]
    return rows, damage


def decode_raw_table(
    table: RawTable, byteorder: ByteOrder, mptcp: bool | None = None, inet: InetTables | None = None
) -> Decoded:
    """All rows of a table, each once, and one error for each damaged one.

    `mptcp` is what rows of TCP say of it. A table of MPTCP sockets gives rows too: not of TCP
    connections, but with the inodes of these. `inet` knows tables of the same netns.
    """
    return READERS[table.format].decode(table, byteorder, mptcp if table.protocol is Protocol.TCP else None, inet)


def index_rows(table: RawTable, byteorder: ByteOrder) -> RowIndex:
    """What the rows of a table name. MPTCP sockets are no rows: their table names nothing.

    Damaged rows are passed over: decoding the table reports them.
    """
    return READERS[table.format].index(table.data, byteorder)


def find_rows(table: RawTable, inodes: Container[int], byteorder: ByteOrder) -> list[RowPlace]:
    """The places of the rows of a table with one of these inodes: several rows may share one.

    Not of the kernel's own ends of netlink, which no fd can hold. Takes as long as index_rows(),
    which tells whether there is anything to find.
    """
    return READERS[table.format].find(table.data, inodes, byteorder)


def may_have_ports(table: RawTable, ports: Iterable[int], byteorder: ByteOrder) -> bool:
    """Whether some row of a table may have one of these ports at an end; only a table of inet_diag is looked through.

    The rows of MPTCP sockets stand in that of TCP too.
    """
    if table.format is TableFormat.INET_DIAG:
        return inet_diag.has_ports(table.data, ports, byteorder)
    return table.format is not TableFormat.MPTCP_DIAG


@dataclass(frozen=True, slots=True)
class Reader:
    """How the tables of one format are read: in whole, and for what a pass decides by (row_place)."""

    decode: Callable[[RawTable, ByteOrder, bool | None, InetTables | None], Decoded]
    index: Callable[[bytes, ByteOrder], RowIndex]
    find: Callable[[bytes, Container[int], ByteOrder], list[RowPlace]]


def _read_inet_diag(table: RawTable, byteorder: ByteOrder, mptcp: bool | None, inet: InetTables | None) -> Decoded:
    inet = inet or InetTables(InetDecoder(byteorder), {})
    return inet.decode((table.format, table.protocol, byteorder), table.data, table.protocol, mptcp=mptcp)


def _read_net_inet(table: RawTable, byteorder: ByteOrder, mptcp: bool | None, _: InetTables | None) -> Decoded:
    return net_inet.parse_table(table.data, table.protocol, byteorder, mptcp=mptcp)


def _read_small(decode: Callable[[bytes, ByteOrder], PlacedRows]) -> Reader:
    """How tables are read that have few rows on every host: they are decoded for every question."""

    def decode_rows(table: RawTable, byteorder: ByteOrder, *_: object) -> Decoded:
        placed = decode(table.data, byteorder)
        return [row for _, row in placed.rows], placed.errors

    return Reader(
        decode_rows,
        lambda data, byteorder: small_table.index_rows(decode(data, byteorder)),
        lambda data, inodes, byteorder: small_table.find_rows(decode(data, byteorder), inodes),
    )


READERS: Final[Mapping[TableFormat, Reader]] = {
    TableFormat.INET_DIAG: Reader(_read_inet_diag, inet_diag.index_rows, inet_diag.find_rows),
    TableFormat.MPTCP_DIAG: Reader(_read_inet_diag, lambda *_: RowIndex(set(), set(), set()), lambda *_: []),
    TableFormat.PACKET_DIAG: _read_small(packet_diag.decode_table),
    TableFormat.NETLINK_DIAG: _read_small(netlink_diag.decode_table),
    TableFormat.VSOCK_DIAG: _read_small(vsock_diag.decode_table),
    TableFormat.NET_INET: Reader(
        _read_net_inet,
        lambda data, _: net_inet.index_rows(data),
        lambda data, inodes, _: net_inet.find_rows(data, inodes),
    ),
    TableFormat.NET_PACKET: _read_small(lambda data, _: net_packet.parse_table(data)),
    TableFormat.NET_NETLINK: _read_small(lambda data, _: net_netlink.parse_table(data)),
    TableFormat.NET_SCTP_ENDPOINTS: _read_small(lambda data, _: net_sctp.parse_endpoints(data)),
    TableFormat.NET_SCTP_ASSOCIATIONS: _read_small(lambda data, _: net_sctp.parse_associations(data)),
}


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


def _join_sctp(rows: list[SocketRow]) -> list[SocketRow]:
    """The rows with those of SCTP as its text has them, and what only sock_diag tells of their sockets.

    sock_diag shows an association of IPv6 twice, with ends that are not its own (net/sctp/diag.c
    inet_diag_msg_sctpasoc_fill()). Text has no cookie, by which the two are told apart here.
    """
    dumped: dict[tuple[SocketInode, bool], SocketRow] = {}
    for row in rows:
        if row.protocol is Protocol.SCTP and row.cookie is not None and row.inode:
            dumped.setdefault((row.inode, row.state is SocketState.LISTEN), row)
    joined = []
    for row in rows:
        if row.protocol is not Protocol.SCTP:
            joined.append(row)
        elif row.cookie is None:
            found = dumped.get((row.inode, row.state is SocketState.LISTEN))
            joined.append(row if found is None else _add_dumped(row, found))
    return joined


def _add_dumped(row: SocketRow, dumped: SocketRow) -> SocketRow:
    """A row of text with what its socket's row of a dump has more."""
    counted = dumped if row.rx_queue is None else row
    return row._replace(
        interface=dumped.interface,
        cookie=dumped.cookie,
        rx_queue=counted.rx_queue,
        tx_queue=counted.tx_queue,
        cgroup_id=dumped.cgroup_id,
        v6only=dumped.v6only,
        options=dumped.options,
    )


def _has_address(row: SocketRow) -> bool:
    return {row.local.address, row.remote.address} - {"0.0.0.0", "::"} != set()


def _mark(row: SocketRow, mptcp: Container[int]) -> SocketRow:
    """The row with its MPTCP mark; one that is in no MPTCP table keeps what it says."""
    if row.inode and row.inode not in mptcp:
        return row
    return row._replace(mptcp=True if row.inode else None)
