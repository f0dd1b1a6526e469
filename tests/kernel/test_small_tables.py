"""The tables that few look at, on the live kernel: sock_diag and /proc tell the same, in a netns made for it."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nsagent.errors import DumpUnavailable
from nsagent.kernel.formats.net_protocols import count_mptcp, parse_net_protocols
from nsagent.kernel.formats.raw_table import NET_FILES, decode_raw_table, find_rows
from nsagent.kernel.formats.tcp_info import decode_tcp_info
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.facts import RawTable
from nsagent.model.ids import SocketInode
from nsagent.model.net import Endpoint, Protocol, SocketRow, SocketState
from tests.kernel.children import IN_NEW_NETNS, Child, start_child
from tests.kernel.inside import make_inside
from tests.kernel.rows import as_text_shows
from tests.live.capabilities import Capability, require

SOCKETS = """
import json, subprocess
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with open("/proc/sys/net/ipv4/ping_group_range", "w") as file: file.write("0 2147483647")
made = {}
def make(protocol, *arguments, bind=None, connect=None):
    one = socket.socket(*arguments)
    if bind is not None: one.bind(bind)
    if connect is not None: one.connect(connect)
    made.setdefault(protocol, []).append(one)
    return one
inet, inet6, dgram, raw = socket.AF_INET, socket.AF_INET6, socket.SOCK_DGRAM, socket.SOCK_RAW
make("udplite", inet, dgram, 136, bind=("127.0.0.1", 0))
make("udplite", inet6, dgram, 136, bind=("::1", 7001), connect=("::1", 9))
make("raw", inet, raw, 89, bind=("127.0.0.1", 0))
make("raw", inet6, raw, 58, connect=("::1", 0))
make("icmp", inet, dgram, 1, bind=("127.0.0.1", 14))
make("icmp", inet6, dgram, 58, bind=("::1", 78))
make("icmp", inet, dgram, 1, connect=("127.0.0.1", 0))
make("packet", socket.AF_PACKET, raw, socket.htons(3))
make("packet", socket.AF_PACKET, dgram, 0, bind=("lo", 0x800))
make("packet", socket.AF_PACKET, raw, 0)
make("netlink", socket.AF_NETLINK, raw, 0, bind=(4711, 1))
make("netlink", socket.AF_NETLINK, raw, 16, bind=(4712, 0), connect=(0, 0))
listener = make("mptcp", inet, socket.SOCK_STREAM, 262, bind=("127.0.0.1", 6000)); listener.listen()
make("mptcp", inet, socket.SOCK_STREAM, 262, connect=("127.0.0.1", 6000))
made["mptcp"].append(listener.accept()[0])
make("tcp", inet, socket.SOCK_STREAM, connect=("127.0.0.1", 6000))
made["tcp"].append(listener.accept()[0])
make("bound", inet, socket.SOCK_STREAM, bind=("127.0.0.1", 6001))
ready(json.dumps({kind: [os.fstat(one.fileno()).st_ino for one in ones] for kind, ones in made.items()})); wait()
"""
INTERFACE_DELETED = """
import subprocess
subprocess.run("ip link add gone type veth peer name there", shell=True, check=True)
bound = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
bound.bind(("gone", 3))
subprocess.run("ip link delete gone", shell=True, check=True)
ready(os.fstat(bound.fileno()).st_ino); wait()
"""
OWN_PORTS = (0, 4711, 4712)
"""Of netlink sockets: the kernel's, and those made above. Others are of other scans, which look into every netns."""

BY_NETLINK = (Protocol.UDPLITE, Protocol.PACKET, Protocol.NETLINK)
BY_TEXT = (Protocol.UDPLITE, Protocol.RAW, Protocol.ICMP, Protocol.PACKET, Protocol.NETLINK)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """A process in a new netns with sockets of every kind."""
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS, Capability.IPV6)
    with start_child(SOCKETS, *IN_NEW_NETNS) as made:
        yield made


@pytest.fixture
def inside(child: Child) -> Iterator[SockDiag]:
    """A sock_diag socket in its netns."""
    with make_inside(child.pid, SockDiag) as diag:
        yield diag


def inodes_of(child: Child, kind: str) -> set[int]:
    """What the child's sockets of a kind say their inodes are."""
    return set(json.loads(child.said)[kind])


def dump_rows(diag: SockDiag, protocol: Protocol, *, deep: bool = False, tcp_info: bool = False) -> list[SocketRow]:
    table = diag.dump(protocol, make_buffer(), deep=deep, tcp_info=tcp_info).table
    rows, errors = decode_raw_table(table, "little")
    assert errors == []
    return rows


def text_rows(pid: int, protocol: Protocol) -> list[SocketRow]:
    rows = []
    for name, family, format_ in NET_FILES[protocol]:
        data = Path(f"/proc/{pid}/net/{name}").read_bytes().partition(b"\n")[2]
        decoded, errors = decode_raw_table(RawTable(format_, protocol, family, data), "little")
        assert errors == []
        rows += decoded
    return rows


def list_own_netlink(rows: list[SocketRow]) -> set[tuple[Endpoint, SocketInode]]:
    return {(row.local, row.inode) for row in rows if row.local.port in OWN_PORTS}


def list_ss(pid: int, *options: str) -> list[str]:
    """The rows that ss(8) has in the netns of a process."""
    require(Capability.SS, Capability.NSENTER)
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-Han", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("protocol", BY_TEXT)
def test_every_socket_stands_in_its_text_table(child: Child, protocol: Protocol) -> None:
    assert inodes_of(child, protocol) <= {row.inode for row in text_rows(child.pid, protocol)}


@pytest.mark.parametrize("protocol", BY_NETLINK)
def test_every_socket_stands_in_its_dump(child: Child, inside: SockDiag, protocol: Protocol) -> None:
    assert inodes_of(child, protocol) <= {row.inode for row in dump_rows(inside, protocol)}


def test_udplite_is_the_same_in_both_tables(child: Child, inside: SockDiag) -> None:
    dumped = [as_text_shows(row) for row in dump_rows(inside, Protocol.UDPLITE)]
    assert sorted(dumped, key=repr) == sorted(text_rows(child.pid, Protocol.UDPLITE), key=repr)


def test_packet_sockets_are_the_same_in_both_tables(child: Child, inside: SockDiag) -> None:
    dumped = [row._replace(cookie=None, tx_queue=None, rx_queue=0) for row in dump_rows(inside, Protocol.PACKET)]
    assert dumped == [row._replace(rx_queue=0) for row in text_rows(child.pid, Protocol.PACKET)]


def test_a_packet_socket_stays_in_both_tables_when_its_interface_is_deleted() -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS)
    with start_child(INTERFACE_DELETED, *IN_NEW_NETNS) as child, make_inside(child.pid, SockDiag) as inside:
        rows = (*dump_rows(inside, Protocol.PACKET), *text_rows(child.pid, Protocol.PACKET))
        assert [(row.inode, row.interface) for row in rows] == [(int(child.said), None)] * 2


def test_netlink_sockets_are_the_same_in_both_tables_but_for_the_other_end(child: Child, inside: SockDiag) -> None:
    dumped = list_own_netlink(dump_rows(inside, Protocol.NETLINK))
    assert dumped == list_own_netlink(text_rows(child.pid, Protocol.NETLINK))


def test_a_connected_netlink_socket_has_the_kernel_at_its_other_end(inside: SockDiag) -> None:
    (row,) = [row for row in dump_rows(inside, Protocol.NETLINK) if row.local == Endpoint("generic", 4712)]
    assert (row.state, row.remote) == (SocketState.ESTABLISHED, Endpoint("generic", 0))


def test_the_kernels_own_netlink_sockets_have_an_inode(inside: SockDiag) -> None:
    own = [row for row in dump_rows(inside, Protocol.NETLINK) if row.local == Endpoint("route", 0)]
    assert [bool(row.inode) for row in own] == [True]


def test_the_socket_that_dumps_stands_in_the_table_of_netlink_sockets(inside: SockDiag) -> None:
    assert inside.read_inode() in {row.inode for row in dump_rows(inside, Protocol.NETLINK)}


def test_there_are_as_many_packet_sockets_as_ss_has(child: Child, inside: SockDiag) -> None:
    assert len(dump_rows(inside, Protocol.PACKET)) == len(list_ss(child.pid, "-0"))


def test_there_are_as_many_mptcp_sockets_as_ss_has(child: Child, inside: SockDiag) -> None:
    rows, _ = decode_raw_table(inside.dump_mptcp(make_buffer()), "little")
    assert len(rows) == len(list_ss(child.pid, "-M"))


def test_ss_has_the_netlink_sockets_too(child: Child, inside: SockDiag) -> None:
    dumped = list_own_netlink(dump_rows(inside, Protocol.NETLINK))
    shown = [
        line for line in list_ss(child.pid, "-A", "netlink") if int(line.split()[3].partition(":")[2]) in OWN_PORTS
    ]
    # ss prints a socket with groups as often as the kernel does: twice.
    assert len(shown) == len(dumped) + 1


def test_the_mptcp_table_has_the_inodes_of_mptcp_sockets(child: Child, inside: SockDiag) -> None:
    rows, errors = decode_raw_table(inside.dump_mptcp(make_buffer()), "little")
    assert ({row.inode for row in rows}, errors) == (inodes_of(child, "mptcp"), [])


def test_the_tcp_rows_of_mptcp_sockets_have_their_inodes(child: Child, inside: SockDiag) -> None:
    expected = inodes_of(child, "mptcp") | inodes_of(child, "tcp")
    assert {row.inode for row in dump_rows(inside, Protocol.TCP)} == expected


def test_as_many_mptcp_sockets_are_counted_as_there_are(child: Child) -> None:
    require(Capability.MPTCP_COUNTS)
    counts = parse_net_protocols(Path(f"/proc/{child.pid}/net/protocols").read_text())
    assert count_mptcp(counts, os.uname().release) == len(inodes_of(child, "mptcp"))


def test_a_bound_socket_that_does_nothing_is_shown_by_a_deep_dump_alone(child: Child, inside: SockDiag) -> None:
    require(Capability.IDLE_SOCKETS)
    (inode,) = inodes_of(child, "bound")
    deep = [row.state for row in dump_rows(inside, Protocol.TCP, deep=True) if row.inode == inode]
    assert deep == [SocketState.BOUND_INACTIVE]
    assert inode not in {row.inode for row in dump_rows(inside, Protocol.TCP)}


def test_what_is_known_of_a_connection_is_what_the_socket_says_of_itself() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as server,
        SockDiag() as diag,
    ):
        client.sendall(bytes(10_000))
        while len(server.recv(10_000, socket.MSG_PEEK)) < 10_000:
            pass
        rows = {row.inode: row.tcp_info for row in dump_rows(diag, Protocol.TCP, tcp_info=True)}
        for one in (client, server):
            said = decode_tcp_info(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512), "little")
            assert rows[SocketInode(os.fstat(one.fileno()).st_ino)] == said
        assert rows[SocketInode(os.fstat(listener.fileno()).st_ino)] is None


def test_a_protocol_without_a_netlink_table_is_unavailable(inside: SockDiag) -> None:
    with pytest.raises(DumpUnavailable):
        inside.dump(Protocol.ICMP, make_buffer())


Make = Callable[[], socket.socket]


def make_bound() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made


def make_udplite() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE)
    made.bind(("127.0.0.1", 0))
    return made


def make_netlink() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    made.bind((0, 0))
    return made


@pytest.mark.parametrize(
    ("protocol", "make"),
    [
        (Protocol.TCP, make_bound),
        (Protocol.UDPLITE, make_udplite),
        (Protocol.PACKET, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)),
        (Protocol.NETLINK, make_netlink),
    ],
    ids=["bound", "udplite", "packet", "netlink"],
)
def test_a_closed_socket_is_told_from_one_that_is_there(protocol: Protocol, make: Make) -> None:
    require(Capability.ROOT, *([Capability.IDLE_SOCKETS] if make is make_bound else []))
    with SockDiag() as diag, make() as there:
        gone = make()
        inodes = {SocketInode(os.fstat(one.fileno()).st_ino) for one in (gone, there)}
        table = diag.dump(protocol, make_buffer(), deep=True).table
        asked = find_rows(table, inodes, "little")
        expected = SocketInode(os.fstat(gone.fileno()).st_ino)
        gone.close()
        assert len(asked) == len(inodes)
        assert diag.find_closed(table, asked, make_buffer()) == {expected}
