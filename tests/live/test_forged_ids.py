"""Whoever may make a cgroup can give it the name of a container: what such a name is taken for.

The cgroups here are made by hand, in every hierarchy as an engine would, or in a single one as
somebody could to whom only that was delegated.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from nsagent.errors import EXIT_NOT_FOUND
from tests.live.actors import Actor, Held
from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed, Made
from tests.live.made_cgroups import V2, MadeCgroups, find_hierarchies
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import Scan, run_answered, run_named_scan, run_scan
from tests.live.rows import read_ss_rows

USER = "/user.slice/user-1000.slice/user@1000.service"
POD = "pod5f2c2f0e-63a1-4b0f-9d6e-1f0e0c9a7b11"
VICTIM_PORT, OUTER_PORT = 8131, 8132
EVERYWHERE = "every hierarchy"


def list_ways() -> list[str]:
    """In which hierarchies a cgroup may be forged: in all, in v2 alone, or in systemd's own of version 1 alone."""
    return [EVERYWHERE, *(name for name in (V2, "systemd") if name in find_hierarchies())]


class Forger(NamedTuple):
    """A process in a cgroup of its own making, in a netns of its own, with a listener that it made there."""

    netns: MadeNetns
    actor: Actor
    listener: Held


class Town(NamedTuple):
    """A dockerd with a container whose id is forged, and one that a forger may sit in."""

    bed: DockerBed
    victim: Made
    outer: Made

    def scan(self, *options: str) -> Scan:
        """A scan that asks this dockerd only."""
        return run_named_scan(*self.bed.runtime_option, *options)


@contextmanager
def forging(token: str) -> Iterator[Callable[..., Forger]]:
    """Makes forgers, `forge(path, way)`, which end with it."""
    cgroups = MadeCgroups()
    bed = NetnsBed(token)

    def make(path: str, way: str = EVERYWHERE) -> Forger:
        netns, actor = bed.stage()
        hierarchies = find_hierarchies()
        chosen = hierarchies if way == EVERYWHERE else {way: hierarchies[way]}
        cgroups.enter(actor.pid, path, chosen)
        return Forger(netns, actor, actor.listen())

    try:
        yield make
    finally:
        bed.close()
        cgroups.close()


@pytest.fixture(scope="module")
def town(docker_bed: DockerBed) -> Iterator[Town]:
    victim = docker_bed.run("victim", "none", ["httpd", "-f", "-p", str(VICTIM_PORT)])
    outer = docker_bed.run("outer", "none", ["httpd", "-f", "-p", str(OUTER_PORT)])
    for made in (victim, outer):
        netns = f"/proc/{made.pid}/ns/net"
        until(lambda path=netns: read_ss_rows(path), "both listen")  # type: ignore[misc]
    yield Town(docker_bed, victim, outer)
    docker_bed.remove_all()


@pytest.fixture
def forge(token: str, town: Town) -> Iterator[Callable[..., Forger]]:
    """Makes forgers for one test."""
    with forging(token) as forge:
        yield forge


def find_container(scan: Scan, id_: str) -> Mapping[str, Any]:
    (found,) = (one for one in scan.containers if one["id"] == id_)
    return found


@pytest.mark.parametrize(
    "form",
    [USER + "/docker-{id}.scope", "/docker/{id}", f"/kubepods/besteffort/{POD}/{{id}}", "/libpod_parent/libpod-{id}"],
)
def test_a_made_up_id_is_shown_without_a_name_and_as_not_verified(
    town: Town, forge: Callable[..., Forger], form: str
) -> None:
    id_ = secrets.token_hex(32)
    forger = forge(form.format(id=id_))
    scan = town.scan()
    assert scan.one(forger.listener.inode)["container_id"] == id_
    entry = find_container(scan, id_)
    assert (entry["name"], entry["name_state"], entry["image"]) == (None, "unknown", None)
    assert (entry["verified"], entry["source"]) == (False, "cgroup")


def test_the_id_of_a_container_that_has_ended_is_not_verified(town: Town, forge: Callable[..., Forger]) -> None:
    ended = town.bed.run("ended", "none", ["sleep", "100000"])
    town.bed.client.api.kill(ended.id)
    town.bed.client.api.wait(ended.id)
    forger = forge(f"{USER}/docker-{ended.id}.scope")
    scan = town.scan()
    assert scan.one(forger.listener.inode)["container_id"] == ended.id
    entry = find_container(scan, ended.id)
    assert (entry["name"], entry["name_state"], entry["verified"]) == (None, "unknown", False)
    ran = run_answered("scan", "-c", ended.id, *town.bed.runtime_option)
    assert (ran.status, ran.stdout) == (EXIT_NOT_FOUND, b"")
    assert ran.complaints[-1].endswith(
        "a cgroup that bears its id is not it; a container of that name does not run: exited (docker)"
    )


BELOW = [
    pytest.param("/docker/{outer}/own", id="a name of its own"),
    pytest.param("/docker/{outer}/{made_up}", id="an id"),
    pytest.param("/docker/{outer}/docker-{made_up}.scope", id="an id, as systemd"),
    pytest.param(f"/docker/{{outer}}/{POD}/{{made_up}}", id="a pod"),
    pytest.param("/docker/{outer}/lxc/{name}", id="a name of LXC"),
    pytest.param("/docker/{outer}/own/machine-web.scope/supervisor", id="nspawn's own"),
]


@pytest.mark.parametrize("form", BELOW)
def test_what_runs_in_a_cgroup_that_a_container_made_is_the_container_s(
    town: Town, forge: Callable[..., Forger], form: str
) -> None:
    made_up = secrets.token_hex(32)
    # Drawn as well: a name that is given twice on a host means neither where it is below a container.
    name = f"db-{made_up[:8]}"
    forger = forge(form.format(outer=town.outer.id, made_up=made_up, name=name))
    row = town.scan().one(forger.listener.inode)
    assert [row["container_id"], *(owner["container_id"] for owner in row["owners"])] == [town.outer.id] * 2
    of_outer = town.scan("-c", "outer")
    assert [row["local"]["port"] for row in of_outer.of_netns(town.outer.netns_inode)] == [OUTER_PORT]
    assert of_outer.one(forger.listener.inode)["container_id"] == town.outer.id
    if (claimed := made_up if "{made_up}" in form else name if "{name}" in form else None) is not None:
        assert row["owners"][0]["chain"] == [claimed]
        assert [row["inode"] for row in town.scan("-c", claimed).sockets] == [forger.listener.inode]
    assert run_answered("scan", "--pod", POD.removeprefix("pod"), *town.bed.runtime_option).status == EXIT_NOT_FOUND


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(USER + "/docker-{victim}.scope", id="in a user's service"),
        pytest.param("/system.slice/shop.service/docker/{victim}", id="in a service"),
        pytest.param("/docker/{outer}/docker/{victim}", id="in a container, as Docker in Docker"),
        pytest.param("/docker/{outer}/docker-{victim}.scope", id="in a container, as systemd"),
    ],
)
def path(request: pytest.FixtureRequest, town: Town) -> str:
    """Where a forger sits who bears the id of the victim."""
    return str(request.param).format(victim=town.victim.id, outer=town.outer.id)


@pytest.fixture(scope="module", params=list_ways())
def forger(request: pytest.FixtureRequest, token: str, town: Town, path: str) -> Iterator[Forger]:
    with forging(token) as forge:
        yield forge(path, request.param)


@pytest.fixture(scope="module")
def scan(town: Town, forger: Forger) -> Scan:
    return town.scan()


def test_a_forger_is_not_in_the_container_whose_id_it_bears(town: Town, forger: Forger, path: str, scan: Scan) -> None:
    """Who sits in another container is in that one, and else in none."""
    row = scan.one(forger.listener.inode)
    expected = town.outer.id if town.outer.id in path else None
    assert ([owner["pid"] for owner in row["owners"]], row["container_id"]) == ([forger.actor.pid], expected)
    assert [owner["container_id"] for owner in row["owners"]] == [expected]
    netns = scan.find_netns(forger.netns.inode)
    assert netns is not None
    assert netns["containers"] == ([] if expected is None else [expected])


def test_a_forged_container_keeps_its_own_socket_and_name(town: Town, scan: Scan) -> None:
    for made, port in ((town.victim, VICTIM_PORT), (town.outer, OUTER_PORT)):
        (row,) = scan.of_netns(made.netns_inode)
        assert (row["local"]["port"], row["container_id"]) == (port, made.id)
        entry = find_container(scan, made.id)
        assert (entry["name"], entry["verified"], entry["chain"]) == (made.name, True, [])


def test_the_name_of_a_forged_container_chooses_its_own_socket_only(town: Town, forger: Forger) -> None:
    scan = town.scan("-c", "victim")
    assert [row["local"]["port"] for row in scan.sockets] == [VICTIM_PORT]


def test_the_creator_of_a_socket_is_not_the_container_whose_id_its_cgroup_bears(town: Town, forger: Forger) -> None:
    """A socket carries the v2 cgroup that it was made in, and that may be a forged one."""
    scan = town.scan("--owners", "container")
    assert scan.one(forger.listener.inode)["container_id"] in (None, town.outer.id)
    (row,) = scan.of_netns(town.victim.netns_inode)
    assert row["container_id"] == town.victim.id


def test_without_an_engine_a_forger_is_told_from_the_container_too(town: Town, forger: Forger) -> None:
    scan = run_scan("-c", town.victim.id, "--runtime", "none")
    assert [row["local"]["port"] for row in scan.sockets] == [VICTIM_PORT]
