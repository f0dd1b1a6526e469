"""All tables of one netns together: which decoder reads which, what closed, what is MPTCP."""

from pathlib import Path
from socket import AF_INET, AF_INET6, AF_UNSPEC

import pytest

from nsagent.kernel.formats.raw_table import (
    NET_FILES,
    READERS,
    decode_netns,
    decode_raw_table,
    find_net_file,
    find_rows,
    index_rows,
    may_have_ports,
)
from nsagent.kernel.formats.row_place import RowIndex
from nsagent.model.choices import EngineName
from nsagent.model.facts import NetnsReading, RawTable, TableFormat
from nsagent.model.ids import NetnsId, SocketInode
from nsagent.model.net import Family, Protocol, SocketRow
from tests.kernel.diag_message import make_message
from tests.kernel.proc_tree import text_row
from tests.kernel.rows import read_recorded, read_recorded_text

RECORDED = {
    Protocol.TCP: RawTable(TableFormat.INET_DIAG, Protocol.TCP, AF_UNSPEC, read_recorded("tcp")),
    Protocol.UDP: RawTable(TableFormat.INET_DIAG, Protocol.UDP, AF_UNSPEC, read_recorded("udp")),
    Protocol.UDPLITE: RawTable(TableFormat.INET_DIAG, Protocol.UDPLITE, AF_UNSPEC, read_recorded("udplite")),
    Protocol.PACKET: RawTable(TableFormat.PACKET_DIAG, Protocol.PACKET, AF_UNSPEC, read_recorded("packet")),
    Protocol.NETLINK: RawTable(TableFormat.NETLINK_DIAG, Protocol.NETLINK, AF_UNSPEC, read_recorded("netlink")),
}
TEXTS = [
    RawTable(file.format, protocol, file.family, read_recorded_text(file.name))
    for protocol, files in NET_FILES.items()
    for file in files
    if protocol is not Protocol.SCTP
]
DEEP = RawTable(TableFormat.INET_DIAG, Protocol.TCP, AF_UNSPEC, read_recorded("tcp_deep"))
MPTCP = RawTable(TableFormat.MPTCP_DIAG, Protocol.TCP, AF_UNSPEC, read_recorded("mptcp"))
OF_MPTCP = {1329089, 1329091, 1329093}


def read(
    *tables: RawTable, mptcp_counted: int | None = None, closed: frozenset[SocketInode] = frozenset()
) -> NetnsReading:
    """A netns with these tables."""
    return NetnsReading(
        id=NetnsId(4, 4026531840),
        key=None,
        cookie=1,
        mounts=(),
        is_host=True,
        found_by=(),
        engine=EngineName.SOCK_DIAG,
        empty=False,
        sockstat=None,
        tables=tables,
        closed=closed,
        mptcp_counted=mptcp_counted,
    )


def decode(reading: NetnsReading) -> list[SocketRow]:
    """The rows of a netns whose tables are whole."""
    rows, damage = decode_netns(reading, "little")
    assert damage == []
    return rows


def text_table(protocol: Protocol, family: int, *rows: str) -> RawTable:
    return RawTable(TableFormat.NET_INET, protocol, family, "".join(rows).encode())


@pytest.mark.parametrize(
    "table", [*RECORDED.values(), *TEXTS], ids=lambda table: f"{table.format} {table.protocol} {table.family}"
)
def test_a_recorded_table_has_rows_of_its_protocol_only(table: RawTable) -> None:
    rows, errors = decode_raw_table(table, "little")
    assert ({row.protocol for row in rows}, errors) == ({table.protocol}, [])


@pytest.mark.parametrize(
    "table", [*RECORDED.values(), *TEXTS], ids=lambda table: f"{table.format} {table.protocol} {table.family}"
)
def test_the_rows_of_a_table_are_indexed_and_found_without_decoding_it(table: RawTable) -> None:
    index = index_rows(table, "little")
    rows, _ = decode_raw_table(table, "little")
    assert index == RowIndex(
        {row.inode for row in rows if row.inode},
        {row.interface for row in rows if row.interface},
        {row.cgroup_id for row in rows if row.cgroup_id is not None},
        bare=table.format in (TableFormat.INET_DIAG, TableFormat.NET_INET) and any(not row.inode for row in rows),
    )
    found = find_rows(table, {0, *index.inodes}, "little")
    assert {place.inode for place in found} == {row.inode for row in rows if row.inode and not is_kernels(row)}


def is_kernels(row: SocketRow) -> bool:
    """Whether it is the kernel's own end of a netlink protocol."""
    return row.protocol is Protocol.NETLINK and row.local.port == 0


def test_only_packet_sockets_with_a_wanted_inode_are_found() -> None:
    found = find_rows(RECORDED[Protocol.PACKET], {1329085}, "little")
    (row,) = [row for row in decode(read(RECORDED[Protocol.PACKET])) if row.inode == 1329085]
    assert [(place.inode, place.uid, place.listening) for place in found] == [(row.inode, row.uid, False)]


def test_every_format_has_its_reader() -> None:
    assert set(READERS) == set(TableFormat)


def test_only_dumps_of_inet_sockets_are_looked_through_for_ports() -> None:
    ports = {row.local.port for row in decode(read(RECORDED[Protocol.TCP]))}
    (strange, *_) = set(range(1, 1 << 16)) - ports - {row.remote.port for row in decode(read(RECORDED[Protocol.TCP]))}
    assert all(may_have_ports(RECORDED[Protocol.TCP], {port}, "little") for port in ports)
    assert not may_have_ports(RECORDED[Protocol.TCP], {strange}, "little")
    assert not may_have_ports(MPTCP, ports, "little")
    assert all(may_have_ports(table, {strange}, "little") for table in (*TEXTS, RECORDED[Protocol.PACKET]))


def test_sockets_of_the_mptcp_table_are_no_rows() -> None:
    assert index_rows(MPTCP, "little") == RowIndex(set(), set(), set())
    assert find_rows(MPTCP, OF_MPTCP, "little") == []
    assert {row.inode for row in decode(read(DEEP, MPTCP))} == {row.inode for row in decode(read(DEEP))}


def test_a_tcp_row_whose_inode_is_in_the_mptcp_table_is_mptcp() -> None:
    rows = decode(read(DEEP, MPTCP, mptcp_counted=3))
    assert {row.inode: row.mptcp for row in rows} == {row.inode: row.inode in OF_MPTCP for row in rows}


def test_a_row_without_an_inode_is_not_told_by_the_mptcp_table() -> None:
    rows = decode(read(RECORDED[Protocol.TCP], MPTCP, mptcp_counted=3))
    assert {row.mptcp for row in rows if not row.inode} == {None}


def test_no_row_is_mptcp_where_none_was_counted() -> None:
    assert {
        row.mptcp for row in decode(read(DEEP, RECORDED[Protocol.UDP], mptcp_counted=0)) if row.protocol is Protocol.TCP
    } == {False}


@pytest.mark.parametrize("counted", [None, 2])
def test_without_the_mptcp_table_nothing_is_known(counted: int | None) -> None:
    assert {row.mptcp for row in decode(read(DEEP, mptcp_counted=counted))} == {None}


def test_a_damaged_mptcp_table_tells_only_what_is_in_it() -> None:
    damaged = MPTCP._replace(data=MPTCP.data[:-20])
    rows, damage = decode_netns(read(DEEP, damaged, mptcp_counted=3), "little")
    assert {row.mptcp for row in rows} == {True, None}
    assert [table for table, _ in damage] == [damaged]


def test_what_is_not_tcp_says_nothing_of_mptcp() -> None:
    others = [table for protocol, table in RECORDED.items() if protocol is not Protocol.TCP]
    assert {row.mptcp for row in decode(read(*others, MPTCP, mptcp_counted=0))} == {None}


def test_rows_that_closed_are_left_out_in_every_table() -> None:
    tables = tuple(RECORDED.values())
    closed = frozenset({SocketInode(1329084), SocketInode(1329087), SocketInode(7999602)})
    expected = {row.inode for row in decode(read(*tables))} - closed
    assert {row.inode for row in decode(read(*tables, closed=closed))} == expected


def test_damage_is_told_with_its_table() -> None:
    good, bad = RECORDED[Protocol.UDP], RECORDED[Protocol.PACKET]._replace(data=b"\1\0\0\0")
    rows, damage = decode_netns(read(good, bad), "little")
    assert (len(rows), [table for table, _ in damage]) == (6, [bad])


LOOPBACK6 = "0" * 24 + "01000000"
ANY6 = "0" * 32


def test_a_ping_socket_in_the_table_of_the_other_family_is_one_row_with_its_addresses() -> None:
    tables = (
        text_table(
            Protocol.ICMP,
            AF_INET,
            text_row("0100007F:000E", "00000000:0000", 7, 11),
            text_row("00000000:004E", "00000000:0000", 7, 12),
        ),
        text_table(
            Protocol.ICMP,
            AF_INET6,
            text_row(f"{ANY6}:000E", f"{ANY6}:0000", 7, 11),
            text_row(f"{LOOPBACK6}:004E", f"{ANY6}:0000", 7, 12),
        ),
    )
    shown = {(row.inode, row.family, row.local.address) for row in decode(read(*tables))}
    assert shown == {(11, Family.IPV4, "127.0.0.1"), (12, Family.IPV6, "::1")}


def test_ping_sockets_without_an_address_are_one_row_each() -> None:
    tables = (
        text_table(Protocol.ICMP, AF_INET, text_row("00000000:000E", "00000000:0000", 7, 11)),
        text_table(Protocol.ICMP, AF_INET6, text_row(f"{ANY6}:000E", f"{ANY6}:0000", 7, 11)),
    )
    assert [row.inode for row in decode(read(*tables))] == [11]


def test_two_tables_of_one_socket_do_not_swallow_one_another_elsewhere() -> None:
    row = make_message(inode=7)
    tables = [RawTable(TableFormat.INET_DIAG, protocol, AF_UNSPEC, row) for protocol in (Protocol.TCP, Protocol.UDP)]
    assert len(decode(read(*tables))) == 2


def test_every_protocol_has_its_files_but_vsock() -> None:
    assert {protocol for protocol, files in NET_FILES.items() if not files} == {Protocol.VSOCK}
    assert set(NET_FILES) == set(Protocol)


def test_the_file_of_a_text_table_is_found_and_a_dump_has_none() -> None:
    names = {find_net_file(table) for table in TEXTS}
    assert None not in names
    assert len(names) == len(TEXTS)
    assert {find_net_file(table) for table in RECORDED.values()} == {None}


def test_the_recorded_files_are_those_that_are_read() -> None:
    directory = Path(__file__).parents[3] / "fixtures" / "proc" / "tables"
    read_files = {file.name for files in NET_FILES.values() for file in files if "/" not in file.name}
    assert {path.name for path in directory.iterdir()} == read_files | {"protocols"}
