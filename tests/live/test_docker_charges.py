"""A row that nobody holds has the container of the listener that it came in by, with a real dockerd."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.live.actors import Actor
from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed, Made
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import Socket, run_named_scan, run_scan
from tests.live.rows import read_ss_rows
from tests.live.stopping import stopped

PORT = 8091


class Shop(NamedTuple):
    """A container with a server, and a client in its netns that is in no container."""

    bed: DockerBed
    server: Made
    client: Actor

    def ownerless(self, state: str) -> list[Socket]:
        """The rows on the server's port in this state that nobody holds."""
        scan = run_scan(*self.bed.runtime_option, "--netns", str(self.server.netns_inode), "--state", state)
        return [row for row in scan.sockets if row["local"]["port"] == PORT and not row["owners"]]

    def assert_charged(self, row: Socket, kind: str) -> None:
        verdict = row["verdict"]
        charged = {"pid": self.server.pid, "container_id": self.server.id}
        assert (verdict["kind"], verdict["charged_to"], row["container_id"]) == (kind, charged, self.server.id)
        assert (row["attribution"], row["confidence"]) == ("listener", "inferred")


@pytest.fixture(scope="module")
def server(docker_bed: DockerBed) -> Iterator[Made]:
    made = docker_bed.run("shop", "none", ["httpd", "-f", "-p", str(PORT)])
    netns = f"/proc/{made.pid}/ns/net"
    until(lambda: any(row.state == "listen" for row in read_ss_rows(netns)), "the server listens")
    yield made
    docker_bed.remove_all()


@pytest.fixture
def shop(docker_bed: DockerBed, server: Made, bed: NetnsBed) -> Shop:
    client = bed.actor(MadeNetns(server.netns_inode, None, f"/proc/{server.pid}/ns/net"))
    return Shop(docker_bed, server, client)


def test_a_connection_that_waits_has_the_container_of_its_listener(shop: Shop) -> None:
    with stopped(shop.server.pid):
        shop.client.connect("127.0.0.1", PORT)
        (row,) = until(lambda: shop.ownerless("established"), "the connection waits")
    shop.assert_charged(row, "accept_queue")


def test_a_connection_that_the_server_has_closed_has_the_container_of_its_listener(shop: Shop) -> None:
    """httpd closes when it has answered."""
    held = shop.client.connect("127.0.0.1", PORT)
    shop.client.ask("exchange", fd=held.fd, text="GET / HTTP/1.0\r\n\r\n")
    shop.client.drop(held)
    (row,) = until(lambda: shop.ownerless("time_wait"), "its end is in TIME_WAIT")
    shop.assert_charged(row, "time_wait")


def test_what_nobody_else_can_be_charged_with_has_the_container_that_lives_alone_in_the_netns(
    docker_bed: DockerBed, bed: NetnsBed
) -> None:
    """On a port of clients no listener is proven; as long as the client is there, it may be the client's."""
    made = docker_bed.run("alone", "none", ["httpd", "-f", "-p", "40001"])
    netns = f"/proc/{made.pid}/ns/net"
    until(lambda: any(row.state == "listen" for row in read_ss_rows(netns)), "the server listens")
    client = bed.actor(MadeNetns(made.netns_inode, None, netns))
    held = client.connect("127.0.0.1", 40001)
    client.ask("exchange", fd=held.fd, text="GET / HTTP/1.0\r\n\r\n")
    client.drop(held)
    closed = (*docker_bed.runtime_option, "--state", "time_wait")
    (row,) = until(lambda: run_scan(*closed, "--netns", str(made.netns_inode)).sockets, "a row is in TIME_WAIT")
    assert (row["verdict"]["charged_to"], row["attribution"]) == (None, "none")
    bed.end(client)
    (row,) = run_named_scan(*closed, "--container", made.name).sockets
    charged = {"pid": None, "container_id": made.id}
    assert (row["verdict"]["charged_to"], row["container_id"], row["pod"]) == (charged, made.id, None)
    assert (row["attribution"], row["confidence"]) == ("netns", "inferred")
