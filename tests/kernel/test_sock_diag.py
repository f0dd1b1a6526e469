"""sock_diag on the live kernel, in netns made for it."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from nsagent.errors import DumpUnavailable
from nsagent.kernel.formats import inet_diag, net_inet
from nsagent.kernel.formats.release import is_at_least
from nsagent.kernel.formats.row_place import RowPlace
from nsagent.kernel.formats.udp_diag import MOST_BYTES, decode_wireguard
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.facts import RawTable, TableFormat, TunnelEnd
from nsagent.model.ids import SocketInode
from nsagent.model.net import Family, Protocol, SocketRow, SocketState
from tests.kernel.children import IN_NEW_NETNS, start_child
from tests.kernel.inside import make_inside
from tests.kernel.rows import as_text_shows, stop_timer
from tests.live.capabilities import Capability, lack, require
from tests.live.deadlines import until

SO_SNDBUFFORCE, SO_COOKIE = 32, 57
SOCKETS = """
os.system("ip link set lo up")
made = []
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::")):
    made.append(socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::"))
    made.append(socket.socket(family, socket.SOCK_DGRAM))
    made[-1].bind((address, 0))
    peer = "127.0.0.1" if address == "::" else address
    made.append(socket.create_connection((peer, made[-2].getsockname()[1])))
    made.append(made[-3].accept()[0])
gone = socket.create_connection(made[0].getsockname())
server, _ = made[0].accept()
gone.close(); server.recv(1); server.close()
ready(); wait()
"""


SUBFLOWS = """
def ip(*arguments):
    if __import__("subprocess").run(["ip", *arguments], stderr=-3).returncode:
        ready("no mptcp")
        wait()
        sys.exit()
def make():
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
ip("link", "set", "lo", "up")
for address in ("192.0.2.1", "192.0.2.65"):
    ip("address", "add", address + "/32", "dev", "lo")
ip("mptcp", "limits", "set", "subflow", "2", "add_addr_accepted", "2")
ip("mptcp", "endpoint", "add", "192.0.2.65", "id", "5", "dev", "lo", "signal")
crowd = [socket.create_server(("127.0.0.1", 0)) for _ in range(rows)]
listener, client = make(), make()
listener.bind(("0.0.0.0", 0))
listener.listen()
client.connect(("192.0.2.1", listener.getsockname()[1]))
server, _ = listener.accept()
for one, other in ((server, client), (client, server)):
    one.sendall(b"x")
    other.recv(1)
ready(os.fstat(client.fileno()).st_ino)
sys.stdin.readline()
ip("mptcp", "endpoint", "delete", "id", "5")
ready()
sys.stdin.readline()
client.close()
server.close()
ready()
wait()
"""
"""A connection with two subflows, one of which ends, and then the other."""


def make_tcp_listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def make_reuseport_listener(like: socket.socket | None = None) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(like.getsockname() if like else ("127.0.0.1", 0))
    made.listen()
    return made


def make_udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


def inode_of(made: socket.socket) -> SocketInode:
    return SocketInode(os.fstat(made.fileno()).st_ino)


def place_of(table: bytes, inode: SocketInode) -> RowPlace:
    """Where the row of a socket stands, found without the reader under test: by decoding from each message on."""
    offset = 0
    while offset < len(table):
        length = int.from_bytes(table[offset : offset + 4], "little")
        rows, _ = inet_diag.decode_table(table[offset : offset + length], Protocol.TCP, "little")
        if rows[0].inode == inode:
            return RowPlace(offset, inode, rows[0].uid or 0, rows[0].state is SocketState.LISTEN)
        offset += (length + 3) & ~3
    raise AssertionError(f"no row has inode {inode}")


@pytest.fixture
def diag() -> Iterator[SockDiag]:
    """A sock_diag socket in the netns of this process."""
    with SockDiag() as made:
        yield made


@pytest.fixture(params=[0, 800], ids=["few rows", "many rows"])
def crowd(request: pytest.FixtureRequest) -> Iterator[None]:
    """In a table of few rows these are dumped again, in one of many looked up: the answer is the same."""
    with ExitStack() as sockets:
        for _ in range(request.param):
            sockets.enter_context(make_tcp_listener())
        yield


def find_closed(diag: SockDiag, protocol: Protocol, close: list[socket.socket], keep: list[socket.socket]) -> set[int]:
    """Dump, close the first, and ask which of all are gone."""
    inodes = [inode_of(made) for made in (*close, *keep)]
    table = diag.dump(protocol, make_buffer()).table
    places = [place_of(table.data, inode) for inode in inodes]
    for made in close:
        made.close()
    return set(diag.find_closed(table, places, make_buffer()))


def test_the_rows_of_a_netns_are_those_of_its_text_tables() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS, Capability.IPV6)
    with start_child(SOCKETS, *IN_NEW_NETNS) as child, make_inside(child.pid, SockDiag) as diag:
        for kind, names in ((Protocol.TCP, ("tcp", "tcp6")), (Protocol.UDP, ("udp", "udp6"))):
            rows, errors = inet_diag.decode_table(diag.dump(kind, make_buffer()).table.data, kind, "little")
            texts: list[SocketRow] = []
            for name in names:
                data = Path(f"/proc/{child.pid}/net/{name}").read_bytes().partition(b"\n")[2]
                texts += net_inet.parse_table(data, kind, byteorder="little")[0]
            assert errors == []
            assert len(rows) == (10 if kind is Protocol.TCP else 3)
            # A timer runs on between the two.
            shown = [stop_timer(as_text_shows(row)) for row in rows]
            assert sorted(shown, key=repr) == sorted(map(stop_timer, texts), key=repr)


def test_a_listener_is_one_row_with_its_inode_cookie_and_backlog(diag: SockDiag) -> None:
    with make_tcp_listener() as made:
        made.listen(7)
        table = diag.dump(Protocol.TCP, make_buffer()).table.data
        rows, _ = inet_diag.decode_table(table, Protocol.TCP, "little")
        (row,) = [row for row in rows if row.inode == inode_of(made)]
        cookie = int.from_bytes(made.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")
        assert (row.local[:2], row.cookie, row.tx_queue) == (made.getsockname(), cookie, 7)


def test_the_same_socket_dumps_again_and_again(diag: SockDiag) -> None:
    buffer = make_buffer()
    with make_tcp_listener() as made, make_udp() as udp:
        for protocol, one in ((Protocol.TCP, made), (Protocol.UDP, udp)) * 3:
            place_of(diag.dump(protocol, buffer).table.data, inode_of(one))


def test_a_process_cannot_have_the_room_to_send_that_is_wireguards_mark(diag: SockDiag) -> None:
    """What it asks for is doubled: the most that it can get is one byte less."""
    require(Capability.ROOT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("0.0.0.0", 0))
        for asked in (MOST_BYTES, MOST_BYTES // 2, -1, MOST_BYTES - 1):
            made.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, asked)
            table = diag.dump_udp_memory(make_buffer())
            assert place_of(table, inode_of(made)).uid == 0
            assert TunnelEnd(Family.IPV4, made.getsockname()[1]) not in decode_wireguard(table, "little")
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == MOST_BYTES - 1
        assert (MOST_BYTES - 1).to_bytes(4, sys.byteorder) in table


def test_the_room_that_nobody_asked_more_for_is_that_of_the_sysctl(diag: SockDiag) -> None:
    assert diag.read_default_room() == int(Path("/proc/sys/net/core/wmem_default").read_text())


def test_a_protocol_that_the_kernel_has_no_table_of_is_unavailable(diag: SockDiag) -> None:
    with pytest.raises(DumpUnavailable):
        diag.dump(Protocol.ICMP, make_buffer())


def test_a_dump_works_after_one_that_was_unavailable(diag: SockDiag) -> None:
    for protocol in (Protocol.ICMP, Protocol.VSOCK, Protocol.SCTP):
        with suppress(DumpUnavailable):  # vsock and SCTP may be there.
            diag.dump(protocol, make_buffer())
    with make_tcp_listener() as made:
        place_of(diag.dump(Protocol.TCP, make_buffer()).table.data, inode_of(made))


def test_whether_this_kernel_dumps_all_families_at_once_is_told_where_there_is_no_row() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    with start_child("ready(); wait()", *IN_NEW_NETNS) as child, make_inside(child.pid, SockDiag) as diag:
        assert diag.dump(Protocol.UDP, make_buffer()).rows == 0
        assert diag.knows_protocol or not is_at_least(os.uname().release, 5, 9)


def test_a_dump_counts_its_rows(diag: SockDiag) -> None:
    dump = diag.dump(Protocol.TCP, make_buffer())
    rows, _ = inet_diag.decode_table(dump.table.data, Protocol.TCP, "little")
    assert dump.rows >= len(rows)
    with make_udp():
        assert diag.dump(Protocol.UDP, make_buffer()).rows > 0


def test_a_dump_of_more_than_one_chunk_is_whole(diag: SockDiag) -> None:
    many = [make_udp() for _ in range(600)]
    try:
        table = diag.dump(Protocol.UDP, make_buffer()).table.data
        rows, errors = inet_diag.decode_table(table, Protocol.UDP, "little")
        assert len(table) > 2 * 32_364
        assert (errors, {inode_of(one) for one in many} - {row.inode for row in rows}) == ([], set())
    finally:
        for one in many:
            one.close()


@pytest.mark.usefixtures("crowd")
def test_a_closed_connection_is_told_from_one_that_is_there(diag: SockDiag) -> None:
    with make_tcp_listener() as listener:
        there, gone = (socket.create_connection(listener.getsockname()) for _ in range(2))
        expected = inode_of(gone)
        with there:
            assert find_closed(diag, Protocol.TCP, [gone], [there]) == {expected}


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("crowd", [0, 200], ids=["few rows", "many rows"])
def test_a_connection_of_which_a_subflow_has_ended_is_there(crowd: int) -> None:
    """Both dumped again and looked up."""
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    with start_child(f"rows = {crowd}\n{SUBFLOWS}", *IN_NEW_NETNS) as child, make_inside(child.pid, SockDiag) as diag:
        if child.said == "no mptcp":
            lack(Capability.MPTCP, "ip mptcp")
        inode = SocketInode(int(child.said))

        def list_subflows() -> list[RowPlace]:
            return inet_diag.find_rows(diag.dump(Protocol.TCP, make_buffer()).table.data, {inode}, "little")

        until(lambda: len(list_subflows()) == 2, "the connection has two subflows")
        table = diag.dump(Protocol.TCP, make_buffer()).table
        places = inet_diag.find_rows(table.data, {inode}, "little")
        child.say("")
        until(lambda: len(list_subflows()) == 1, "one of them has ended")
        assert diag.find_closed(table, places, make_buffer()) == frozenset()
        child.say("")
        until(lambda: diag.find_closed(table, places, make_buffer()) == {inode}, "the other one has ended, too")


def test_a_closed_listener_is_told_from_one_that_is_there(diag: SockDiag) -> None:
    gone = make_tcp_listener()
    expected = inode_of(gone)
    with make_tcp_listener() as there:
        assert find_closed(diag, Protocol.TCP, [gone], [there]) == {expected}


@pytest.mark.usefixtures("crowd")
def test_listeners_that_share_a_port_are_told_apart(diag: SockDiag) -> None:
    with make_reuseport_listener() as first, make_reuseport_listener(first) as second:
        gone = make_reuseport_listener(first)
        expected = inode_of(gone)
        assert find_closed(diag, Protocol.TCP, [gone], [first, second]) == {expected}


def test_a_closed_udp_socket_is_told_from_one_that_is_there(diag: SockDiag) -> None:
    gone = make_udp()
    expected = inode_of(gone)
    with make_udp() as there:
        assert find_closed(diag, Protocol.UDP, [gone], [there]) == {expected}


@pytest.mark.usefixtures("crowd")
def test_a_connection_whose_process_closed_it_has_no_inode_any_more(diag: SockDiag) -> None:
    with make_tcp_listener() as listener:
        gone = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        expected = inode_of(gone)
        with server:
            assert find_closed(diag, Protocol.TCP, [gone], [server]) == {expected}


def test_nothing_is_closed_where_nothing_was_asked(diag: SockDiag) -> None:
    empty = RawTable(TableFormat.INET_DIAG, Protocol.TCP, socket.AF_UNSPEC, b"")
    assert diag.find_closed(empty, [], make_buffer()) == frozenset()


def test_the_cookie_of_a_netns_is_the_same_twice(diag: SockDiag) -> None:
    with SockDiag() as other:
        assert diag.read_netns_cookie() == other.read_netns_cookie() is not None


def test_the_name_of_an_interface_is_found_by_its_index(diag: SockDiag) -> None:
    for index, name in socket.if_nameindex():
        assert diag.read_interface_name(index) == name


@pytest.mark.parametrize("index", [1 << 30, 1 << 31, 0xFFFFFFFF])
def test_an_interface_that_is_not_there_has_no_name(diag: SockDiag, index: int) -> None:
    assert diag.read_interface_name(index) is None


@pytest.mark.usefixtures("same_fds")
def test_no_fd_is_left_after_a_dump() -> None:
    with SockDiag() as made:
        made.dump(Protocol.TCP, make_buffer())


def test_the_socket_is_not_inherited() -> None:
    def list_inheritable() -> set[str]:
        fds = [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]
        return {fd for fd in fds if os.get_inheritable(int(fd))}

    before = list_inheritable()
    with SockDiag():
        assert list_inheritable() == before
