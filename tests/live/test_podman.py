"""Which container holds each socket, with a real podman: both of its OCI runtimes, every kind of network, and a pod.

Here podman works with hybrid cgroups (runc: the id stands on every line) or with version 1 alone
(crun: the id stands on its lines, and on that of version 2 there is nothing).
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.live.capabilities import Capability, require
from tests.live.deadlines import until
from tests.live.docker_bed import Made
from tests.live.nsagent_cli import Scan, Socket, run_answered, run_named_scan, run_scan
from tests.live.podman_bed import IMAGE, PodmanBed
from tests.live.rows import read_ss_rows
from tests.live.unprivileged import UID

PUBLISHED, PUBLISHED_BY_POD = 8121, 8125
IN_POD = ("front", "back")


class Town(NamedTuple):
    """Containers on each kind of network and two in a pod, each listening on a port of its own."""

    bed: PodmanBed
    ports: dict[int, Made]
    infra: str

    @property
    def netns_inodes(self) -> set[int]:
        """Every netns that one of the containers is in."""
        return {made.netns_inode for made in self.ports.values()}

    def scan(self, *options: str) -> Scan:
        """A scan that asks this podman only."""
        return run_named_scan(*self.bed.runtime_option, *options)

    def container_ids(self, scan: Scan) -> dict[int, str | None]:
        """By port, of the rows in the netns of the containers."""
        return {row["local"]["port"]: row["container_id"] for row in scan.of_netns(*self.netns_inodes)}


@pytest.fixture(scope="module", params=["runc", "crun"])
def town(token: str, request: pytest.FixtureRequest) -> Iterator[Town]:
    require(Capability.ROOT, Capability.NSENTER, Capability.SS, Capability.SETPRIV, Capability.IPTABLES)
    require(Capability.PODMAN, Capability.CNI_PLUGINS, Capability.BUSYBOX)
    require(Capability.RUNC if request.param == "runc" else Capability.CRUN)
    bed = PodmanBed(token, request.param)
    try:
        bed.start()
        infra = bed.make_pod("shop", publish=f"{PUBLISHED_BY_POD}:8115")
        ports = {
            8111: bed.run("web", "bridge", serve(8111), publish=f"{PUBLISHED}:8111"),
            8112: bed.run("side", "container:web", serve(8112)),
            8113: bed.run("plain", "host", serve(8113)),
            8114: bed.run("lonely", "none", serve(8114)),
            8115: bed.run("front", "", serve(8115), pod="shop"),
            8116: bed.run("back", "", serve(8116), pod="shop"),
        }
        town = Town(bed, ports, infra)
        until(lambda: ports.keys() <= listening_ports(town), "every container listens")
        bed.create("idle")
        yield town
    finally:
        bed.close()


def serve(port: int) -> list[str]:
    return ["httpd", "-f", "-p", str(port)]


def listening_ports(town: Town) -> set[int]:
    pids = {made.pid for made in town.ports.values()}
    rows = [row for pid in pids for row in read_ss_rows(f"/proc/{pid}/ns/net")]
    return {row.local[1] for row in rows if row.state == "listen"}


def test_the_networks_are_what_this_test_thinks(town: Town) -> None:
    web, side, plain, lonely, front, back = (town.ports[port].netns_inode for port in range(8111, 8117))
    assert side == web
    assert plain == town.bed.netns_inode
    assert front == back
    assert len({web, plain, lonely, front}) == 4


def test_every_listener_has_its_container_on_every_network(town: Town) -> None:
    scan = town.scan()
    found = {
        socket["local"]["port"]: (socket["netns"], socket["container_id"], socket["attribution"], socket["confidence"])
        for socket in scan.of_netns(*town.netns_inodes)
        if socket["local"]["port"] in town.ports
    }
    assert found == {port: (made.netns_inode, made.id, "fd", "exact") for port, made in town.ports.items()}


def test_the_owner_of_each_listener_is_the_process_that_podman_started(town: Town) -> None:
    scan = town.scan("--state", "listen", "--netns", ",".join(map(str, town.netns_inodes)))
    pids = {socket["local"]["port"]: [owner["pid"] for owner in socket["owners"]] for socket in scan.sockets}
    assert {port: pids[port] for port in town.ports} == {port: [made.pid] for port, made in town.ports.items()}


def test_without_podman_the_ids_are_there_and_no_names(town: Town) -> None:
    scan = run_scan("--runtime", "none")
    found = town.container_ids(scan)
    assert {port: found[port] for port in town.ports} == {port: made.id for port, made in town.ports.items()}
    entries = {one["id"]: one for one in scan.containers}
    for made in town.ports.values():
        assert (entries[made.id]["name"], entries[made.id]["verified"]) == (None, False)
        assert entries[made.id]["runtime"] == "podman"


@pytest.mark.parametrize("port", [8112, 8116])
def test_a_name_chooses_one_of_those_that_share_a_netns(town: Town, port: int) -> None:
    scan = town.scan("-c", town.ports[port].name)
    assert {row["local"]["port"]: row["container_id"] for row in scan.sockets} == {port: town.ports[port].id}


def test_containers_lists_each_with_its_name_and_image(town: Town) -> None:
    ran = run_answered("containers", "-o", "json", *town.bed.runtime_option)
    assert ran.status == 0, ran.stderr
    found = {one["id"]: one for one in json.loads(ran.stdout)["containers"]}
    for made in town.ports.values():
        entry = found[made.id]
        assert (entry["name"], entry["name_state"], entry["image"]) == (made.name, "known", IMAGE)
        assert (entry["runtime"], entry["source"], entry["verified"]) == ("podman", "podman", True)
        pod = entry["pod"] and (entry["pod"]["name"], entry["pod"]["namespace"])
        assert (entry["chain"], pod) == ([], ("shop", None) if made.name in IN_POD else None)
    assert town.infra not in found


def test_the_infra_container_is_part_of_its_pod(town: Town) -> None:
    netns = town.scan().find_netns(town.ports[8115].netns_inode)
    assert netns is not None
    assert set(netns["containers"]) == {town.ports[8115].id, town.ports[8116].id}


def test_a_pod_s_name_chooses_its_containers(town: Town) -> None:
    ran = run_answered("scan", "--pod", "shop", "--columns", "pod,container", "--no-headers", *town.bed.runtime_option)
    assert sorted(line.split() for line in ran.stdout.decode().splitlines()) == [["shop", "back"], ["shop", "front"]]


def test_what_nobody_else_can_be_charged_with_is_the_pod_s_that_lives_alone_in_the_netns(town: Town) -> None:
    """A client of one of its containers that has ended: on such a port no listener is proven."""
    town.bed.execute("back", ["sh", "-c", "nc 127.0.0.1 8115 & sleep 1; kill $!"])
    options = ("--state", "time_wait", "--netns", str(town.ports[8115].netns_inode))

    def find_charged() -> list[Socket]:
        """Not while the client is still there, nor where another process of the host could not be looked at."""
        return [row for row in town.scan(*options).sockets if row["attribution"] != "none"]

    (row,) = until(find_charged, "the client's end is in TIME_WAIT, and charged")
    assert (row["remote"]["port"], row["container_id"]) == (8115, None)
    assert (row["attribution"], row["confidence"]) == ("netns", "inferred")
    assert (row["pod"]["name"], row["pod"]["namespace"]) == ("shop", None)


@pytest.mark.parametrize("option", ["-c", "--netns"])
def test_a_container_that_does_not_run_is_told_with_its_state(town: Town, option: str) -> None:
    ran = run_answered("scan", option, "idle", *town.bed.runtime_option)
    assert (ran.status, ran.stdout) == (4, b"")
    assert ran.complaints[-1].endswith("; a container of that name does not run: created (podman)")


def test_a_container_that_is_being_stopped_keeps_its_name_until_it_has_ended(town: Town) -> None:
    """Its first process does not mind SIGTERM, and podman waits for a while before SIGKILL."""
    made = town.bed.run("stubborn", "none", ["sh", "-c", "trap '' TERM; exec httpd -f -p 8117"])
    until(lambda: any(row.state == "listen" for row in read_ss_rows(f"/proc/{made.pid}/ns/net")), "it listens")
    with town.bed.being_stopped(made, seconds=20):
        scan = town.scan("-c", "stubborn")
        assert {row["local"]["port"]: row["container_id"] for row in scan.sockets} == {8117: made.id}
        names = {one["id"]: (one["name"], one["verified"]) for one in scan.containers}
    assert names[made.id] == ("stubborn", True)


def test_a_container_where_a_netns_is_asked_for_is_told_to_be_one(town: Town) -> None:
    ran = run_answered("scan", "--netns", "web", *town.bed.runtime_option)
    assert (ran.status, ran.stdout) == (4, b"")
    assert ran.complaints[-1] == "nsagent: no netns 'web'; it is a container: use -c"


@pytest.mark.parametrize("port", [PUBLISHED, PUBLISHED_BY_POD])
def test_conmon_who_keeps_a_published_port_is_in_no_container(town: Town, port: int) -> None:
    """Its cgroup stands beside those of the containers; in a pod that is below one called like an id."""
    scan = town.scan("--port", str(port), "--state", "listen", "--netns", str(town.bed.netns_inode))
    ((owner,),) = (row["owners"] for row in scan.sockets)
    assert owner["pid"] in town.bed.list_conmon_pids()
    assert (owner["comm"], owner["container_id"]) == ("conmon", None)
    assert [row["container_id"] for row in scan.sockets] == [None]


@pytest.fixture(scope="module")
def rootless(token: str) -> Iterator[PodmanBed]:
    """A podman of an ordinary user."""
    require(Capability.ROOT, Capability.NSENTER, Capability.SS, Capability.SETPRIV)
    require(Capability.PODMAN, Capability.RUNC, Capability.BUSYBOX)
    bed = PodmanBed(token, "runc", uid=UID)
    try:
        bed.start()
        yield bed
    finally:
        bed.close()


def test_a_rootless_container_without_a_cgroup_has_its_sockets(rootless: PodmanBed) -> None:
    """Where the user may make no cgroup, only podman tells its processes from the user's others."""
    made = rootless.run("solo", "none", serve(8119))
    until(lambda: any(row.state == "listen" for row in read_ss_rows(f"/proc/{made.pid}/ns/net")), "it listens")
    scan = run_named_scan(*rootless.runtime_option)
    ((owner,),) = (row["owners"] for row in scan.of_netns(made.netns_inode))
    assert (owner["pid"], owner["container_id"]) == (made.pid, made.id)
    assert {one["id"]: (one["name"], one["verified"]) for one in scan.containers}[made.id] == ("solo", True)


@pytest.fixture(scope="module")
def bare(token: str) -> Iterator[Town]:
    """Containers without a cgroup of their own, one of them with a process that was started later."""
    require(Capability.ROOT, Capability.NSENTER, Capability.SS, Capability.SETPRIV, Capability.IPTABLES)
    require(Capability.PODMAN, Capability.CNI_PLUGINS, Capability.BUSYBOX, Capability.CRUN)
    bed = PodmanBed(token, "crun")
    try:
        bed.start()
        ports = {
            8131: bed.run("bare", "bridge", serve(8131), cgroups=False),
            8132: bed.run("plainer", "host", serve(8132), cgroups=False),
        }
        ports[8133] = ports[8131]
        bed.execute("bare", serve(8133))
        town = Town(bed, ports, "")
        until(lambda: ports.keys() <= listening_ports(town), "every container listens")
        yield town
    finally:
        bed.close()


def test_what_runs_in_a_container_without_a_cgroup_is_in_it(bare: Town) -> None:
    """What was started later by podman is no descendant of the first process: it is in its PID namespace."""
    found = bare.container_ids(bare.scan("--state", "listen"))
    assert found.items() >= {port: made.id for port, made in bare.ports.items()}.items()


@pytest.mark.parametrize(("name", "ports"), [("bare", {8131, 8133}), ("plainer", {8132})])
def test_a_name_chooses_a_container_without_a_cgroup(bare: Town, name: str, ports: set[int]) -> None:
    scan = bare.scan("-c", name)
    assert {row["local"]["port"] for row in scan.sockets} == ports


def test_owners_by_cgroup_do_not_know_a_container_without_one_which_is_told(bare: Town) -> None:
    ran = run_answered("scan", "-c", "bare", "--owners", "container", *bare.bed.runtime_option)
    assert any("container bare" in line and "it has no cgroup of its own" in line for line in ran.complaints)
