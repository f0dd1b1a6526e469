"""To whom a row without an owner is charged: the listener through which its connection came in."""

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.live.actors import Actor, Held
from tests.live.capabilities import Capability, require
from tests.live.closed_bed import ClosedBed
from tests.live.coverage import is_whole
from tests.live.deadlines import until
from tests.live.made_cgroups import V2, MadeCgroups, find_hierarchies
from tests.live.netns_bed import MadeNetns
from tests.live.nsagent_cli import Socket
from tests.live.unprivileged import UID

PORT = 8092
"""None that a kernel gives to clients, unless it is told to."""


SCAN_SECONDS = 1.0
"""So much later than a table was dumped its time may be noted on a busy machine."""


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
    assert charge(row) == ("accept_queue", to(stage.server.pid), "none", "inferred")


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
    assert charge(row) == ("accept_queue", to(stage.server.pid), "none", "inferred")


def test_a_listener_of_another_netns_is_not_charged(stage: Stage) -> None:
    listener = stage.server.listen()
    _, other = stage.bed.netns_bed.stage()
    other.listen(port=listener.port)
    stage.client.connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("established")
    assert charge(row) == ("accept_queue", to(stage.server.pid), "none", "inferred")


def test_a_shared_listener_is_charged_to_the_process_that_was_first(stage: Stage) -> None:
    listener = stage.server.listen()
    stage.server.fork()
    stage.client.connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("established")
    assert charge(row) == ("accept_queue", to(stage.server.pid), "none", "inferred")


def test_a_handshake_is_charged_to_its_listener(stage: Stage) -> None:
    listener = stage.server.listen()
    stage.server.ask("await_data", fd=listener.fd)
    stage.client.connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("syn_recv")
    assert charge(row) == ("syn_recv", to(stage.server.pid), "none", "inferred")


def close_first(stage: Stage, *, server: bool, port: int = PORT) -> Held:
    """A connection that one end closed before the other: that end is in TIME_WAIT; the listener."""
    listener = stage.server.listen(port=port)
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
    assert charge(row) == ("time_wait", to(stage.server.pid), "none", "inferred")


def test_the_clients_time_wait_is_charged_to_nobody(stage: Stage) -> None:
    listener = close_first(stage, server=False)
    (row,) = stage.ownerless("time_wait")
    assert row["remote"]["port"] == listener.port
    assert charge(row) == ("time_wait", None, "none", "none")


def test_a_time_wait_on_a_port_that_this_netns_gives_to_clients_is_charged_to_nobody(stage: Stage) -> None:
    stage.bed.run(
        "ip", "netns", "exec", stage.netns.name or "", "sysctl", "-qw", "net.ipv4.ip_local_port_range=8000 9000"
    )
    close_first(stage, server=True)
    (row,) = stage.ownerless("time_wait")
    assert charge(row) == ("time_wait", None, "none", "none")


def test_the_time_wait_of_a_client_is_not_charged_to_who_listens_on_its_port_later(stage: Stage) -> None:
    listener = stage.server.listen()
    client = stage.client.connect_from(40000, listener.port)
    accepted = stage.server.accept(listener)
    stage.client.drop(client)
    stage.server.drop(accepted)
    until(lambda: stage.ownerless("time_wait"), "a row is in TIME_WAIT")
    stage.server.listen_shared(40000)
    (row,) = stage.ownerless("time_wait")
    assert (row["local"]["port"], charge(row)) == (40000, ("time_wait", None, "none", "none"))


def test_what_was_closed_before_the_process_of_its_listener_began_is_not_charged_to_it(stage: Stage) -> None:
    """It never had that connection: here a client had, on a port that it chose itself, as one of NFS does."""
    listener = stage.server.listen()
    client = stage.client.connect_from(PORT, listener.port)
    accepted = stage.server.accept(listener)
    stage.client.drop(client)
    stage.server.drop(accepted)
    until(lambda: stage.ownerless("time_wait"), "a row is in TIME_WAIT")
    time.sleep(SCAN_SECONDS)
    stage.bed.netns_bed.actor(stage.netns).listen_shared(PORT)
    (row,) = stage.ownerless("time_wait")
    assert (row["local"]["port"], charge(row)) == (PORT, ("time_wait", None, "none", "none"))


def test_listeners_of_one_process_on_a_port_are_that_process(stage: Stage) -> None:
    listener = stage.server.listen_shared()
    stage.server.listen_shared(listener.port)
    stage.client.connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("established")
    assert charge(row) == ("accept_queue", to(stage.server.pid), "none", "inferred")


def test_listeners_of_one_container_on_a_port_are_that_container(cgroups: MadeCgroups, stage: Stage) -> None:
    """Which of its processes took the connection is not known."""
    id_ = secrets.token_hex(32)
    for directory in cgroups.make(f"docker/{id_}", find_hierarchies()):
        enter_cgroup(stage, stage.server, directory)
        enter_cgroup(stage, stage.client, directory)
    listener = stage.server.listen_shared()
    stage.client.listen_shared(listener.port)
    stage.bed.netns_bed.actor(stage.netns).connect("127.0.0.1", listener.port)
    (row,) = stage.ownerless("established")
    assert charge(row) == ("accept_queue", {"pid": None, "container_id": id_}, "listener", "inferred")


@pytest.mark.parametrize("state", ["established", "syn_recv"])
def test_of_listeners_on_different_devices_the_one_on_the_rows_is_charged(stage: Stage, state: str) -> None:
    listener = listen_on_devices(stage)
    if state == "syn_recv":
        stage.server.ask("await_data", fd=listener.fd)
    stage.client.connect("127.0.0.1", PORT)
    (row,) = stage.ownerless(state)
    kind = "accept_queue" if state == "established" else state
    assert (row["interface"], charge(row)) == ("lo", (kind, to(stage.server.pid), "none", "inferred"))


def test_a_listener_on_another_device_is_not_charged_even_if_it_is_the_only_one(stage: Stage) -> None:
    listener = listen_on_devices(stage)
    pair = stage.server.pair(listener, stage.client)
    stage.server.drop(pair.server)
    stage.client.drop(pair.client)
    (row,) = until(lambda: stage.ownerless("time_wait"), "a row is in TIME_WAIT")
    assert charge(row) == ("time_wait", to(stage.server.pid), "none", "inferred")
    stage.server.drop(listener)
    (row,) = stage.ownerless("time_wait")
    assert (row["interface"], charge(row)) == ("lo", ("time_wait", None, "none", "none"))


def listen_on_devices(stage: Stage) -> Held:
    """The listener of the server on the loopback device; the client has one on the same port of another."""
    stage.bed.run("ip", "-n", stage.netns.name or "", "link", "add", "da", "type", "veth", "peer", "name", "db")
    stage.client.listen("0.0.0.0", PORT, device="da")
    return stage.server.listen("0.0.0.0", PORT, device="lo")


def test_of_a_transparent_and_a_plain_listener_the_one_whose_options_the_row_has_is_charged(stage: Stage) -> None:
    """The kernel chooses between them by a hash: how many connections wait at each is known from its own row."""
    listener = stage.server.listen_shared(PORT)
    stage.server.ask("make_transparent", fd=listener.fd)
    stage.client.listen_shared(PORT)
    client = stage.bed.netns_bed.actor(stage.netns)
    for _ in range(12):
        client.connect("127.0.0.1", PORT)
    scan = stage.bed.scan()
    rows = scan.of_netns(stage.netns.inode)
    used = {row["owners"][0]["pid"]: row["accept_queue"]["used"] for row in rows if row["state"] == "listen"}
    charged = Counter(row["verdict"]["charged_to"]["pid"] for row in rows if not row["owners"])
    assert sum(used.values()) == 12
    assert charged == used


def test_what_a_transparent_proxy_took_is_not_charged_to_who_listens_on_the_port_that_was_asked_for(
    stage: Stage,
) -> None:
    """Its connections have the address and port that the client asked for, and its own listener has others."""
    require(Capability.IPTABLES)
    proxy = stage.server.listen(port=15001)
    stage.server.ask("make_transparent", fd=proxy.fd)
    stage.client.listen("0.0.0.0", PORT)
    client = add_client_behind_proxy(stage, proxy.port)
    taken = client.connect("198.51.100.7", PORT)
    stage.server.drop(stage.server.accept(proxy))
    client.drop(taken)
    client.connect("198.51.100.7", PORT)
    until(lambda: stage.ownerless("time_wait"), "a row is in TIME_WAIT")
    (closed,), (waiting,) = stage.ownerless("time_wait"), stage.ownerless("established")
    assert {(row["local"]["address"], row["local"]["port"]) for row in (closed, waiting)} == {("198.51.100.7", PORT)}
    assert charge(closed) == ("time_wait", None, "none", "none")
    assert charge(waiting) == ("accept_queue", None, "none", "none")


def add_client_behind_proxy(stage: Stage, port: int) -> Actor:
    """An actor in a netns of its own whose connections to PORT, wherever, the netns of the stage gives to this port."""
    outside, client = stage.bed.netns_bed.stage()
    here, there = stage.netns.name or "", outside.name or ""
    run, inside = stage.bed.run, ("ip", "netns", "exec", here)
    run("ip", "-n", here, "link", "add", "in", "type", "veth", "peer", "name", "out", "netns", there)
    for name, device, address in ((here, "in", "192.0.2.1/24"), (there, "out", "192.0.2.2/24")):
        run("ip", "-n", name, "address", "add", address, "dev", device)
        run("ip", "-n", name, "link", "set", device, "up")
    run("ip", "-n", there, "route", "add", "default", "via", "192.0.2.1")
    run("ip", "-n", here, "rule", "add", "fwmark", "1", "lookup", "100")
    run("ip", "-n", here, "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100")
    run(
        *inside,
        "sysctl",
        "-qw",
        "net.ipv4.ip_forward=1",
        "net.ipv4.conf.all.rp_filter=0",
        "net.ipv4.conf.in.rp_filter=0",
    )
    proxy = ("-j", "TPROXY", "--on-ip", "127.0.0.1", "--on-port", str(port), "--tproxy-mark", "1")
    run(*inside, "iptables", "-t", "mangle", "-A", "PREROUTING", "-p", "tcp", "--dport", str(PORT), *proxy)
    return client


@pytest.mark.parametrize("side", ["server", "client"])
def test_an_orphan_is_charged_only_where_a_listener_has_its_port(stage: Stage, side: str) -> None:
    """It is closed while it still has to send what the other end does not read."""
    pair = stage.server.pair(stage.server.listen(port=PORT), stage.client)
    actor, end = (stage.server, pair.server) if side == "server" else (stage.client, pair.client)
    actor.ask("fill", fd=end.fd)
    actor.drop(end)
    (row,) = stage.ownerless("fin_wait1")
    assert (row["local"]["port"], row["inode"]) == (end.port, None)
    charged = (to(stage.server.pid), "none", "inferred") if side == "server" else (None, "none", "none")
    assert charge(row) == ("orphan", *charged)


@pytest.fixture
def cgroups() -> Iterator[MadeCgroups]:
    """Makes cgroups, in which nobody is any more when the bed has ended."""
    made = MadeCgroups()
    try:
        yield made
    finally:
        made.close()


def enter_cgroup(stage: Stage, actor: Actor, directory: str) -> None:
    """Move an actor; its pid is that in the bed."""
    stage.bed.run("sh", "-c", f"echo {actor.pid} > {directory}/cgroup.procs")


@pytest.mark.parametrize("other", ["user", "cgroup"])
def test_an_orphan_is_not_charged_to_who_listens_on_its_port_as_another(
    cgroups: MadeCgroups, stage: Stage, token: str, other: str
) -> None:
    """The row still tells whose it was, and in which cgroup it was made."""
    listener = stage.server.listen_shared(PORT)
    pair = stage.server.pair(listener, stage.client)
    stage.server.ask("fill", fd=pair.server.fd)
    stage.server.drop(pair.server, listener)
    later = stage.bed.netns_bed.actor(stage.netns)
    if other == "user":
        require(Capability.ORPHAN_UIDS)
        later.ask("become", uid=UID)
    else:
        (directory,) = cgroups.make(f"{token}-charges", {V2: find_hierarchies()[V2]})
        enter_cgroup(stage, later, directory)
    held = later.listen_shared(PORT)
    (row,) = stage.ownerless("fin_wait1")
    assert charge(row) == ("orphan", None, "none", "none")
    later.drop(held)
    stage.server.listen_shared(PORT)
    (row,) = stage.ownerless("fin_wait1")
    assert charge(row) == ("orphan", to(stage.server.pid), "none", "inferred")


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
