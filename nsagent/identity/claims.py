"""Two cgroup directories with one id of a container or a pod: which of them it is. Pure.

An id is random and given once, and what it names has one directory in each hierarchy, at the same
path. Who may make cgroups (a user below user@UID.service, a service with Delegate=, root in a
container) can call one by the id of a container that runs elsewhere.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from nsagent.identity.cgroup_path import CgroupIdentity, CgroupParser
from nsagent.model.ids import ContainerId, PodUid

_DRAWN: Final = re.compile(r"[0-9a-z]{8}[0-9a-z-]{17,}")
"""What runtimes draw as ids, the shortest of which has 25 characters."""


_USER: Final = re.compile(r"/user@([0-9]{1,10})\.service/")


def identify(texts: Iterable[str]) -> dict[str, CgroupIdentity]:
    """Who each of these cgroup texts of one host tells of; an id is believed at one place only.

    That is the one with the fewest containers around it, then one that no user or service was
    delegated, then the shallowest. If that one was delegated, and another one to somebody else or to
    nobody, none of them is believed. What is not believed is read as if it had no name: a process in
    there is in the container around it, or in none, and likewise of pods. Ids that somebody chose, as
    the names of LXC's containers, may be given twice.
    """
    forged = set[str]()
    parser = CgroupParser()
    identities = {text: parser.parse(text) for text in texts}
    while found := _find_forged(identities.values()):
        forged |= found
        parser = CgroupParser(forged)
        identities = {
            text: identity if found.isdisjoint((*identity.roots, identity.pod_root)) else parser.parse(text)
            for text, identity in identities.items()
        }
    return identities


def find_user(identity: CgroupIdentity) -> int | None:
    """The uid of the user below whose user@UID.service the container's directory is, None if it is the system's.

    One below a container is of that container's users, whom nobody here knows.
    """
    match = _USER.search(identity.roots[0] if identity.roots else identity.pod_root or "")
    return int(match[1]) if match else None


def _find_forged(identities: Iterable[CgroupIdentity]) -> set[str]:
    """The directories that bear an id which another one has more right to."""
    forged: set[str] = set()
    for claims in _index_claims(identities).values():
        if len(claims) > 1:
            best, *others = sorted(_rank(root, depth) for root, depth in claims.items())
            forged.update(claim.root for claim in others)
            if best.delegate and any(claim.delegate != best.delegate for claim in others):
                forged.add(best.root)
    return forged


def _index_claims(identities: Iterable[CgroupIdentity]) -> Mapping[ContainerId | PodUid, dict[str, int]]:
    """For each id the directories that bear it, with the number of containers around them."""
    claims: defaultdict[ContainerId | PodUid, dict[str, int]] = defaultdict(dict)
    for identity in identities:
        if identity.pod_uid is not None and identity.pod_root is not None:
            claims[identity.pod_uid].setdefault(identity.pod_root, len(identity.chain))
        if identity.container_id is not None:
            for depth, (id_, root) in enumerate(
                zip((*identity.chain, identity.container_id), identity.roots, strict=True)
            ):
                if _DRAWN.fullmatch(id_):
                    claims[id_][root] = min(depth, claims[id_].get(root, depth))
    return claims


class _Claim(NamedTuple):
    """One directory that bears an id; claims ascend from the most to the least believable.

    `depth` counts the containers around it. `delegate` is the first service on its path, to which
    the rest may have been delegated; of a user's, `of_user`, it was.
    """

    depth: int
    of_user: bool
    of_service: bool
    length: int
    root: str
    delegate: str | None


def _rank(root: str, depth: int) -> _Claim:
    parents = root.split("/")[1:-1]
    delegate = next((parent for parent in parents if parent.endswith(".service")), None)
    of_user = any(parent.startswith("user@") for parent in parents)
    return _Claim(depth, of_user, delegate is not None, len(parents), root, delegate)
