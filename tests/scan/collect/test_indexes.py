"""What the rows of a table name, known from the pass before where the table is the same."""

from socket import AF_INET

from nsagent.kernel.formats.row_place import RowIndex
from nsagent.model.facts import RawTable, TableFormat
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from nsagent.scan.collect.indexes import Indexed, Indexes
from tests.scan.facts import listen_row

COOKIE = 4101


def make_table(*inodes: int, protocol: Protocol = Protocol.TCP) -> RawTable:
    """Each time another one, with bytes of its own."""
    rows = "".join(listen_row(80, inode) for inode in inodes)
    return RawTable(TableFormat.NET_INET, protocol, AF_INET, rows.encode())


def index_of(*inodes: int) -> RowIndex:
    return RowIndex({SocketInode(inode) for inode in inodes}, set(), set())


def test_a_table_that_is_what_it_was_is_kept_with_what_its_rows_name() -> None:
    indexes = Indexes()
    first = indexes.find(COOKIE, make_table(7, 8))
    assert first == Indexed(make_table(7, 8), index_of(7, 8))
    for _ in range(3):
        indexes.begin()
        again = indexes.find(COOKIE, make_table(7, 8))
        assert again is first


def test_what_differs_in_a_byte_or_is_of_another_netns_or_protocol_is_read() -> None:
    indexes = Indexes()
    first = indexes.find(COOKIE, make_table(7))
    indexes.begin()
    assert indexes.find(COOKIE, make_table(8)) == Indexed(make_table(8), index_of(8))
    for other in (indexes.find(COOKIE + 1, make_table(7)), indexes.find(None, make_table(7))):
        assert other == first
        assert other is not first
    udp = make_table(9, protocol=Protocol.UDP)
    assert indexes.find(COOKIE, udp) == Indexed(udp, index_of(9))


def test_what_a_pass_has_not_met_is_kept_no_longer() -> None:
    indexes = Indexes()
    first = indexes.find(COOKIE, make_table(7))
    indexes.begin()
    indexes.begin()
    assert indexes.find(COOKIE, make_table(7)) is not first
