"""The text of /proc/PID/cgroup -> container, pod and systemd unit.

Source: cgroups(7); kernel/cgroup/cgroup.c, proc_cgroup_show(); the path forms are those that the
runtimes make (runc's two cgroup drivers, conmon, LXC, nspawn, ECS, Garden, BuildKit), one row each
in fixtures/cgroups. A path proves nothing: whoever may mkdir in a delegated cgroup can make a
directory that looks like a container's. Whether a runtime knows the id is join's business.
"""

import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import NamedTuple

from nsagent.model.container import Runtime
from nsagent.model.ids import OCI_ID, ContainerId, PodUid

_PATH_MAX = 4096
_DELETED = " (deleted)"

_HEX_ID = re.compile(OCI_ID)
_PREFIXED_ID = re.compile(rf"(docker|cri-containerd|crio|libpod|libpod-payload|nerdctl|runc)-({OCI_ID})(?:\.scope)?")
_SLICE_PREFIX_ID = re.compile(rf"[^:]*:(docker|cri-containerd|crio|libpod|nerdctl):({OCI_ID})")
_BUILD_ID = re.compile(r"[0-9a-z]{25}")
_BUILD_SCOPE = re.compile(r"(?:docker-([0-9a-z]{25})\.scope|[^:]*:docker:([0-9a-z]{25}))")
_ECS_ID = re.compile(r"([0-9a-f]{32})-[0-9]{1,20}")
_GARDEN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){4}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_POD = re.compile(r"(?:pod|.*kubepods(?:-[a-z]+)?-pod)([0-9a-f_-]{32,36})(?:\.slice(?::.*)?)?", re.DOTALL)
_POD_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")
_MACHINE = re.compile(r"machine-(.+)\.scope|systemd-nspawn@(.+)\.service", re.DOTALL)
_VIRTUAL_MACHINE = re.compile(r"(?:qemu|ch|xen|bhyve)-[0-9]+-.*")
_LIBVIRT_LXC = re.compile(r"lxc-[0-9]+-.*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,254}")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")

_RUNTIME_OF_PREFIX = {
    "docker": Runtime.DOCKER,
    "cri-containerd": Runtime.CONTAINERD,
    "nerdctl": Runtime.CONTAINERD,
    "crio": Runtime.CRIO,
    "libpod": Runtime.PODMAN,
    "libpod-payload": Runtime.PODMAN,
    "runc": None,
}
# A bare id below one of these; elsewhere (a pod, a custom cgroup parent) several runtimes write the same.
_RUNTIME_OF_PARENT = {
    "docker": Runtime.DOCKER,
    "buildx": Runtime.DOCKER,
    "moby": Runtime.DOCKER,
    "default": Runtime.CONTAINERD,
    "k8s.io": Runtime.CONTAINERD,
}
# What they hold is named by 64 hex digits and is no container: podman's pods, Kata's VM monitors. In a cgroup parent
# that somebody chose a pod of podman's is called as a container would be, and is taken for one: a container must not
# be left by calling a cgroup below it like a container of podman's.
_PARENTS_OF_OTHERS = frozenset({"libpod_parent", "kata_overhead"})
# Directories that nspawn, podman and LXC put between a container and the systemd in it.
_PASSAGES = frozenset({"payload", "container", "ns"})

_MOST_NESTED = 8
"""More containers are in each other nowhere. Whoever may make cgroups can nest as many as a path has room for, and
where names are claimed twice, all paths are read once more for each that is not believed."""


@dataclass(frozen=True, slots=True)
class CgroupIdentity:
    """What the cgroup paths of one process say."""

    container_id: ContainerId | None
    """The innermost container."""
    runtime: Runtime | None
    """None where several runtimes write the same path."""
    pod_uid: PodUid | None
    """The pod that the container is in (a static pod's is its config hash); without one, that whose cgroup this is."""
    chain: tuple[ContainerId, ...]
    """The containers around it, outermost first."""
    unit: str | None
    """The innermost systemd service or scope that is no container, also one inside a container.

    `nginx.service`, `session-3.scope`, `init.scope`; `user@1000.service` for what is the user's and in no
    unit of theirs, never for a container there, and `user@1000.service/nginx.service` for a unit of theirs, which
    they may call as they like.
    """
    path: str | None
    """The one that told all this, the v2 one where several tell the same, None if the text holds no path."""
    roots: tuple[str, ...] = ()
    """The directories of the containers, those of the chain first and that of the innermost one last.

    The part of the path that ends with the id, without what leads out of another cgroup namespace (`/..`).
    """
    pod_root: str | None = None
    """That of the pod."""
    around: tuple["CgroupIdentity", ...] = field(default=(), compare=False, repr=False)
    """The identities of whoever is in a container of the chain and in none below it."""
    inner: tuple[ContainerId, ...] = ()
    """Containers below the innermost one that nobody vouches for, outermost first: a path alone has none."""


class _Found(NamedTuple):
    """One container on a path, its directory, and the pod around it with that of its own."""

    id: ContainerId
    runtime: Runtime | None
    root: str
    pod_uid: PodUid | None
    pod_root: str | None


class _Reading(NamedTuple):
    """One path: its containers from outer to inner, the last pod and the innermost unit."""

    path: str
    containers: tuple[_Found, ...]
    pod_uid: PodUid | None
    pod_root: str | None
    unit: str | None


def parse_cgroup(text: str, forged: Container[str] = frozenset()) -> CgroupIdentity:
    """Who a process is by the text of its cgroup file.

    Every line counts, v1 or v2, and the deepest nesting wins: in hybrid mode the id may stand on
    a v1 line only, or on `0::` only. Paths relative to another cgroup namespace (`/../..`) and of
    removed cgroups (` (deleted)`) are read too. A directory among the `forged` ones is no container's
    and no pod's. Any text has an answer; nothing is raised.
    """
    return CgroupParser(forged).parse(text)


class CgroupParser:
    """parse_cgroup() for many texts of one host, which have most paths in common: each is read once."""

    def __init__(self, forged: Container[str] = frozenset()) -> None:
        self._forged = forged
        self._readings: dict[str, _Reading] = {}

    def parse(self, text: str) -> CgroupIdentity:
        """Who a process with this text is."""
        return _conclude([self._read(path) for path in _list_paths(text)])

    def _read(self, path: str) -> _Reading:
        reading = self._readings.get(path)
        if reading is None:
            reading = self._readings[path] = _PathReader(self._forged).read(path)
        return reading


def _conclude(readings: list[_Reading]) -> CgroupIdentity:
    """What the paths of one process say together: the one that tells most counts, of equal ones the first."""
    if not readings:
        return CgroupIdentity(None, None, None, (), None, None)
    best = max(readings, key=lambda told: (len(told.containers), told.pod_uid is not None, told.unit is not None))
    if not best.containers:
        return CgroupIdentity(None, None, best.pod_uid, (), best.unit, best.path, pod_root=best.pod_root)
    ids = tuple(found.id for found in best.containers)
    roots = tuple(found.root for found in best.containers)
    around: tuple[CgroupIdentity, ...] = ()
    for depth, (id_, runtime, _, pod_uid, pod_root) in enumerate(best.containers):
        identity = CgroupIdentity(
            id_, runtime, pod_uid, ids[:depth], best.unit, best.path, roots[: depth + 1], pod_root, around
        )
        around = (*around, identity)
    return identity


def _list_paths(text: str) -> list[str]:
    """The distinct paths: that of v2, then systemd's own hierarchy, then the others."""
    unified: list[str] = []
    systemd: list[str] = []
    others: list[str] = []
    # Not splitlines(): a cgroup's name may hold any of its separators but the newline.
    for line in text.split("\n"):
        fields = line.split(":", 2)
        if len(fields) != 3 or not fields[2].startswith("/") or len(fields[2]) > _PATH_MAX:
            continue
        path = fields[2].removesuffix(_DELETED)
        if fields[0] == "0" and not fields[1]:
            unified.append(path)
        elif fields[1] == "name=systemd":
            systemd.append(path)
        else:
            others.append(path)
    return list(dict.fromkeys(unified + systemd + others))


class _PathReader:
    """What one path says, segment by segment from the root."""

    def __init__(self, forged: Container[str]) -> None:
        self._forged = forged
        self._containers: list[_Found] = []
        self._named = 0
        self._pod: tuple[PodUid, str] | tuple[None, None] = (None, None)
        self._is_pod_named = False
        """Also by a directory that is forged, so that no long row of these has to be looked at one after the other."""
        self._unit: str | None = None
        # Whose units they are: a user's, and a user's around the container.
        self._manager: str | None = None
        self._manager_around: str | None = None
        # systemd's units hang below slices only; what a service makes below itself is no unit.
        self._below_slices = True

    def read(self, path: str) -> _Reading:
        """The whole of it."""
        parent = grandparent = root = ""
        for segment in path.split("/"):
            if not segment or segment == "..":
                continue
            self._enter_pod(segment, root)
            root = f"{root}/{segment}"
            if found := self._find_container(segment, parent, grandparent, root):
                self._enter_container(*found, root)
            elif self._containers and root == f"{self._containers[-1].root}/supervisor" and _MACHINE.fullmatch(parent):
                # systemd-nspawn itself, which runs outside of the machine that it watches. Further below anybody who
                # is in a container may call a cgroup so.
                self._containers.pop()
                self._manager = self._manager_around
                self._unit = _name_unit(parent, self._manager)
            else:
                self._enter_unit(segment, parent)
            grandparent, parent = parent, segment
        innermost = self._containers[-1] if self._containers else None
        pod_uid, pod_root = self._pod if innermost is None else (innermost.pod_uid, innermost.pod_root)
        return _Reading(path, tuple(self._containers), pod_uid, pod_root, self._unit)

    def _enter_pod(self, segment: str, parent_root: str) -> None:
        """Into the first one around a container: no pod is right in another one."""
        pod = None if self._is_pod_named else _find_pod(segment)
        if pod is not None:
            self._is_pod_named = True
            # `<slice of the pod>:<prefix>:<id>` is a container in no directory of its pod's.
            root = f"{parent_root}/{segment.partition(':')[0]}"
            self._pod = self._pod if root in self._forged else (pod, root)

    def _find_container(
        self, segment: str, parent: str, grandparent: str, root: str
    ) -> tuple[ContainerId, Runtime | None] | None:
        found = _find_container(segment, parent, grandparent)
        if found is None:
            return None
        self._named += 1
        return found if self._named <= _MOST_NESTED and root not in self._forged else None

    def _enter_container(self, id_: ContainerId, runtime: Runtime | None, root: str) -> None:
        if all(outer.id != id_ for outer in self._containers):
            self._containers.append(_Found(id_, runtime, root, *self._pod))
        self._is_pod_named = False
        self._below_slices = True
        self._unit = None if self._unit == self._manager else self._unit
        self._manager, self._manager_around = None, self._manager

    def _enter_unit(self, segment: str, parent: str) -> None:
        """Into a unit, or into any other directory."""
        if segment.endswith((".service", ".scope")):
            if self._below_slices and not (segment == "init.scope" and parent.startswith("user@")):
                self._unit = _name_unit(segment.removeprefix("_"), self._manager)
            self._below_slices = self._below_slices and segment.startswith("user@")
            self._manager = self._manager or (segment if self._below_slices else None)
        else:
            self._below_slices = self._below_slices and (segment.endswith(".slice") or segment in _PASSAGES)


def _name_unit(name: str, manager: str | None) -> str:
    """A unit, with whose it is unless it is the system's."""
    return name if manager is None else f"{manager}/{name}"


def _find_pod(segment: str) -> PodUid | None:
    """The uid in `pod<uid>` or `kubepods-burstable-pod<uid with _>.slice`, else None."""
    if "pod" not in segment:
        return None
    match = _POD.fullmatch(segment)
    if match is None:
        return None
    uid = match[1].replace("_", "-")
    return PodUid(uid) if _POD_UID.fullmatch(uid) else None


def _find_container(segment: str, parent: str, grandparent: str) -> tuple[ContainerId, Runtime | None] | None:
    """The container whose cgroup is called `segment`, else None.

    Only whole segments count, and only known prefixes: conmon's `crio-conmon-<id>` holds the id of
    a container and is none.
    """
    if parent in ("lxc", "lxc.payload") or segment.startswith("lxc.payload."):
        return _named(segment.removeprefix("lxc.payload."), Runtime.LXC)
    if segment.startswith(("machine-", "systemd-nspawn@")):
        return _find_machine(segment, parent)
    if len(segment) >= 64:
        return _find_hex_id(segment, parent, grandparent)
    if len(segment) >= 25:
        return _find_short_id(segment, parent, grandparent)
    return None


def _find_hex_id(segment: str, parent: str, grandparent: str) -> tuple[ContainerId, Runtime | None] | None:
    """An OCI runtime's id: bare, as `<prefix>-<id>[.scope]`, or as `<slice>:<prefix>:<id>`.

    The last is what runc's cgroupfs driver makes of a path meant for its systemd driver.
    """
    if _HEX_ID.fullmatch(segment):
        if parent in _PARENTS_OF_OTHERS:
            return None
        # Below /ecs/<task id> it is Docker's: ECS on its own runtime has ids of another form.
        runtime = Runtime.DOCKER if grandparent == "ecs" else _RUNTIME_OF_PARENT.get(parent)
        return ContainerId(segment), runtime
    match = _PREFIXED_ID.fullmatch(segment) or _SLICE_PREFIX_ID.fullmatch(segment)
    return (ContainerId(match[2]), _RUNTIME_OF_PREFIX[match[1]]) if match else None


def _find_short_id(segment: str, parent: str, grandparent: str) -> tuple[ContainerId, Runtime | None] | None:
    """An id of ECS, Garden or BuildKit: these are short, so where they stand counts too."""
    ecs = _ECS_ID.fullmatch(segment)
    if ecs is not None:
        return (ContainerId(segment), Runtime.ECS) if parent in (ecs[1], "ecs", "") else None
    if _GARDEN_ID.fullmatch(segment):
        return ContainerId(segment), Runtime.GARDEN
    if _UUID.fullmatch(segment):
        in_garden = parent == "garden" or (grandparent == "garden" and parent in ("good", "bad"))
        return (ContainerId(segment), Runtime.GARDEN) if in_garden else None
    if parent == "buildkit" and _BUILD_ID.fullmatch(segment):
        return ContainerId(segment), Runtime.BUILDKIT
    build = _BUILD_SCOPE.fullmatch(segment)
    return (ContainerId(build[1] or build[2]), Runtime.BUILDKIT) if build else None


def _find_machine(segment: str, parent: str) -> tuple[ContainerId, Runtime | None] | None:
    """A machine of systemd-machined that is a container; libvirt registers its VMs there too."""
    match = _MACHINE.fullmatch(segment)
    if match is None or (match[1] and parent not in ("machine.slice", "")):
        return None
    name = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), match[1] or match[2])
    if _VIRTUAL_MACHINE.fullmatch(name):
        return None
    return _named(name, Runtime.LXC if _LIBVIRT_LXC.fullmatch(name) else Runtime.NSPAWN)


def _named(name: str, runtime: Runtime) -> tuple[ContainerId, Runtime] | None:
    """A container that is identified by its name."""
    return (ContainerId(name), runtime) if _NAME.fullmatch(name) else None
