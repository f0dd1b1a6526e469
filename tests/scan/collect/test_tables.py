"""All tables of a netns on the live kernel, by both engines, and what becomes of rows that close."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsagent.errors import DumpUnavailable
from nsagent.kernel.formats.raw_table import decode_netns
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import Entering, read_netns_id
from nsagent.kernel.procfs import ProcFs
from nsagent.kernel.sock_diag import Dump, SockDiag
from nsagent.model.choices import EngineName
from nsagent.model.facts import NetnsReading, TableFormat
from nsagent.model.ids import NetnsId, Pid, SocketInode
from nsagent.model.net import Protocol, SocketRow
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.gaps import GapSink
from nsagent.scan.collect.look_again import drop_closed
from nsagent.scan.collect.netlink_tables import TableDumper, name_engine
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.settle import read_met
from nsagent.scan.collect.state import make_reading
from nsagent.scan.plan import TablesWanted
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.kernel.inside import in_thread
from tests.kernel.proc_tree import BUSY_SOCKSTAT, TCP_HEADER, ProcTree, text_row
from tests.kernel.test_small_tables import OWN_PORTS, SOCKETS
from tests.live.capabilities import Capability, require
from tests.scan.collect.passes import open_pass

ALL = TablesWanted(frozenset(Protocol))
HOLD = "ready(); wait()"
RAW_AND_WAIT = """
one = socket.socket(socket.AF_INET, socket.SOCK_RAW, 89)
ready(); sys.stdin.readline(); one.close(); ready(); wait()
"""


@contextmanager
def met_netns(pid: int) -> Iterator[MetNetns]:
    """The netns of a process, held open."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        yield MetNetns(0, read_netns_id(fd), None, fd, members=[Pid(pid)])
    finally:
        os.close(fd)


@contextmanager
def reading(
    met: MetNetns, engine: EngineName, wanted: TablesWanted = ALL, proc_root: str = "/proc"
) -> Iterator[PassContext]:
    """A pass that has read one netns."""
    with open_pass(ProcFs(proc_root), engine, wanted) as context:
        read_met(context, [met])
        yield context


def found_in(context: PassContext) -> NetnsReading:
    """What was read of the one netns, without a gap."""
    (state,) = context.reader.list_states()
    assert context.gaps.list_gaps() == []
    return make_reading(state, None, None)


def read_once(pid: int, engine: EngineName, wanted: TablesWanted = ALL) -> NetnsReading:
    """What one engine reads of the netns of a process."""
    with met_netns(pid) as met, reading(met, engine, wanted) as context:
        return found_in(context)


def rows_of(found: NetnsReading) -> list[SocketRow]:
    rows, damage = decode_netns(found, "little")
    assert damage == []
    return rows


def own_rows(found: NetnsReading) -> list[SocketRow]:
    """Those that the process has made."""
    return [row for row in rows_of(found) if row.protocol is not Protocol.NETLINK or row.local.port in OWN_PORTS]


@pytest.fixture(scope="module")
def pid() -> Iterator[int]:
    """A process in a new netns with sockets of every kind."""
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS, Capability.IPV6)
    with start_child(SOCKETS, *IN_NEW_NETNS) as child:
        yield child.pid


def test_both_engines_show_the_same_sockets_of_every_protocol(pid: int) -> None:
    shown = [
        sorted((row.protocol, row.family, row.local, row.inode) for row in own_rows(read_once(pid, engine)))
        for engine in (EngineName.SOCK_DIAG, EngineName.PROC)
    ]
    assert shown[0] == shown[1]
    assert {protocol for protocol, *_ in shown[0]} == set(Protocol) - {Protocol.UDP, Protocol.SCTP, Protocol.VSOCK}


def test_the_socket_that_read_the_netlink_table_is_none_of_its_rows(pid: int) -> None:
    found = read_once(pid, EngineName.SOCK_DIAG)
    dumped = [row for row in rows_of(found) if row.protocol is Protocol.NETLINK]
    assert len(found.closed) == 1
    assert not {row.inode for row in dumped} & found.closed


def test_rows_without_a_holder_are_those_that_a_process_can_hold_and_not_the_readers_own(pid: int) -> None:
    with met_netns(pid) as met, reading(met, EngineName.SOCK_DIAG) as context:
        reader = context.reader
        places = {place.inode for unheld in reader.find_unheld(set()) for place in unheld.places}
        found = found_in(context)
        own_end = {row.inode for row in rows_of(found) if row.protocol is Protocol.NETLINK and not row.local.port}
        assert own_end
        assert places == {row.inode for row in rows_of(found) if row.inode} - own_end
        assert reader.list_inodes() >= places
        assert reader.list_cgroup_ids() == {row.cgroup_id for row in rows_of(found) if row.cgroup_id is not None}


def test_nothing_has_closed_that_is_there(pid: int) -> None:
    """But netlink sockets of others, who read the tables of this netns, too, and end."""
    with met_netns(pid) as met, reading(met, EngineName.SOCK_DIAG) as context:
        before = own_rows(found_in(context))
        drop_closed(context, context.reader.find_unheld(set()))
        found = found_in(context)
        assert (own_rows(found), found.unsettled) == (before, frozenset())


def test_mptcp_is_told_by_its_table_and_unknown_to_proc(pid: int) -> None:
    def list_marks(engine: EngineName) -> set[bool | None]:
        return {row.mptcp for row in rows_of(read_once(pid, engine)) if row.protocol is Protocol.TCP}

    assert list_marks(EngineName.SOCK_DIAG) == {True, False}
    assert list_marks(EngineName.PROC) == {None}


@pytest.mark.parametrize("engine", [EngineName.SOCK_DIAG, EngineName.PROC])
def test_no_row_is_mptcp_where_no_such_socket_is_counted(engine: EngineName) -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.MPTCP_COUNTS)
    with start_child("one = socket.create_server(('', 0)); ready(); wait()", *IN_NEW_NETNS) as child:
        found = read_once(child.pid, engine)
    assert [row.mptcp for row in rows_of(found) if row.protocol is Protocol.TCP] == [False]
    assert TableFormat.MPTCP_DIAG not in {table.format for table in found.tables}


@pytest.mark.parametrize("engine", [EngineName.SOCK_DIAG, EngineName.PROC])
def test_a_netns_without_sockets_is_empty(engine: EngineName) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    with start_child(HOLD, *IN_NEW_NETNS) as child:
        found = read_once(child.pid, engine, TablesWanted())
    assert (found.empty, found.tables, found.mptcp_counted) == (True, (), None)


@pytest.mark.parametrize("engine", [EngineName.SOCK_DIAG, EngineName.PROC])
def test_a_raw_socket_that_closed_is_dropped_though_netlink_has_no_table_of_it(engine: EngineName) -> None:
    require(Capability.ROOT, Capability.SETPRIV)
    wanted = TablesWanted(frozenset((Protocol.RAW,)))
    with (
        start_child(RAW_AND_WAIT, *IN_NEW_NETNS) as child,
        met_netns(child.pid) as met,
        reading(met, engine, wanted) as context,
    ):
        unheld = context.reader.find_unheld(set())
        drop_closed(context, unheld)
        assert len(rows_of(found_in(context))) == 1
        child.say("close")
        drop_closed(context, unheld)
        assert rows_of(found_in(context)) == []


def test_rows_whose_netns_nobody_is_left_in_are_unsettled(tmp_path: Path) -> None:
    tree = ProcTree(tmp_path / "proc")
    table = TCP_HEADER + text_row("0100007F:0050", "00000000:0000", 10, 7732)
    tree.process(200, net={"sockstat": BUSY_SOCKSTAT, "tcp": table})
    met = MetNetns(0, NetnsId(0, 4026531840), None, None, members=[Pid(200)])
    with reading(met, EngineName.PROC, TablesWanted(), tree.path) as context:
        unheld = context.reader.find_unheld(set())
        drop_closed(context, unheld)
        assert found_in(context).unsettled == frozenset()
        met.members.clear()
        drop_closed(context, unheld)
        found = found_in(context)
    assert found.unsettled == {SocketInode(7732)}
    assert found.closed == frozenset()


class NoTables(SockDiag):
    """A kernel without any netlink table, that counts how often it is asked."""

    asked = 0

    def dump(self, protocol: Protocol, buffer: bytearray, *, deep: bool = False, tcp_info: bool = False) -> Dump:
        self.asked += 1
        raise DumpUnavailable("ENOENT")


def test_a_table_that_netlink_lacks_is_asked_for_once_and_read_as_text() -> None:
    def read_twice() -> tuple[int, list[set[TableFormat]]]:
        wanted = TablesWanted(frozenset((Protocol.TCP, Protocol.VSOCK)))
        gaps = GapSink()
        dumper = TableDumper(Entering("/proc"), wanted, make_buffer(), gaps, None, time.monotonic)
        with NoTables() as diag:
            reads = [dumper.dump_tables(diag, {}, MetNetns(0, NetnsId(0, 1), None, None)) for _ in range(2)]
            assert gaps.list_gaps() == []
            assert {name_engine(read.tables) for read in reads} == {EngineName.PROC}
            return diag.asked, [{table.format for table in read.tables} for read in reads]

    # TCP has its files; vsock has none and is absent.
    assert in_thread(read_twice) == (2, [{TableFormat.NET_INET}, {TableFormat.NET_INET}])
