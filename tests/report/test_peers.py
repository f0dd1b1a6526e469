"""Whose a peer is and who began, by addresses and ports."""

import pytest

from nsagent.model.net import Endpoint, Family, Protocol, SocketRow, SocketState
from nsagent.model.snapshot import OwnedSocket, Snapshot, Verdict, VerdictKind
from nsagent.report.peers import Direction, PeerKind, Peers, has_peer
from tests.report.conftest import HOST, WEB, ownerless, row

UNKNOWN = Verdict(VerdictKind.UNKNOWN, None, "")
PLAIN = 4026532900


def connection(local: str, remote: str, netns: int = WEB, port: int = 40_000) -> OwnedSocket:
    family = Family.IPV6 if ":" in remote else Family.IPV4
    table_row = row(SocketState.ESTABLISHED, Endpoint(local, port), Endpoint(remote, 443), family=family)
    return ownerless(netns, table_row, UNKNOWN)


def peers_of(snapshot: Snapshot, *sockets: OwnedSocket) -> Peers:
    plain = snapshot.netns[1]._replace(inode=PLAIN, pods=(), containers=())
    return Peers(snapshot._replace(netns=(*snapshot.netns, plain), sockets=sockets))


@pytest.mark.parametrize(
    ("remote", "kind"),
    [
        ("127.0.0.9", PeerKind.LOOPBACK),
        ("::1", PeerKind.LOOPBACK),
        ("10.0.0.2", PeerKind.LOOPBACK),
        ("192.0.2.1", PeerKind.HOST),
        ("10.0.0.3", PeerKind.POD),
        ("10.0.0.4", PeerKind.CONTAINER),
        ("10.255.0.1", PeerKind.PRIVATE),
        ("172.16.0.1", PeerKind.PRIVATE),
        ("172.31.255.1", PeerKind.PRIVATE),
        ("192.168.1.1", PeerKind.PRIVATE),
        ("100.64.0.1", PeerKind.PRIVATE),
        ("100.127.0.1", PeerKind.PRIVATE),
        ("169.254.1.1", PeerKind.PRIVATE),
        ("fd00::1", PeerKind.PRIVATE),
        ("fc12::1", PeerKind.PRIVATE),
        ("fe80::1", PeerKind.PRIVATE),
        ("febf::1", PeerKind.PRIVATE),
        ("172.15.0.1", PeerKind.PUBLIC),
        ("172.32.0.1", PeerKind.PUBLIC),
        ("100.63.0.1", PeerKind.PUBLIC),
        ("100.128.0.1", PeerKind.PUBLIC),
        ("9.10.0.1", PeerKind.PUBLIC),
        ("fec0::1", PeerKind.PUBLIC),
        ("::10.0.0.1", PeerKind.PUBLIC),
        ("2001:db8::1", PeerKind.PUBLIC),
    ],
)
def test_the_kind_of_a_peer_is_where_its_address_is(snapshot: Snapshot, remote: str, kind: PeerKind) -> None:
    asked = connection("10.0.0.2", remote)
    others = (
        connection("192.0.2.1", "198.51.100.1", HOST),
        connection("192.0.2.1", "198.51.100.1", PLAIN),
        connection("10.0.0.3", "198.51.100.1", -4026533000),
        connection("10.0.0.4", "198.51.100.1", PLAIN),
    )
    pod = snapshot.netns[2]._replace(pods=snapshot.netns[1].pods)
    with_pod = snapshot._replace(netns=(*snapshot.netns[:2], pod))
    assert peers_of(with_pod, asked, *others).find_kind(asked) is kind


@pytest.mark.parametrize(
    ("netns", "protocol", "port", "direction"),
    [
        (WEB, Protocol.TCP, 80, Direction.IN),
        (WEB, Protocol.TCP, 81, Direction.OUT),
        (HOST, Protocol.TCP, 80, Direction.OUT),
        (WEB, Protocol.UDP, 80, Direction.OUT),
    ],
)
def test_a_connection_came_in_where_its_port_has_a_listener(
    snapshot: Snapshot, netns: int, protocol: Protocol, port: int, direction: Direction
) -> None:
    asked = connection("10.0.0.2", "10.0.0.1", netns, port)
    asked = asked._replace(row=asked.row._replace(protocol=protocol))
    assert Peers(snapshot).find_direction(asked) is direction


@pytest.mark.parametrize(
    ("table_row", "has"),
    [
        (row(SocketState.ESTABLISHED, Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2)), True),
        (row(SocketState.LISTEN, Endpoint("::", 1), Endpoint("::", 0), family=Family.IPV6), False),
        (row(SocketState.CLOSE, Endpoint("0.0.0.0", 1), Endpoint("0.0.0.0", 0), protocol=Protocol.UDP), False),
        (
            row(
                SocketState.ESTABLISHED,
                Endpoint("route", 1),
                Endpoint("route", 0),
                protocol=Protocol.NETLINK,
                family=Family.NETLINK,
            ),
            False,
        ),
    ],
)
def test_only_rows_of_ip_with_a_remote_have_a_peer(table_row: SocketRow, has: bool) -> None:
    assert has_peer(table_row) is has
