"""What Debian's Linux 6.1 tells in its own way: recorded tables to rows, owners and charges."""

from socket import AF_UNSPEC

import pytest

from nsagent.kernel.formats.raw_table import decode_netns
from nsagent.model.choices import EngineName
from nsagent.model.facts import NetnsReading, RawTable, TableFormat
from nsagent.model.ids import Pid
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import ChargedTo, Snapshot, VerdictKind
from nsagent.report.addresses import local_text
from nsagent.scan.attribute import attribute
from tests.kernel.rows import FIXTURES, four, six
from tests.scan.facts import facts, netns, reading

RECORDED = FIXTURES / "linux-6.1"
LISTEN, ESTABLISHED = SocketState.LISTEN, SocketState.ESTABLISHED
ANY, ANY6 = four(0, "0.0.0.0"), six(0, "::")


def dump(protocol: Protocol) -> RawTable:
    return RawTable(TableFormat.INET_DIAG, protocol, AF_UNSPEC, (RECORDED / f"{protocol}.bin").read_bytes())


def text(name: str, format_: TableFormat) -> RawTable:
    """A table of SCTP as it is read: without its header line, and twice."""
    return RawTable(format_, Protocol.SCTP, AF_UNSPEC, 2 * (RECORDED / name).read_bytes().partition(b"\n")[2])


ENDPOINTS = text("eps", TableFormat.NET_SCTP_ENDPOINTS)
ASSOCIATIONS = text("assocs", TableFormat.NET_SCTP_ASSOCIATIONS)


def of(*tables: RawTable) -> NetnsReading:
    return netns(*tables, engine=EngineName.SOCK_DIAG)


def test_each_association_of_sctp_stands_there_once_and_with_its_own_ends() -> None:
    rows, damage = decode_netns(of(dump(Protocol.SCTP), ENDPOINTS, ASSOCIATIONS), "little")
    assert damage == []
    assert [(row.state, row.local, row.remote, row.inode) for row in rows] == [
        (LISTEN, four(5000), ANY, 42163),
        (LISTEN, six(5001), ANY6, 41644),
        (LISTEN, six(5002, "::"), ANY6, 42166),
        (ESTABLISHED, six(5001), six(40700), 42165),
        (ESTABLISHED, four(5000), four(33783), 41643),
        (ESTABLISHED, six(40700), six(5001), 41645),
        (ESTABLISHED, four(33783), four(5000), 42164),
    ]


def test_what_only_sock_diag_tells_of_an_sctp_socket_is_kept() -> None:
    rows, _ = decode_netns(of(dump(Protocol.SCTP), ENDPOINTS, ASSOCIATIONS), "little")
    assert [(row.cookie, row.cgroup_id, row.v6only) for row in rows] == [
        (1525, 8130, None),
        (6640, 8130, False),
        (1528, 8130, False),
        (1527, 8130, None),
        (6639, 8130, None),
        (6641, 8130, None),
        (1526, 8130, None),
    ]
    assert [(row.rx_queue, row.tx_queue) for row in rows if row.state is LISTEN] == [(0, 128)] * 3


def test_a_dump_of_sctp_alone_is_shown_as_it_is() -> None:
    rows, _ = decode_netns(of(dump(Protocol.SCTP)), "little")
    assert [row.local for row in rows if row.inode == 41645] == [six(40700), Endpoint("::", 40700)]


def test_a_raw_socket_of_ipv6_is_not_shown_as_one_of_both_families() -> None:
    rows, _ = decode_netns(of(dump(Protocol.RAW)), "little")
    assert [local_text(row, None) for row in rows] == ["0.0.0.0:icmp", "[::]:ipv6-icmp"]


def look(release: str, *, others: bool = False) -> Snapshot:
    """A plain user's server at work, and a client of its own; with `others` a program of root beside it."""
    processes = [reading(200, {3: 42169, 4: 42171, 5: 42172}, uid=1000), reading(2, kernel_thread=True)]
    if others:
        processes.append(reading(300, {3: 42173}))
    return attribute(facts(processes, [of(dump(Protocol.TCP))])._replace(kernel_release=release))


@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside root's"])
def test_the_uid_0_of_what_no_fd_can_hold_charges_nobody_and_clears_nobody(others: bool) -> None:
    """The connection in the queue is the plain user's listener's, and the closed one, a client's, is nobody's."""
    bare = [socket for socket in look("6.1.0-56-amd64", others=others).sockets if not socket.row.inode]
    assert [
        (socket.row.local.port, socket.verdict and (socket.verdict.kind, socket.verdict.charged_to)) for socket in bare
    ] == [
        (6001, (VerdictKind.ACCEPT_QUEUE, ChargedTo(Pid(200), None))),
        (33966, (VerdictKind.ORPHAN, None)),
    ]


@pytest.mark.parametrize(("release", "uids"), [("6.1.0-56-amd64", {None}), ("6.17.0", {0})])
def test_what_no_fd_can_hold_has_no_uid_where_the_kernel_makes_it_up(release: str, uids: set[int | None]) -> None:
    assert {socket.row.uid for socket in look(release).sockets if not socket.row.inode} == uids
    assert {socket.row.uid for socket in look(release).sockets if socket.row.inode} == {0, 1000}
