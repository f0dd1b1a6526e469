"""In which container a socket was made: the ids of cgroup-v2 directories, as rows carry them. Pure.

Source: INET_DIAG_CGROUP_ID in net/ipv4/inet_diag.c; sock_alloc() notes the cgroup of the task that
makes a socket, and an accepted socket has its listener's.
"""

from collections.abc import Mapping

from nsagent.identity.cgroup_path import CgroupIdentity
from nsagent.identity.claims import identify
from nsagent.model.facts import Facts
from nsagent.model.ids import ContainerId

Creators = Mapping[int, ContainerId | None]
"""The container of each cgroup-v2 id whose path is known; None is a cgroup of the host."""


def identify_all(facts: Facts) -> dict[str, CgroupIdentity]:
    """Who each cgroup text of these facts tells of: those of processes, their v2 lines, and the paths of rows."""
    texts = {reading.cgroup for reading in facts.processes}
    rows = (_text_of_path(path) for _, path in facts.cgroup_paths)
    return identify({*texts, *map(_cut_to_v2, texts), *rows}, facts.containers)


def map_creators(facts: Facts, identities: Mapping[str, CgroupIdentity]) -> Creators | None:
    """The container of each cgroup id that rows name; None where containers have no cgroups of version 2.

    A process whose v2 line does not name its container, as in Docker in Docker on a hybrid host,
    makes sockets in a cgroup that tells nothing: that one is left out, as are those of processes in a
    container without a cgroup. `identities` are those of identify_all, as far as they are believed.
    """
    placed = {(one.pid, one.start_ticks) for one in facts.placed}
    blurred = {
        _cut_to_v2(reading.cgroup)
        for reading in facts.processes
        if placed and (reading.pid, reading.start_ticks) in placed
    }
    in_containers = named = 0
    for text in {reading.cgroup for reading in facts.processes}:
        identity = identities[text]
        if identity.container_id is not None:
            line = _cut_to_v2(text)
            in_containers += 1
            if identities[line].container_id == identity.container_id:
                named += 1
            else:
                blurred.add(line)
    if in_containers and not named:
        return None
    # A root tells nothing: that of the tree, where nobody uses version 2, or that of the own cgroup namespace.
    texts = ((id_, _text_of_path(path)) for id_, path in facts.cgroup_paths if path != "/")
    return {id_: identities[text].container_id for id_, text in texts if text not in blurred}


def _text_of_path(path: str) -> str:
    """What /proc/PID/cgroup shows of a process in this cgroup of version 2."""
    return f"0::{path}\n"


def _cut_to_v2(text: str) -> str:
    """The line of version 2 of a cgroup text, empty without one."""
    # Not splitlines(): a cgroup's name may hold any of its separators but the newline.
    return next((f"{line}\n" for line in text.split("\n") if line.startswith("0::")), "")
