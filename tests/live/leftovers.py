"""What the live tests could leave behind on a machine, and finding it.

Everything they make carries the token of the session: in the environment of each process, in the
name of each netns, in the path of each mount. Cgroups that Docker makes are compared with those
that stood before.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

MARK_VARIABLE = "NSAGENT_LIVE_TOKEN"
CGROUP_ROOT = "/sys/fs/cgroup"
DOCKER_CGROUP = "docker"


def marked_environment(token: str) -> dict[str, str]:
    """The environment of this process, with the token."""
    return {**os.environ, MARK_VARIABLE: token}


def find_leftovers(token: str) -> list[str]:
    """Netns names, mounts and processes that carry the token, each as one line for people."""
    return [
        *(f"netns {name}" for name in _list_directory("/run/netns") if name.startswith(token)),
        *(f"mount {path}" for path in list_mounts() if token in path),
        *(f"process {pid}" for pid in list_marked_processes(token)),
    ]


def list_mounts() -> list[str]:
    """The mount points of this mount namespace, in the order of mounting."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return [line.split(" ")[4] for line in lines]


def list_docker_cgroups() -> set[str]:
    """The directories that Docker makes at the top of each cgroup hierarchy, and those in them."""
    tops = [CGROUP_ROOT, *(os.path.join(CGROUP_ROOT, name) for name in _list_directory(CGROUP_ROOT))]
    found: set[str] = set()
    for top in tops:
        directory = os.path.join(top, DOCKER_CGROUP)
        if os.path.isdir(directory):
            found.update(path for path, _, _ in os.walk(directory))
    return found


def remove_cgroups(directories: set[str]) -> None:
    """Remove empty cgroups, innermost first; what is still in use stays."""
    for directory in sorted(directories, reverse=True):
        try:
            os.rmdir(directory)
        except OSError:
            continue


def list_marked_processes(token: str) -> Iterator[int]:
    """The processes that have the token in their environment, but this one."""
    mark = f"{MARK_VARIABLE}={token}".encode()
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


def _list_directory(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
