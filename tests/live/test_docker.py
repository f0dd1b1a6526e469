"""Which container holds each socket, with a real dockerd and every kind of container network."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.live.deadlines import until
from tests.live.docker_bed import IMAGE, DockerBed, Made
from tests.live.nsagent_cli import (
    Scan,
    clean_environment,
    run_answered,
    run_in_time,
    run_named_scan,
    run_nsagent,
    run_scan,
)
from tests.live.rows import read_ss_rows

BUDGET_SECONDS = 2.0
NOISE_SECONDS = 0.5
LABELS = {"com.docker.compose.service": "shop"}


class Town(NamedTuple):
    """Containers on each kind of network, each listening on a port of its own."""

    bed: DockerBed
    web: Made
    side: Made
    plain: Made
    lonely: Made
    exec_pid: int

    @property
    def ports(self) -> dict[int, Made]:
        """Which container listens on which port; 8085 is the further process in `web`."""
        made = (self.web, self.side, self.plain, self.lonely, self.web)
        return dict(zip(range(8081, 8086), made, strict=True))

    @property
    def netns_inodes(self) -> set[int]:
        """Every netns that one of the containers is in."""
        return {made.netns_inode for made in self.ports.values()}

    def scan(self, *options: str) -> Scan:
        """A scan that asks this dockerd only."""
        return run_named_scan(*self.bed.runtime_option, *options)


def serve(port: int) -> list[str]:
    return ["httpd", "-f", "-p", str(port)]


@pytest.fixture(scope="module")
def town(docker_bed: DockerBed) -> Iterator[Town]:
    web = docker_bed.run("web", "bridge", serve(8081), labels=LABELS)
    made = Town(
        bed=docker_bed,
        web=web,
        side=docker_bed.run("side", "container:web", serve(8082), labels=LABELS),
        plain=docker_bed.run("plain", "host", serve(8083)),
        lonely=docker_bed.run("lonely", "none", serve(8084)),
        exec_pid=docker_bed.execute(web, serve(8085)),
    )
    wanted = set(made.ports)
    until(lambda: wanted <= listening_ports(made), "every container listens")
    yield made
    docker_bed.remove_all()


def listening_ports(town: Town) -> set[int]:
    pids = {made.pid for made in town.ports.values()}
    rows = [row for pid in pids for row in read_ss_rows(f"/proc/{pid}/ns/net")]
    return {row.local[1] for row in rows if row.state == "listen"}


def containers_by_port(scan: Scan) -> dict[int, str | None]:
    return {socket["local"]["port"]: socket["container_id"] for socket in scan.sockets}


def test_the_networks_are_what_this_test_thinks(town: Town) -> None:
    assert town.side.netns_inode == town.web.netns_inode
    assert town.plain.netns_inode == town.bed.netns_inode
    assert len(town.netns_inodes) == 3


def test_every_listener_has_its_container_on_every_network(town: Town) -> None:
    scan = town.scan()
    found = {
        socket["local"]["port"]: (socket["netns"], socket["container_id"], socket["attribution"], socket["confidence"])
        for socket in scan.of_netns(*town.netns_inodes)
        if socket["local"]["port"] in town.ports
    }
    assert found == {port: (made.netns_inode, made.id, "fd", "exact") for port, made in town.ports.items()}


def test_the_owner_of_each_listener_is_the_process_that_docker_started(town: Town) -> None:
    scan = town.scan("--state", "listen", "--netns", ",".join(map(str, town.netns_inodes)))
    pids = {socket["local"]["port"]: [owner["pid"] for owner in socket["owners"]] for socket in scan.sockets}
    expected = {port: [made.pid] for port, made in town.ports.items()} | {8085: [town.exec_pid]}
    assert {port: pids[port] for port in expected} == expected


def test_a_process_started_by_exec_is_in_the_container(town: Town) -> None:
    scan = town.scan("--pid", str(town.exec_pid))
    ((owner,),) = (socket["owners"] for socket in scan.sockets)
    assert (owner["pid"], owner["container_id"]) == (town.exec_pid, town.web.id)


def test_both_ends_of_a_connection_between_containers_have_theirs(town: Town) -> None:
    address = town.bed.address(town.web)
    client = town.bed.run("client", "bridge", ["sh", "-c", f"sleep 600 | nc {address} 8081"])
    netns = f"/proc/{client.pid}/ns/net"
    until(lambda: any(row.state == "established" for row in read_ss_rows(netns)), "the client is connected")
    scan = town.scan("--port", "8081", "--state", "established")
    ends = {socket["local"]["port"] == 8081: (socket["netns"], socket["container_id"]) for socket in scan.sockets}
    assert ends == {
        True: (town.web.netns_inode, town.web.id),
        False: (client.netns_inode, client.id),
    }


@pytest.mark.parametrize("way", ["name", "full id", "id prefix"])
def test_a_container_chooses_exactly_its_sockets(town: Town, way: str) -> None:
    wanted = {"name": "side", "full id": town.side.id, "id prefix": town.side.id[:12]}[way]
    scan = town.scan("-c", wanted)
    assert containers_by_port(scan) == {8082: town.side.id}
    assert [container["id"] for container in scan.containers] == [town.side.id]


def test_a_container_with_an_exec_chooses_the_sockets_of_both(town: Town) -> None:
    scan = town.scan("-c", "web", "--state", "listen")
    assert containers_by_port(scan) == {8081: town.web.id, 8085: town.web.id}


def test_a_compose_service_chooses_the_sockets_of_all_its_containers(town: Town) -> None:
    scan = town.scan("-c", "shop", "--state", "listen")
    assert containers_by_port(scan) == {8081: town.web.id, 8082: town.side.id, 8085: town.web.id}


def test_an_unknown_container_exits_4_with_near_names(town: Town) -> None:
    ran = run_answered("scan", "-c", "loneli", *town.bed.runtime_option)
    assert (ran.status, ran.stdout) == (4, b"")
    assert "lonely" in ran.stderr
    assert "docker" in ran.stderr


def test_containers_lists_each_with_its_name_and_image(town: Town) -> None:
    ran = run_answered("containers", "-o", "json", *town.bed.runtime_option)
    assert ran.status == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert "sockets" not in document
    found = {one["id"]: one for one in document["containers"]}
    for made in (town.web, town.side, town.plain, town.lonely):
        entry = found[made.id]
        assert (entry["name"], entry["name_state"], entry["image"]) == (made.name, "known", IMAGE)
        assert (entry["runtime"], entry["source"], entry["verified"]) == ("docker", "docker", True)
        assert (entry["chain"], entry["pod"]) == ([], None)
    assert found[town.web.id]["labels"] == LABELS


def test_a_netns_lists_the_containers_in_it(town: Town) -> None:
    scan = town.scan()
    web = scan.find_netns(town.web.netns_inode)
    plain = scan.find_netns(town.plain.netns_inode)
    assert web is not None
    assert plain is not None
    assert set(web["containers"]) == {town.web.id, town.side.id}
    assert plain["containers"] == [town.plain.id]


def test_a_paused_container_is_shown_like_any_other(town: Town) -> None:
    town.bed.client.api.pause(town.lonely.id)
    try:
        assert containers_by_port(town.scan("-c", "lonely")) == {8084: town.lonely.id}
    finally:
        town.bed.client.api.unpause(town.lonely.id)


def test_docker_host_names_the_daemon_to_ask(town: Town) -> None:
    env = clean_environment(DOCKER_HOST=town.bed.url)
    scan = run_named_scan("-c", town.side.id, env=env)
    assert containers_by_port(scan) == {8082: town.side.id}
    assert [one["name"] for one in scan.containers] == ["side"]


@pytest.mark.parametrize("url", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1"])
def test_a_docker_host_where_nobody_answers_costs_names_only(town: Town, url: str) -> None:
    ran = run_nsagent("scan", "-o", "json", env=clean_environment(DOCKER_HOST=url))
    assert ran.status == 0, ran.stderr
    assert_ids_without_names(town, Scan(json.loads(ran.stdout)))
    assert len([line for line in ran.complaints if url in line]) == 1, ran.stderr


def test_a_stopped_dockerd_costs_names_and_two_seconds(town: Town) -> None:
    with town.bed.stopped():
        ran = run_in_time(
            lambda: run_nsagent("scan", "-o", "json", *town.bed.runtime_option),
            BUDGET_SECONDS + NOISE_SECONDS,
            usual=lambda: run_nsagent("scan", "-o", "json", "--runtime", "none"),
        )
    assert ran.status == 0, ran.stderr
    assert_ids_without_names(town, Scan(json.loads(ran.stdout)))
    assert len([line for line in ran.complaints if town.bed.url in line]) == 1, ran.stderr


def test_a_container_is_found_by_its_id_while_dockerd_is_stopped(town: Town) -> None:
    with town.bed.stopped():
        scan = run_scan(*town.bed.runtime_option, "-c", town.side.id[:12])
    assert containers_by_port(scan) == {8082: town.side.id}


def test_no_runtime_asked_gives_ids_and_no_complaint_about_names(town: Town) -> None:
    ran = run_nsagent("scan", "-o", "json", "--runtime", "none")
    assert_ids_without_names(town, Scan(json.loads(ran.stdout)))
    assert "names from" not in ran.stderr


def assert_ids_without_names(town: Town, scan: Scan) -> None:
    """Every listener of the town has its container's id, and no container has a name."""
    found = containers_by_port(Scan({**scan.document, "sockets": scan.of_netns(*town.netns_inodes)}))
    assert {port: found[port] for port in town.ports} == {port: made.id for port, made in town.ports.items()}
    entries = {one["id"]: one for one in scan.containers}
    for made in town.ports.values():
        entry = entries[made.id]
        assert (entry["name"], entry["name_state"], entry["verified"]) == (None, "unknown", False)
    assert {gap["stage"] for gap in scan.coverage["gaps"]} <= {"names", "processes", "fds", "netns"}
