"""`scan --owners container`: the container of each socket by the cgroup that it was made in, with a real dockerd.

A socket carries the id of its creator's cgroup of version 2. runc makes one for each container, also
where the limits of containers are in version 1 (hybrid).
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.live.actors import Actor
from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed, Made
from tests.live.leftovers import remove_cgroups
from tests.live.made_cgroups import V2, MadeCgroups, find_hierarchies
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import NSAGENT, Scan, Socket, run_named_scan, run_scan
from tests.live.rows import read_ss_rows

CONNECTED_PORT = 8146


class Town(NamedTuple):
    """Containers on each kind of network, one with a further process, and a connection between two."""

    bed: DockerBed
    ports: dict[int, Made]
    client: Made

    @property
    def netns_inodes(self) -> set[int]:
        """Every netns that one of the containers is in."""
        return {made.netns_inode for made in (*self.ports.values(), self.client)}

    def scan(self, *options: str) -> Scan:
        """A scan by cgroups that asks this dockerd only."""
        return run_named_scan(*self.bed.runtime_option, "--owners", "container", *options)

    def rows(self, scan: Scan) -> list[Socket]:
        """The rows in the netns of the containers, but those that no container has to do with."""
        return [row for row in scan.of_netns(*self.netns_inodes) if row["inode"] is not None]


@pytest.fixture(scope="module")
def town(docker_bed: DockerBed) -> Iterator[Town]:
    web = docker_bed.run("web", "bridge", serve(8141))
    ports = {
        8141: web,
        8142: docker_bed.run("side", "container:web", serve(8142)),
        8143: docker_bed.run("plain", "host", serve(8143)),
        8144: docker_bed.run("lonely", "none", serve(8144)),
        8145: web,
    }
    docker_bed.execute(web, serve(8145))
    docker_bed.execute(web, ["nc", "-l", "-p", str(CONNECTED_PORT), "-e", "sleep", "100000"])
    until(lambda: {*ports, CONNECTED_PORT} <= listening_ports(ports), "every container listens")
    connect = f"sleep 100000 | nc {docker_bed.address(web)} {CONNECTED_PORT}"
    client = docker_bed.run("client", "bridge", ["sh", "-c", connect])
    netns = f"/proc/{client.pid}/ns/net"
    until(lambda: any(row.state == "established" for row in read_ss_rows(netns)), "the client is connected")
    yield Town(docker_bed, ports, client)
    docker_bed.remove_all()


def serve(port: int) -> list[str]:
    return ["httpd", "-f", "-p", str(port)]


def listening_ports(ports: dict[int, Made]) -> set[int]:
    rows = [row for made in ports.values() for row in read_ss_rows(f"/proc/{made.pid}/ns/net")]
    return {row.local[1] for row in rows if row.state == "listen"}


def test_containers_have_cgroups_of_version_2_here(town: Town) -> None:
    """Else no socket would tell of its container, and the tests below would prove nothing."""
    for made in (*town.ports.values(), town.client):
        with open(f"/proc/{made.pid}/cgroup", encoding="utf-8") as lines:
            (line,) = (line for line in lines if line.startswith("0::"))
        assert made.id in line


def test_no_row_has_an_owner_or_wants_one(town: Town) -> None:
    scan = town.scan()
    assert {len(row["owners"]) for row in scan.sockets} == {0}
    assert {row["verdict"] for row in scan.sockets if row["inode"] is not None} == {None}


def test_every_listener_has_the_container_that_it_was_made_in(town: Town) -> None:
    found = {
        row["local"]["port"]: (row["container_id"], row["attribution"], row["confidence"])
        for row in town.rows(town.scan())
        if row["local"]["port"] in town.ports
    }
    assert found == {port: (made.id, "cgroup", "high") for port, made in town.ports.items()}


def test_both_ends_of_a_connection_have_their_containers(town: Town) -> None:
    rows = [row for row in town.rows(town.scan("--port", str(CONNECTED_PORT))) if row["state"] == "established"]
    ends = {row["local"]["port"] == CONNECTED_PORT: row["container_id"] for row in rows}
    assert ends == {True: town.ports[8141].id, False: town.client.id}


def test_the_containers_are_those_that_the_holders_are_in(town: Town) -> None:
    by_holder = {row["cookie"]: pick_facts(row) for row in town.rows(run_scan(*town.bed.runtime_option))}
    by_cgroup = {row["cookie"]: pick_facts(row) for row in town.rows(town.scan())}
    assert by_cgroup == by_holder
    found = {row["container_id"] for row in by_cgroup.values()}
    assert found == {made.id for made in (*town.ports.values(), town.client)}


def pick_facts(row: Socket) -> Socket:
    """What a row says, but for who holds it and how its container was found."""
    return {key: row[key] for key in row.keys() - {"owners", "attribution", "confidence"}}


def test_the_containers_have_their_names(town: Town) -> None:
    names = {one["id"]: (one["name"], one["verified"]) for one in town.scan().containers}
    for made in (*town.ports.values(), town.client):
        assert names[made.id] == (made.name, True)


def test_a_container_chooses_exactly_what_was_made_in_it(town: Town) -> None:
    scan = town.scan("-c", "web", "--state", "listen")
    assert sorted(row["local"]["port"] for row in scan.sockets) == [8141, 8145]
    assert [one["id"] for one in scan.containers] == [town.ports[8141].id]


@pytest.fixture
def neighbour(town: Town, bed: NetnsBed) -> Actor:
    """A process that is in no container, in the netns of one."""
    lonely = town.ports[8144]
    return bed.actor(MadeNetns(lonely.netns_inode, None, f"/proc/{lonely.pid}/ns/net"))


@pytest.fixture
def cgroups() -> Iterator[MadeCgroups]:
    made = MadeCgroups()
    yield made
    made.close()


def test_what_was_made_in_no_container_has_none(town: Town, neighbour: Actor) -> None:
    held = neighbour.listen()
    row = town.scan().one(held.inode)
    assert (row["container_id"], row["owners"], row["verdict"]) == (None, [], None)
    assert (row["attribution"], row["confidence"]) == ("none", "none")


def test_a_connection_that_waits_has_the_container_of_its_listener_or_none(town: Town, neighbour: Actor) -> None:
    """It has no inode yet, but its listener's cgroup."""
    lonely = town.ports[8144]
    town.bed.client.api.pause(lonely.id)
    try:
        neighbour.connect("127.0.0.1", 8144)
        (waiting,) = until(lambda: list_accepted(town, lonely, 8144), "the connection waits")
    finally:
        town.bed.client.api.unpause(lonely.id)
    assert waiting["inode"] is None
    assert waiting["verdict"]["kind"] == "accept_queue"
    assert waiting["container_id"] in (lonely.id, None)


def list_accepted(town: Town, made: Made, port: int) -> list[Socket]:
    """The established rows on a port in the netns of a container."""
    rows = town.scan().of_netns(made.netns_inode)
    return [row for row in rows if (row["local"]["port"], row["state"]) == (port, "established")]


def test_a_socket_that_was_taken_into_a_container_is_of_where_it_was_made(
    town: Town, neighbour: Actor, cgroups: MadeCgroups
) -> None:
    """The holder is in the container, the cgroup of the socket is not; with owners that is flagged."""
    lonely = town.ports[8144]
    cgroups.enter(neighbour.pid, "/made", {V2: find_hierarchies()[V2]})
    held = neighbour.listen()
    for name, top in find_hierarchies().items():
        cgroups.enter(neighbour.pid, find_path(lonely, name), {name: top})
    assert town.scan().one(held.inode)["container_id"] is None
    row = run_scan(*town.bed.runtime_option).one(held.inode)
    assert (row["container_id"], row["attribution"], row["flags"]) == (lonely.id, "fd", ["creator_differs"])


def test_from_another_cgroup_namespace_it_is_the_same(town: Town) -> None:
    """An unprivileged pod is in one of its own: there the paths of others begin with `/..`."""
    place = os.path.join(find_hierarchies()[V2], "nsagent-pod")
    script = f'mkdir -p {place} && echo $$ > {place}/cgroup.procs && exec unshare --cgroup "$@"'
    enter = ("sh", "-c", script, "sh", *NSAGENT)
    try:
        by_creator = run_scan(*town.bed.runtime_option, "--owners", "container", command=enter)
        by_owner = run_scan(*town.bed.runtime_option, command=enter)
    finally:
        remove_cgroups({place})
    for scan in (by_creator, by_owner):
        found = {row["local"]["port"]: row["container_id"] for row in scan.of_netns(*town.netns_inodes)}
        assert {port: found[port] for port in town.ports} == {port: made.id for port, made in town.ports.items()}
    assert {tuple(row["flags"]) for row in town.rows(by_owner)} == {()}


def find_path(made: Made, hierarchy: str) -> str:
    """The cgroup of a container in one hierarchy."""
    with open(f"/proc/{made.pid}/cgroup", encoding="utf-8") as lines:
        for line in lines:
            number, controllers, path = line.rstrip("\n").split(":", 2)
            name = V2 if number == "0" else controllers.removeprefix("name=")
            if name == hierarchy:
                return path
    raise AssertionError(f"{made.name} has no line of {hierarchy}")
