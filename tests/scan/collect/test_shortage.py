"""Dumps that are short of rows, from a kernel that is a list of answers."""

from collections.abc import Callable, Iterator
from socket import AF_UNSPEC
from typing import cast

import pytest

from nsagent.errors import ReadFailed, Reason
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import Entering
from nsagent.kernel.sock_diag import Dump, SockDiag
from nsagent.model.facts import RawTable, TableFormat
from nsagent.model.ids import NetnsId, SocketInode
from nsagent.model.net import Protocol
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.indexes import Indexes
from nsagent.scan.collect.netlink_tables import TableDumper, dump_whole
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.resting_tables import RestingTables, Stirred
from nsagent.scan.collect.state import NetnsState
from nsagent.scan.plan import TablesWanted, read_counters
from tests.kernel.diag_message import make_message


def make_dump(*inodes: int) -> Dump:
    data = b"".join(make_message(inode=inode, cookie=inode) for inode in inodes)
    return Dump(RawTable(TableFormat.INET_DIAG, Protocol.TCP, AF_UNSPEC, data), len(inodes))


def sockstat(inuse: int, tw: int = 0) -> str:
    return f"TCP: inuse {inuse} orphan 0 tw {tw} alloc 9 mem 9\nUDP: inuse 0 mem 0\n"


class Kernel:
    """Gives the dumps and the counters that it was made of, one after the other."""

    def __init__(self, dumps: list[Dump | ReadFailed], counters: list[str]) -> None:
        self._dumps: Iterator[Dump | ReadFailed] = iter(dumps)
        self._counters = iter(counters)
        self.calls: list[str] = []

    def dump(self) -> Dump:
        self.calls.append("dump")
        answer = next(self._dumps)
        if isinstance(answer, ReadFailed):
            raise answer
        return answer

    def read_sockstat(self) -> str:
        self.calls.append("sockstat")
        return next(self._counters)


@pytest.fixture
def read() -> Callable[[Kernel], tuple[int, int]]:
    """How many rows the table has that was kept, and how many are missing."""

    def read_it(kernel: Kernel) -> tuple[int, int]:
        counters = read_counters(kernel.read_sockstat())
        table, missing = dump_whole(kernel.dump, Protocol.TCP, counters, kernel.read_sockstat)
        return table.data.count(make_message()[4:8]), missing

    return read_it


Read = Callable[[Kernel], tuple[int, int]]


@pytest.mark.parametrize("rows", [(1, 2), (1, 2, 3)])
def test_a_dump_with_as_many_rows_as_are_counted_is_enough(read: Read, rows: tuple[int, ...]) -> None:
    kernel = Kernel([make_dump(*rows)], [sockstat(1, tw=1)])
    assert read(kernel)[1] == 0
    assert kernel.calls == ["sockstat", "dump"]


def test_counters_that_cannot_be_read_prove_nothing(read: Read) -> None:
    assert read(Kernel([make_dump(1)], [""])) == (1, 0)


def test_sockets_that_closed_since_they_were_counted_are_not_missing(read: Read) -> None:
    kernel = Kernel([make_dump(1)], [sockstat(2), sockstat(1)])
    assert read(kernel) == (1, 0)
    assert kernel.calls == ["sockstat", "dump", "sockstat"]


def test_a_short_table_is_dumped_again_and_the_fullest_kept(read: Read) -> None:
    kernel = Kernel([make_dump(1), make_dump(1, 2, 3)], [sockstat(3)] * 3)
    assert read(kernel) == (3, 0)


def test_a_table_that_stays_short_while_nothing_changes_lacks_rows(read: Read) -> None:
    kernel = Kernel([make_dump(1, 2)] * 3, [sockstat(3, tw=2)] * 4)
    assert read(kernel) == (2, 3)


def test_a_table_that_stays_short_while_counters_change_may_lack_none(read: Read) -> None:
    kernel = Kernel([make_dump(1, 2)] * 3, [sockstat(5), sockstat(6), sockstat(5), sockstat(5)])
    assert read(kernel) == (2, 0)


def test_a_table_that_stays_short_while_sockets_change_places_may_lack_none(read: Read) -> None:
    kernel = Kernel([make_dump(1, 2), make_dump(1, 3), make_dump(1, 4)], [sockstat(5)] * 4)
    assert read(kernel) == (2, 0)


def test_a_second_dump_that_fails_leaves_the_first(read: Read) -> None:
    kernel = Kernel([make_dump(1), ReadFailed("sock_diag", "ENOBUFS")], [sockstat(5)] * 2)
    assert read(kernel) == (1, 0)


class Inside:
    """A netns that counts always the same."""

    def read_sockstat(self) -> str:
        return sockstat(3)

    def read_net(self, name: str) -> bytes | None:
        return b"Tcp: InSegs\nTcp: 62\n" if name == "snmp" else None


class Diag:
    """Gives the same dump each time."""

    knows_protocol = True

    def __init__(self, *inodes: int) -> None:
        self._dump = make_dump(*inodes)

    def dump(self, *_: object, **__: object) -> Dump:
        return self._dump


def test_that_a_table_lacks_rows_is_told_in_each_pass() -> None:
    """Though all is at rest: what was not whole is not taken for what it was."""
    resting, wanted, inside = RestingTables(), TablesWanted(frozenset((Protocol.TCP,))), cast("Entering", Inside())
    met = MetNetns(0, NetnsId(4, 4026532500), None, None)
    at_rest, diag = Stirred({SocketInode(1), SocketInode(2)}, set(), whole=True), cast("SockDiag", Diag(1, 2))
    told = []
    for _ in range(5):
        gaps = GapSink()
        dumper = TableDumper(inside, wanted, make_buffer(), gaps, None, lambda: 0.0, resting)
        resting.begin()
        state = NetnsState(met, cookie=1)
        state.take(dumper.dump_tables(diag, read_counters(sockstat(3)), met, state.cookie), Indexes())
        resting.keep([state], at_rest)
        told.append([(gap.reason, gap.count) for gap in gaps.list_gaps()])
    assert told == [[(Reason.SHORT, 1)]] * 5
