"""The accept queues of containers, added up."""

from nsagent.model.ids import ContainerId, Fd, SocketInode
from nsagent.model.net import Endpoint, Protocol, SocketState
from nsagent.model.snapshot import Attribution, Confidence, OwnedSocket, Owner
from nsagent.report.accept_queues import AcceptQueue, sum_accept_queues
from tests.report.conftest import HOST, NAMELESS_ID, WEB, WEB_ID, held, process, row


def listener(
    port: int,
    used: int,
    limit: int | None,
    container_id: ContainerId | None = WEB_ID,
    *,
    protocol: Protocol = Protocol.TCP,
    state: SocketState = SocketState.LISTEN,
) -> OwnedSocket:
    owner = Owner(process(port, "server", WEB, container_id), (Fd(3),))
    any_address = Endpoint("0.0.0.0", 0)
    table_row = row(
        state, Endpoint("0.0.0.0", port), any_address, protocol=protocol, inode=SocketInode(port), queues=(used, limit)
    )
    return held(HOST, table_row, owner)


def test_the_listeners_of_a_container_are_added_up() -> None:
    first, second = listener(80, 1, 128), listener(81, 3, 5)
    assert sum_accept_queues([first, second, listener(82, 0, 128)]) == {WEB_ID: AcceptQueue(3, 4, 261, second)}


def test_each_container_has_its_own() -> None:
    ours, theirs = listener(80, 1, 128), listener(81, 2, 5, NAMELESS_ID)
    assert sum_accept_queues([ours, theirs]) == {
        WEB_ID: AcceptQueue(1, 1, 128, ours),
        NAMELESS_ID: AcceptQueue(1, 2, 5, theirs),
    }


def test_the_sum_of_limits_is_not_known_where_one_is_not() -> None:
    waiting = listener(80, 1, None)
    assert sum_accept_queues([waiting, listener(81, 0, 5)]) == {WEB_ID: AcceptQueue(2, 1, None, waiting)}


def test_no_listener_is_fullest_where_no_connection_waits() -> None:
    assert sum_accept_queues([listener(80, 0, 128)]) == {WEB_ID: AcceptQueue(1, 0, 128, None)}


def test_the_fullest_is_nearest_to_its_limit_and_not_the_longest() -> None:
    full = listener(81, 2, 2)
    assert sum_accept_queues([listener(80, 50, 128), full])[WEB_ID].fullest == full


def test_a_backlog_of_zero_takes_one_connection() -> None:
    full = listener(80, 1, 0)
    assert sum_accept_queues([full, listener(81, 60, 128)])[WEB_ID].fullest == full


def test_what_is_no_tcp_listener_of_a_container_does_not_count() -> None:
    inferred = listener(80, 1, 128)._replace(attribution=Attribution.LISTENER, confidence=Confidence.INFERRED)
    others = [
        listener(81, 1, 128, None),
        listener(82, 1, 128, protocol=Protocol.SCTP),
        listener(83, 1, 128, state=SocketState.ESTABLISHED),
        inferred,
    ]
    assert sum_accept_queues(others) == {}
