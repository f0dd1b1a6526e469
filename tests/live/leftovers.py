"""What the live tests could leave behind on a machine, and finding it.

Everything they make carries the token of the session: in the environment of each process, in the
name of each netns, in the path of each mount, as a mark in the uid of each pod and so in the names
of its cgroups. Cgroups of Docker's containers carry their ids, which its bed knows. The directories
that hold pods are compared with those that stood before.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

MARK_VARIABLE = "NSAGENT_LIVE_TOKEN"
CGROUP_ROOT = "/sys/fs/cgroup"
DOCKER_CGROUP = "docker"
POD_PARENTS = ("kubepods", "kubepods/besteffort", "kubepods/burstable")


def marked_environment(token: str) -> dict[str, str]:
    """The environment of this process, with the token."""
    return {**os.environ, MARK_VARIABLE: token}


def find_leftovers(token: str) -> list[str]:
    """Netns names, mounts, processes and cgroups of pods that carry the token, each as one line for people."""
    return [
        *(f"netns {name}" for name in _list_directory("/run/netns") if name.startswith(token)),
        *(f"mount {path}" for path in list_mounts() if token in path),
        *(f"process {pid}" for pid in list_marked_processes(token)),
        *(f"cgroup {path}" for path in sorted(list_pod_cgroups(token))),
    ]


def pod_mark(token: str) -> str:
    """What the uid of each pod of a session begins with: 8 hex digits."""
    return hashlib.sha256(token.encode()).hexdigest()[:8]


def list_mounts() -> list[str]:
    """The mount points of this mount namespace, in the order of mounting."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return [line.split(" ")[4] for line in lines]


def list_docker_cgroups(container_ids: Iterable[str]) -> set[str]:
    """The cgroups of these containers of Docker's, and those in them, in each hierarchy."""
    tops = [os.path.join(top, DOCKER_CGROUP, id_) for top in _list_hierarchies() for id_ in container_ids]
    return {path for top in tops for path, _, _ in os.walk(top)}


def list_docker_parents() -> set[str]:
    """The directories, in each cgroup hierarchy, that Docker makes to hold those of its containers."""
    candidates = (os.path.join(top, DOCKER_CGROUP) for top in _list_hierarchies())
    return {path for path in candidates if os.path.isdir(path)}


def list_pod_parents() -> set[str]:
    """The directories, in each cgroup hierarchy, that a kubelet makes to hold the pods of one class."""
    candidates = (os.path.join(top, parent) for top in _list_hierarchies() for parent in POD_PARENTS)
    return {path for path in candidates if os.path.isdir(path)}


def list_pod_cgroups(token: str) -> set[str]:
    """The cgroups of the pods of this session, and those of their containers."""
    name = f"pod{pod_mark(token)}"
    pods = (
        os.path.join(parent, pod)
        for parent in list_pod_parents()
        for pod in _list_directory(parent)
        if pod.startswith(name)
    )
    return {path for pod in pods for path, _, _ in os.walk(pod)}


def remove_cgroups(directories: set[str]) -> None:
    """Remove empty cgroups, innermost first; what is still in use stays."""
    for directory in sorted(directories, reverse=True):
        try:
            os.rmdir(directory)
        except OSError:
            continue


def list_marked_processes(token: str) -> Iterator[int]:
    """The processes that have the token in their environment, but this one."""
    return list_processes_with(MARK_VARIABLE, token)


def list_processes_with(variable: str, value: str) -> Iterator[int]:
    """The processes that have this variable with this value in their environment, but this one."""
    mark = f"{variable}={value}".encode()
    for name in _list_directory("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environ:
                if mark in environ.read().split(b"\0"):
                    yield int(name)
        except OSError:
            continue


def list_processes_in_cgroup(container_id: str) -> list[int]:
    """The processes that have a container's id in one of their cgroup paths."""
    found: list[int] = []
    for name in filter(str.isdigit, _list_directory("/proc")):
        with suppress(OSError), open(f"/proc/{name}/cgroup", encoding="utf-8") as cgroup:
            if container_id in cgroup.read():
                found.append(int(name))
    return found


def _list_hierarchies() -> list[str]:
    """Where the cgroup hierarchies are mounted: one at the root (v2), or one in each directory (v1, hybrid)."""
    return [CGROUP_ROOT, *(os.path.join(CGROUP_ROOT, name) for name in _list_directory(CGROUP_ROOT))]


def _list_directory(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
