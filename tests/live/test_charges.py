"""To whom a row without an owner is charged: the listener through which its connection came in."""

from typing import NamedTuple

import pytest

from tests.live.actors import Actor, Held
from tests.live.closed_bed import ClosedBed
from tests.live.coverage import is_whole
from tests.live.deadlines import until
from tests.live.netns_bed import MadeNetns
from tests.live.nsagent_cli import Socket


class Stage(NamedTuple):
    """A netns of a closed bed with a server and a client in it."""

    bed: ClosedBed
    netns: MadeNetns
    server: Actor
    client: Actor

    def ownerless(self, state: str) -> list[Socket]:
        """The rows in this state that nobody holds, of the first scan with such a row; it saw everything."""
        return until(lambda: self._list_ownerless(state), f"a row in {state} has no owner")

    def _list_ownerless(self, state: str) -> list[Socket]:
        scan = self.bed.scan()
        assert is_whole(scan.coverage)
        return [row for row in scan.of_netns(self.netns.inode) if row["state"] == state and not row["owners"]]


@pytest.fixture
def stage(closed_bed: ClosedBed) -> Stage:
    netns, server = closed_bed.netns_bed.stage()
    return Stage(closed_bed, netns, server, closed_bed.netns_bed.actor(netns))


def charge(row: Socket) -> tuple[str, object, str, str]:
    """The verdict, to whom the row is charged, and by what."""
    verdict = row["verdict"]
    return verdict["kind"], verdict["charged_to"], row["attribution"], row["confidence"]


def to(pid: int | None) -> dict[str, object]:
    return {"pid": pid, "container_id": None}


def test_a_connection_that_waits_is_charged_to_its_listener(stage: Stage) -> None:
    listener = stage.server.listen()
    stage.client.connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("established")
    assert row["local"]["port"] == listener.port
    assert charge(row) == ("accept_queue", to(stage.server.pid), "none", "none")


def test_of_two_listeners_on_a_port_neither_is_charged(stage: Stage) -> None:
    listener = stage.server.listen_shared()
    stage.client.listen_shared(listener.port)
    stage.bed.netns_bed.actor(stage.netns).connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("established")
    assert charge(row) == ("accept_queue", to(None), "none", "none")


def test_of_two_addresses_the_one_that_took_the_connection_is_charged(stage: Stage) -> None:
    first = stage.server.listen("127.0.0.1")
    stage.client.listen("127.0.0.2", first.port)
    stage.client.connect("127.0.0.1", first.port)
    (row,) = stage.ownerless("established")
    assert charge(row) == ("accept_queue", to(stage.server.pid), "none", "none")


def test_a_listener_of_another_netns_is_not_charged(stage: Stage) -> None:
    listener = stage.server.listen()
    _, other = stage.bed.netns_bed.stage()
    other.listen(port=listener.port)
    stage.client.connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("established")
    assert charge(row) == ("accept_queue", to(stage.server.pid), "none", "none")


def test_a_shared_listener_is_charged_to_the_process_that_was_first(stage: Stage) -> None:
    listener = stage.server.listen()
    stage.server.fork()
    stage.client.connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("established")
    assert charge(row) == ("accept_queue", to(stage.server.pid), "none", "none")


def test_a_handshake_is_charged_to_its_listener(stage: Stage) -> None:
    listener = stage.server.listen()
    stage.server.ask("await_data", fd=listener.fd)
    stage.client.connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("syn_recv")
    assert charge(row) == ("syn_recv", to(stage.server.pid), "none", "none")


def close_first(stage: Stage, *, server: bool) -> Held:
    """A connection that one end closed before the other: that end is in TIME_WAIT; the listener."""
    listener = stage.server.listen()
    pair = stage.server.pair(listener, stage.client)
    ends = [(stage.server, pair.server), (stage.client, pair.client)]
    for actor, end in ends if server else reversed(ends):
        actor.drop(end)
    stage.ownerless("time_wait")
    return listener


def test_the_servers_time_wait_is_charged_to_its_listener(stage: Stage) -> None:
    listener = close_first(stage, server=True)
    (row,) = stage.ownerless("time_wait")
    assert row["local"]["port"] == listener.port
    assert charge(row) == ("time_wait", to(stage.server.pid), "none", "none")


def test_the_clients_time_wait_is_charged_to_nobody(stage: Stage) -> None:
    listener = close_first(stage, server=False)
    (row,) = stage.ownerless("time_wait")
    assert row["remote"]["port"] == listener.port
    assert charge(row) == ("time_wait", None, "none", "none")


@pytest.mark.parametrize("side", ["server", "client"])
def test_an_orphan_is_charged_only_where_a_listener_has_its_port(stage: Stage, side: str) -> None:
    """It is closed while it still has to send what the other end does not read."""
    pair = stage.server.pair(stage.server.listen(), stage.client)
    actor, end = (stage.server, pair.server) if side == "server" else (stage.client, pair.client)
    actor.ask("fill", fd=end.fd)
    actor.drop(end)
    (row,) = stage.ownerless("fin_wait1")
    assert (row["local"]["port"], row["inode"]) == (end.port, None)
    assert charge(row) == ("orphan", to(stage.server.pid) if side == "server" else None, "none", "none")


def test_a_listener_in_flight_is_charged_to_nobody_and_its_connections_neither(stage: Stage) -> None:
    listener = stage.server.listen()
    stage.client.connect("127.0.0.1", listener.port)
    stage.server.ask("leave_in_flight", fd=listener.fd)
    scan = stage.bed.scan()
    assert charge(scan.one(listener.inode)) == ("in_flight", None, "none", "none")
    (row,) = stage.ownerless("established")
    assert charge(row) == ("accept_queue", None, "none", "none")


def test_a_closed_bed_holds_no_socket_but_those_of_the_test(stage: Stage) -> None:
    assert stage.bed.scan().sockets == []
