"""Containers and pods."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from nsagent.model.ids import ContainerId, Pid, PodUid


class Runtime(StrEnum):
    """Which runtime runs a container, as far as its cgroup path or the runtime itself tells."""

    DOCKER = "docker"
    CONTAINERD = "containerd"
    CRIO = "cri-o"
    PODMAN = "podman"
    LXC = "lxc"
    NSPAWN = "nspawn"
    ECS = "ecs"
    GARDEN = "garden"
    BUILDKIT = "buildkit"


class NameState(StrEnum):
    """Whether a container's name is known; there are no placeholder names.

    `pending`: a runtime that knows this id answered, but not yet with a name. `unknown`: nobody
    that was asked knows it.
    """

    KNOWN = "known"
    PENDING = "pending"
    UNKNOWN = "unknown"


class ToldBy(NamedTuple):
    """Who told of a container: the `subject` of the source, the uid that its socket belongs to, None without one.

    `named`: somebody asked for it, it was not just found. `pid` is that of who listens at its socket, as this
    program sees it; None without one.
    """

    subject: str
    uid: int | None
    named: bool
    pid: Pid | None = None


class Init(NamedTuple):
    """The first process of a container as its runtime tells: it may be gone, and its pid another's by now.

    `pid` is that in the runtime's own PID namespace. `started_seconds` is when the container was
    started, in whole seconds since the epoch.
    """

    pid: Pid
    started_seconds: int


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of Kubernetes, or one of podman's, which has no kube_namespace.

    `name` and `kube_namespace` are None where only the cgroup path names it.

    `labels` are the pod's own, as its sandbox carries them. `config_hash` is that of a static pod
    (the annotation kubernetes.io/config.hash): its cgroup is called by it, whatever its uid is.
    """

    uid: PodUid | None
    name: str | None = None
    kube_namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    config_hash: PodUid | None = None


class Container(NamedTuple):
    """What is known of one container."""

    id: ContainerId
    name: str | None
    """What the runtime calls it."""
    name_state: NameState
    runtime: Runtime | None
    image: str | None
    verified: bool
    """A runtime or a bundle knows this id; one that only a cgroup path or the name of a log shows may be forged."""
    source: str
    """Who told: `docker`, `podman`, `cri`, `bundles`, `logs` or `cgroup`."""
    labels: Mapping[str, str] | None = None
    """None where nobody who tells labels was asked."""
    chain: tuple[ContainerId, ...] = ()
    """The ids of the containers around it, outermost first, itself not included."""
    sandboxed: str | None = None
    """A runtime with a network stack of its own (gvisor, kata), whose sockets this kernel does not see."""
    pod: Pod | None = None
    container_name: str | None = None
    """The name inside its pod (Kubernetes)."""
    sandbox: bool = False
    """It is the pause container of its pod, and called like the pod."""
    told_by: ToldBy | None = None
    """None where only paths tell."""
    init: Init | None = None
    """None where its runtime was not asked, or does not tell."""
    state: str | None = None
    """What its runtime calls its state, as in `exited`, where those that do not run were asked for too."""
