"""Containers in a container: a second dockerd that runs in a container of the first one.

It is the dockerd of this machine, whose files the outer container sees read-only. In there, runc
makes cgroups in the hierarchies of version 1 below the outer container's, and none in version 2.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import docker
import pytest
from docker.errors import DockerException

from tests.live.capabilities import Capability, require
from tests.live.deadlines import until
from tests.live.docker_bed import (
    DAEMON_LOG_TAIL_BYTES,
    IMAGE,
    START_SECONDS,
    DockerBed,
    Made,
    takes_connections,
)
from tests.live.images import make_busybox_layer
from tests.live.leftovers import list_processes_in_cgroup
from tests.live.nsagent_cli import Scan, run_named_scan
from tests.live.rows import read_ss_rows

CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"]
PROGRAMS = [path for path in ("/usr", "/lib", "/lib64", "/sbin") if os.path.isdir(path)]
START = """
export PATH=/usr/sbin:/usr/bin:/bin
mount -o remount,rw /proc/sys
for hierarchy in /sys/fs/cgroup/*; do mount -o remount,bind,rw $hierarchy; done
exec dockerd --host=unix:///shared/docker.sock --storage-driver=vfs --data-root=/data --exec-root=/exec \
    --pidfile=/dockerd.pid --bridge=none --iptables=false > /shared/dockerd.log 2>&1
"""


class Nest(NamedTuple):
    """The outer container, two in it, and one beside it, each listening on a port of its own."""

    bed: DockerBed
    inner_url: str
    outer: Made
    ports: Mapping[int, Made]

    @property
    def both(self) -> tuple[str, str]:
        """The options that make nsagent ask both runtimes."""
        return "--runtime", f"docker={self.bed.url},docker={self.inner_url}"

    def container_ids(self, scan: Scan) -> dict[int, str | None]:
        """The container of each listener, by port."""
        inodes = {made.netns_inode for made in self.ports.values()}
        rows = [row for row in scan.of_netns(*inodes) if row["state"] == "listen"]
        return {row["local"]["port"]: row["container_id"] for row in rows}


@pytest.fixture(scope="module")
def nest(docker_bed: DockerBed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    require(Capability.CGROUPS_V1)
    shared = os.fspath(tmp_path_factory.mktemp("nest"))
    beside = docker_bed.run("beside", "none", serve(8161))
    outer = docker_bed.run(
        "outer",
        "none",
        ["sh", "-c", START],
        cap_add=CAPABILITIES,
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        volumes=[f"{shared}:/shared", *(f"{path}:{path}:ro" for path in PROGRAMS)],
    )
    url = f"unix://{shared}/docker.sock"
    try:
        docker_bed.execute(outer, ["/bin/busybox", *serve(8162)])
        with closing(open_client(url, f"{shared}/dockerd.log")) as client:
            repository, tag = IMAGE.split(":")
            client.api.import_image_from_data(make_busybox_layer(), repository=repository, tag=tag)
            ports = {
                8161: beside,
                8162: outer,
                8163: run_inside(client, "lonely", "none", 8163),
                8164: run_inside(client, "plain", "host", 8164),
            }
        yield Nest(docker_bed, url, outer, ports)
    finally:
        docker_bed.remove_all()


def serve(port: int) -> list[str]:
    return ["httpd", "-f", "-p", str(port)]


def open_client(url: str, log: str) -> docker.DockerClient:
    """A client of the inner dockerd; raises RuntimeError with the end of its log if it does not come up."""
    try:
        until(lambda: takes_connections(url), "the inner dockerd takes connections", seconds=START_SECONDS)
        return docker.DockerClient(url, timeout=int(START_SECONDS))
    except (TimeoutError, DockerException) as error:
        with open(log, encoding="utf-8", errors="replace") as lines:
            raise RuntimeError(f"{error}\n{lines.read()[-DAEMON_LOG_TAIL_BYTES:]}") from error


def run_inside(client: docker.DockerClient, name: str, network: str, port: int) -> Made:
    """A container in the container that listens; its pid is as the test sees it, not as the inner engine does."""
    id_ = str(client.containers.run(IMAGE, serve(port), name=name, network_mode=network, detach=True).id)
    (pid,) = until(lambda: list_processes_in_cgroup(id_), f"{name} has its process")
    until(lambda: any(row.local[1] == port for row in read_ss_rows(f"/proc/{pid}/ns/net")), f"{name} listens")
    return Made(id_, name, pid, os.stat(f"/proc/{pid}/ns/net").st_ino)


def entries(scan: Scan) -> dict[str, Mapping[str, Any]]:
    """The containers of a scan by id."""
    return {one["id"]: one for one in scan.containers}


def test_every_listener_has_the_innermost_container_around_it(nest: Nest) -> None:
    found = nest.container_ids(run_named_scan(*nest.both))
    assert found == {port: made.id for port, made in nest.ports.items()}
    assert nest.ports[8164].netns_inode == nest.outer.netns_inode


def test_the_inner_containers_know_the_one_around_them(nest: Nest) -> None:
    found = entries(run_named_scan(*nest.both))
    chains = {made.name: found[made.id]["chain"] for made in nest.ports.values()}
    assert chains == {"beside": [], "outer": [], "lonely": [nest.outer.id], "plain": [nest.outer.id]}


def test_each_has_its_name_if_both_engines_are_asked(nest: Nest) -> None:
    found = entries(run_named_scan(*nest.both))
    for made in nest.ports.values():
        entry = found[made.id]
        assert (entry["name"], entry["name_state"], entry["verified"]) == (made.name, "known", True)


def test_the_outer_engine_knows_no_inner_container(nest: Nest) -> None:
    found = entries(run_named_scan(*nest.bed.runtime_option))
    for port, known in ((8162, True), (8163, False), (8164, False)):
        made = nest.ports[port]
        assert (found[made.id]["name"], found[made.id]["verified"]) == (made.name if known else None, known)


@pytest.mark.parametrize("port", [8161, 8163, 8164])
def test_a_name_does_not_choose_what_is_around_a_container(nest: Nest, port: int) -> None:
    scan = run_named_scan(*nest.both, "-c", nest.ports[port].name)
    assert [(row["local"]["port"], row["container_id"]) for row in scan.sockets] == [(port, nest.ports[port].id)]


def test_a_name_chooses_what_runs_in_a_container_too(nest: Nest) -> None:
    scan = run_named_scan(*nest.both, "-c", "outer")
    found = {row["local"]["port"]: row["container_id"] for row in scan.sockets if row["state"] == "listen"}
    assert found == {port: nest.ports[port].id for port in (8162, 8163, 8164)}


def test_what_the_outer_engine_does_not_know_is_in_the_container_that_it_knows(nest: Nest) -> None:
    scan = run_named_scan(*nest.bed.runtime_option)
    ids = nest.container_ids(scan)
    assert ids == {8161: nest.ports[8161].id} | dict.fromkeys((8162, 8163, 8164), nest.outer.id)
    rows = [row for row in scan.sockets if row["local"]["port"] in (8163, 8164) and row["state"] == "listen"]
    chains = {row["local"]["port"]: row["owners"][0]["chain"] for row in rows}
    assert chains == {port: [nest.ports[port].id] for port in (8163, 8164)}


def test_by_cgroups_no_listener_has_the_wrong_container(nest: Nest) -> None:
    """Those in the nest share one cgroup of version 2, which does not tell them apart; who is beside it has its own."""
    found = nest.container_ids(run_named_scan(*nest.both, "--owners", "container"))
    assert found[8161] == nest.ports[8161].id
    for port in (8162, 8163, 8164):
        assert found[port] in (nest.ports[port].id, None)
