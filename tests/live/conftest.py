"""Fixtures of the live tests: one token and one dockerd a session, one bed of netns a test."""

import functools
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.live.agent_bed import AgentBed
from tests.live.agent_image import BuiltImage, build_image
from tests.live.capabilities import Capability, require
from tests.live.closed_bed import ClosedBed
from tests.live.cri_bed import CriBed
from tests.live.deadlines import until
from tests.live.docker_bed import DockerBed
from tests.live.leftovers import (
    find_leftovers,
    list_docker_parents,
    list_pod_cgroups,
    list_pod_parents,
    remove_cgroups,
)
from tests.live.netns_bed import NetnsBed
from tests.live.node_bed import NodeBed
from tests.live.programs import compile_program
from tests.live.unprivileged import PlainUser


@pytest.fixture(scope="session")
def token() -> Iterator[str]:
    """Marks all that this session makes; fails the session if something of it is left at the end."""
    session = f"nsl{secrets.token_hex(4)}"
    parents_before = list_pod_parents() | list_docker_parents()
    yield session
    remove_cgroups(list_pod_cgroups(session) | (list_pod_parents() | list_docker_parents()) - parents_before)
    with suppress(TimeoutError):
        until(lambda: not find_leftovers(session), "nothing of the tests is left")
    assert find_leftovers(session) == []


@pytest.fixture
def bed(token: str) -> Iterator[NetnsBed]:
    """Makes netns and actors for one test."""
    require(Capability.ROOT, Capability.NETNS, Capability.NSENTER, Capability.SS, Capability.IPV6)
    made = NetnsBed(token)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def open_bed(token: str) -> Iterator[Callable[..., ClosedBed]]:
    """Makes closed beds for one test, with the arguments of ClosedBed but the token."""
    require(Capability.ROOT, Capability.NETNS, Capability.NSENTER, Capability.SETPRIV)
    made: list[ClosedBed] = []

    def make(**arguments: Any) -> ClosedBed:
        made.append(ClosedBed(token, **arguments))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.close()


@pytest.fixture
def closed_bed(open_bed: Callable[..., ClosedBed]) -> ClosedBed:
    """A machine within the machine for one test."""
    return open_bed()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Compiles a C program of tests/live/programs, once a session; its path."""
    require(Capability.GCC)
    directory = os.fspath(tmp_path_factory.mktemp("programs"))
    return functools.cache(lambda name: compile_program(name, directory))


@pytest.fixture(scope="session")
def docker_bed(token: str) -> Iterator[DockerBed]:
    """A dockerd of our own, in a netns of its own, for all tests."""
    require(Capability.ROOT, Capability.NETNS, Capability.NSENTER, Capability.SS)
    require(Capability.SETPRIV, Capability.DOCKERD, Capability.IPTABLES, Capability.BUSYBOX)
    made = DockerBed(token)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def cri_bed(token: str) -> Iterator[CriBed]:
    """A containerd with CRI of our own, in a netns of its own, for all tests."""
    require(Capability.ROOT, Capability.NSENTER, Capability.SS, Capability.SETPRIV)
    require(Capability.CONTAINERD, Capability.CNI_PLUGINS, Capability.BUSYBOX)
    made = CriBed(token)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def agent_image() -> BuiltImage:
    """The image of the DaemonSet, built of this checkout."""
    require(Capability.ROOT, Capability.MMDEBSTRAP)
    return build_image()


@pytest.fixture(scope="session")
def node_bed(token: str, agent_image: BuiltImage) -> Iterator[NodeBed]:
    """A node of a cluster, which has the image of the agent."""
    require(Capability.ROOT, Capability.NSENTER, Capability.SS, Capability.SETPRIV)
    require(Capability.CONTAINERD, Capability.CNI_PLUGINS, Capability.BUSYBOX)
    made = NodeBed(token)
    try:
        made.start()
        with agent_image.archive.open("rb") as archive:
            made.import_archive(archive)
        made.await_image(agent_image.pulled_name)
        yield made
    finally:
        made.close()


@pytest.fixture
def plain_user(token: str) -> Iterator[PlainUser]:
    """Runs nsagent as an ordinary user."""
    require(Capability.ROOT, Capability.SETPRIV)
    user = PlainUser(token)
    try:
        user.require_readable_interpreter()
        yield user
    finally:
        user.close()


@pytest.fixture
def agent(tmp_path: Path, token: str) -> Iterator[AgentBed]:
    """An agent for one test, to be given a config and started."""
    require(Capability.ROOT, Capability.NETNS)
    bed = AgentBed(tmp_path, token)
    try:
        yield bed
    finally:
        bed.close()


@pytest.fixture
def host_netns() -> int | None:
    """The inode of the host netns, that of a kernel thread; None in a PID namespace that shows none."""
    try:
        with open("/proc/2/stat", encoding="ascii") as stat:
            is_kthreadd = "(kthreadd)" in stat.read()
        return os.stat("/proc/2/ns/net").st_ino if is_kthreadd else None
    except OSError:
        return None


@pytest.fixture
def capture_file(tmp_path: Path) -> str:
    """Where a test may write a capture."""
    return str(tmp_path / "capture")
