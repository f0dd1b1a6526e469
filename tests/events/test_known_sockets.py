"""What is kept of snapshots for the sake of sockets that are closing."""

from weakref import ref

import pytest

from nsagent.events.known_sockets import KnownSockets
from nsagent.model.container import Container
from nsagent.model.ids import SocketCookie
from nsagent.model.net import Endpoint, SocketState
from nsagent.model.snapshot import OwnedSocket, VerdictKind
from tests.scan.snapshots import HOST, container, make_netns, process, snapshot, socket

SERVER, CLIENT = Endpoint("10.0.0.2", 80), Endpoint("10.0.0.3", 40000)
SHOP = container("shop")
HTTPD = process(10, "httpd", container=SHOP)
OPEN = socket(SocketState.ESTABLISHED, SERVER, CLIENT, HTTPD, netns=HOST, cookie=5)
ORPHAN = socket(SocketState.FIN_WAIT1, SERVER, CLIENT, netns=HOST, cookie=5, verdict=VerdictKind.ORPHAN)
TIME_WAIT = socket(SocketState.TIME_WAIT, SERVER, CLIENT, netns=HOST, cookie=5, verdict=VerdictKind.TIME_WAIT)


@pytest.mark.parametrize("closing", [ORPHAN, TIME_WAIT])
@pytest.mark.parametrize(("containers", "is_kept"), [([SHOP], False), ([], True)], ids=["lives", "is gone"])
def test_an_earlier_snapshot_is_kept_only_for_what_the_last_one_does_not_name(
    closing: OwnedSocket, containers: list[Container], *, is_kept: bool
) -> None:
    known = KnownSockets()
    first = ref(known.learn(snapshot(OPEN, netns=(make_netns(HOST),), containers=[SHOP]), 1.0).telling)
    for now in (2.0, 3.0):
        known.learn(snapshot(closing, netns=(make_netns(HOST),), containers=containers), now)
    assert (first() is not None) is is_kept
    found = known.take(SocketCookie(5))
    assert found is not None
    assert (found.socket, found.since) == (OPEN, 1.0)
    assert found.telling.list_context(OPEN)[0] == SHOP
