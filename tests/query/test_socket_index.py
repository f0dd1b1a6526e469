"""What it costs to find sockets by their ends; who is found is a matter of tests.query.test_who."""

from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import OwnedSocket
from nsagent.query.endpoint import AskedEnd
from nsagent.query.socket_index import SocketIndex
from tests.cpu_time import cpu_seconds
from tests.scan.snapshots import process, snapshot, socket

MANY = 40_000
HTTPD = process(10, "httpd")


def connected(port: int) -> OwnedSocket:
    """A UDP socket of one local end, connected to this port: with SO_REUSEPORT many may be to the same."""
    local, remote = Endpoint("10.0.0.1", 53), Endpoint("10.0.0.2", port)
    return socket(SocketState.ESTABLISHED, local, remote, HTTPD, protocol=Protocol.UDP)


def test_many_sockets_with_the_same_ends_take_no_longer_than_as_many_with_others() -> None:
    alike = snapshot(*[connected(1)] * MANY)
    apart = snapshot(*map(connected, range(MANY)))
    assert len({one.row.remote for one in apart.sockets}) == MANY
    taken = cpu_seconds(lambda: SocketIndex(alike, flows=True))
    assert taken < 5 * cpu_seconds(lambda: SocketIndex(apart, flows=True))


def test_all_sockets_with_the_same_ends_hold_them_in_the_order_of_the_snapshot() -> None:
    same = [connected(1)._replace(verdict=None, owners=()), connected(1), connected(1)._replace(container_id=None)]
    held = SocketIndex(snapshot(same[0], connected(2), *same[1:])).hold(
        Protocol.UDP, AskedEnd("10.0.0.1", 53), AskedEnd("10.0.0.2", 1)
    )
    assert held.connected == tuple(same)
