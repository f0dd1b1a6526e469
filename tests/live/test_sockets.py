"""What a row says of its socket: holders, endpoints, queues, owner's uid, and why it has none."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.live.actors import Actor, owners_of
from tests.live.deadlines import until
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import Socket, owners_in, run_nsagent, run_scan, verdict_kind
from tests.live.rows import read_ss_rows
from tests.live.unprivileged import UID


@pytest.fixture
def stage(bed: NetnsBed) -> tuple[MadeNetns, Actor]:
    return bed.stage()


@pytest.fixture
def actor(stage: tuple[MadeNetns, Actor]) -> Actor:
    return stage[1]


def endpoint(address: str, port: int) -> dict[str, Any]:
    return {"address": address, "port": port}


def ends(socket: Socket) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both endpoints, without what is said only of mapped addresses."""
    local, remote = socket["local"], socket["remote"]
    return endpoint(local["address"], local["port"]), endpoint(remote["address"], remote["port"])


def test_all_holders_of_a_socket_shared_by_forks_are_listed_in_order(actor: Actor) -> None:
    held = actor.listen()
    children = [actor.fork() for _ in range(3)]
    socket = run_scan().one(held.inode)
    assert owners_in(socket) == {pid: [held.fd] for pid in (actor.pid, *children)}
    order = [(owner["start_ticks"], owner["pid"]) for owner in socket["owners"]]
    assert order == sorted(order)


def test_an_owner_lists_every_fd_on_the_socket(actor: Actor) -> None:
    held = actor.listen()
    copy = actor.dup(held)
    assert owners_in(run_scan().one(held.inode)) == owners_of(held, copy)


def test_an_unconnected_udp_socket_has_no_remote(actor: Actor) -> None:
    held = actor.udp()
    socket = run_scan().one(held.inode)
    assert (socket["protocol"], socket["family"], socket["state"]) == ("udp", "ipv4", "close")
    assert ends(socket) == (endpoint("127.0.0.1", held.port), endpoint("0.0.0.0", 0))
    assert owners_in(socket) == owners_of(held)


def test_a_connected_udp_socket_has_its_remote(actor: Actor) -> None:
    held = actor.connect_udp(actor.udp(), "127.0.0.1", 9)
    socket = run_scan().one(held.inode)
    assert (socket["protocol"], socket["state"]) == ("udp", "established")
    assert ends(socket) == (endpoint("127.0.0.1", held.port), endpoint("127.0.0.1", 9))


def test_both_ends_of_an_ipv6_connection_are_shown(actor: Actor) -> None:
    listener = actor.listen("::1", family="ipv6")
    pair = actor.pair(listener, address="::1", family="ipv6")
    scan = run_scan()
    for end, other in (pair, reversed(pair)):
        socket = scan.one(end.inode)
        assert (socket["family"], socket["mapped"], socket["state"]) == ("ipv6", False, "established")
        assert ends(socket) == (endpoint("::1", end.port), endpoint("::1", other.port))


@pytest.mark.parametrize("v6only", [False, True])
def test_a_listener_on_any_ipv6_address_says_whether_it_takes_ipv4(actor: Actor, v6only: bool) -> None:
    held = actor.listen("::", family="ipv6", v6only=v6only)
    socket = run_scan().one(held.inode)
    assert (socket["family"], socket["mapped"], socket["v6only"]) == ("ipv6", False, v6only)
    assert ends(socket) == (endpoint("::", held.port), endpoint("::", 0))


def test_an_ipv4_client_of_a_dual_stack_listener_is_shown_as_ipv4_and_mapped(actor: Actor) -> None:
    pair = actor.pair(actor.listen("::", family="ipv6", v6only=False))
    scan = run_scan()
    server, client = scan.one(pair.server.inode), scan.one(pair.client.inode)
    assert (server["family"], server["mapped"]) == ("ipv4", True)
    assert (client["family"], client["mapped"]) == ("ipv4", False)
    assert ends(server) == (endpoint("127.0.0.1", pair.server.port), endpoint("127.0.0.1", pair.client.port))
    assert ends(client) == tuple(reversed(ends(server)))
    assert server["local"]["raw_address"] == "::ffff:127.0.0.1"


def test_an_ipv4_listener_has_no_v6only(actor: Actor) -> None:
    held = actor.listen()
    assert run_scan().one(held.inode)["v6only"] is None


def test_a_socket_bound_to_an_interface_names_it(actor: Actor) -> None:
    held = actor.udp("0.0.0.0", device="lo")
    assert run_scan().one(held.inode)["interface"] == "lo"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("scope", [0x7FFFFFFF, 0xFFFFFFFF])
def test_a_socket_of_anybody_that_is_bound_to_no_real_interface_has_its_number(
    actor: Actor, tmp_path: Path, protocol: str, scope: int
) -> None:
    actor.ask("become", uid=UID)
    held = actor.hold_scope(protocol, scope)
    capture = os.fspath(tmp_path / "capture")
    assert run_nsagent("capture", capture).status == 0
    for options in ((), ("--from", capture)):
        socket = run_scan(*options).one(held.inode)
        assert (socket["interface"], owners_in(socket)) == (f"if{scope}", owners_of(held))
        assert f" *%if{scope}:{held.port} " in run_nsagent("scan", *options).stdout.decode()


def test_a_listener_shows_its_accept_queue_and_its_limit(actor: Actor) -> None:
    listener = actor.listen(backlog=5)
    for _ in range(2):
        actor.connect("127.0.0.1", listener.port)
    socket = run_scan().one(listener.inode)
    assert socket["accept_queue"] == {"used": 2, "limit": 5}
    assert (socket["rx_queue_bytes"], socket["tx_queue_bytes"]) == (None, None)


def test_an_unaccepted_connection_has_a_row_without_inode_or_owner(stage: tuple[MadeNetns, Actor]) -> None:
    netns, actor = stage
    listener = actor.listen()
    client = actor.connect("127.0.0.1", listener.port)
    (waiting,) = (row for row in run_scan().of_netns(netns.inode) if row["remote"]["port"] == client.port)
    assert (waiting["state"], waiting["inode"], waiting["owners"]) == ("established", None, [])
    assert waiting["verdict"] is not None


def test_unread_bytes_stand_in_the_receive_queue(actor: Actor) -> None:
    pair = actor.pair(actor.listen())
    actor.ask("send", fd=pair.client.fd, count=1000)
    scan = run_scan()
    assert scan.one(pair.server.inode)["rx_queue_bytes"] == 1000
    assert scan.one(pair.client.inode)["tx_queue_bytes"] == 0
    assert scan.one(pair.server.inode)["accept_queue"] is None


def test_a_time_wait_row_belongs_to_nobody(stage: tuple[MadeNetns, Actor]) -> None:
    netns, actor = stage
    pair = actor.pair(actor.listen())
    actor.drop(pair.client)
    actor.drop(pair.server)
    until(lambda: "time_wait" in {row.state for row in read_ss_rows(netns.path)}, "a row is in TIME_WAIT")
    (row,) = (socket for socket in run_scan().of_netns(netns.inode) if socket["state"] == "time_wait")
    assert ends(row) == (endpoint("127.0.0.1", pair.client.port), endpoint("127.0.0.1", pair.server.port))
    assert (row["inode"], row["uid"], row["owners"], row["container_id"]) == (None, None, [], None)
    assert (verdict_kind(row), row["attribution"], row["confidence"]) == ("time_wait", "none", "none")


def test_a_half_closed_connection_keeps_its_owners(stage: tuple[MadeNetns, Actor]) -> None:
    netns, actor = stage
    pair = actor.pair(actor.listen())
    actor.shutdown(pair.client)
    until(lambda: "fin_wait2" in {row.state for row in read_ss_rows(netns.path)}, "the FIN is acknowledged")
    scan = run_scan()
    for end, state in zip(pair, ("fin_wait2", "close_wait"), strict=True):
        socket = scan.one(end.inode)
        assert (socket["state"], owners_in(socket), socket["verdict"]) == (state, owners_of(end), None)


def test_a_held_row_is_attributed_by_its_fd(actor: Actor) -> None:
    held = actor.listen()
    socket = run_scan().one(held.inode)
    assert (socket["attribution"], socket["confidence"], socket["flags"]) == ("fd", "exact", [])
    assert (socket["container_id"], socket["verdict"], socket["mptcp"]) == (None, None, False)


@pytest.mark.parametrize("uid", [0, 1000, 65534])
def test_a_row_has_the_uid_of_its_maker(actor: Actor, uid: int) -> None:
    actor.ask("become", uid=uid)
    held = actor.listen()
    assert run_scan().one(held.inode)["uid"] == uid


def test_a_bound_socket_that_does_nothing_is_no_row(stage: tuple[MadeNetns, Actor]) -> None:
    netns, actor = stage
    actor.bound()
    listener = actor.listen()
    assert [socket["inode"] for socket in run_scan().of_netns(netns.inode)] == [listener.inode]


@pytest.mark.parametrize("engine", ["sock_diag", "proc"])
def test_a_closed_connection_tells_how_long_it_is_kept(stage: tuple[MadeNetns, Actor], engine: str) -> None:
    netns, actor = stage
    listener = actor.listen()
    for end in actor.pair(listener):
        actor.drop(end)
    rows = run_scan("--netns", str(netns.inode), "--engine", engine).sockets
    timers = {row["state"]: row["timer"] for row in rows}
    assert (timers["listen"], sorted(timers)) == (None, ["listen", "time_wait"])
    assert 0 < timers["time_wait"].pop("expires_seconds") <= 60
    assert timers["time_wait"] == {"kind": "timewait", "retransmits": 0}
