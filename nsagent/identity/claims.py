"""Two cgroup directories with one id of a container or a pod: which of them it is. Pure.

An id is random and given once, and what it names has one directory in each hierarchy, at the same
path. Who may make cgroups (a user below user@UID.service, a service or a scope with Delegate=, root
in a container) can call one by the id of a container that runs elsewhere.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from nsagent.identity.cgroup_path import CgroupIdentity, CgroupParser
from nsagent.model.ids import ContainerId, PodUid

_DRAWN: Final = re.compile(r"[0-9a-z]{8}[0-9a-z-]{17,}")
"""What runtimes draw as ids, the shortest of which has 25 characters."""

_USER: Final = re.compile(r"/user@([0-9]{1,10})\.service/")

_Chain: TypeAlias = tuple[ContainerId, ...]


def identify(texts: Iterable[str]) -> dict[str, CgroupIdentity]:
    """Who each of these cgroup texts of one host tells of; an id is believed at one place only.

    That is the one with the fewest containers around it, then one that no user, service or scope was
    delegated, then the shallowest. If that one was delegated, or is in a container, and another one is
    not in there, none of them is believed. What is not believed is read as if it had no name: a process
    in there is in the container around it, or in none, and likewise of pods. Ids that somebody chose, as
    the names of LXC's containers, may be given twice: such a one is believed at all places of whoever
    has the most right to it, and below a container.
    """
    forged = set[str]()
    parser = CgroupParser()
    identities = {text: parser.parse(text) for text in texts}
    while found := _find_forged(identities.values()):
        forged |= found
        parser = CgroupParser(forged)
        identities = {
            text: identity if found.isdisjoint(_list_roots(identity)) else parser.parse(text)
            for text, identity in identities.items()
        }
    return identities


def find_user(identity: CgroupIdentity) -> int | None:
    """The uid of the user below whose user@UID.service the container's directory is, None if it is the system's.

    One below a container is of that container's users, whom nobody here knows.
    """
    match = _USER.search(identity.roots[0] if identity.roots else identity.pod_root or "")
    return int(match[1]) if match else None


def _list_roots(identity: CgroupIdentity) -> set[str | None]:
    """The directories of the containers and of the pods on a path."""
    return {*identity.roots, *(one.pod_root for one in (*identity.around, identity))}


def _find_forged(identities: Iterable[CgroupIdentity]) -> set[str]:
    """The directories that bear an id which another one has more right to."""
    forged: set[str] = set()
    for id_, claims in _index_claims(identities).items():
        if len(claims) > 1:
            best, *others = sorted(_rank(root, chain) for root, chain in claims.items())
            was_drawn = _DRAWN.fullmatch(id_) is not None
            forged.update(claim.root for claim in others if was_drawn or claim.delegate != best.delegate)
            if not all(map(best.has_more_right, others)):
                forged.add(best.root)
    return forged


def _index_claims(identities: Iterable[CgroupIdentity]) -> Mapping[ContainerId | PodUid, dict[str, _Chain]]:
    """For each id the directories that bear it, with the containers around them."""
    claims: defaultdict[ContainerId | PodUid, dict[str, _Chain]] = defaultdict(dict)
    for identity in set(identities):
        for one in (*identity.around, identity):
            if one.pod_uid is not None and one.pod_root is not None:
                # Of who is deep below a pod the containers in it are around the process, and not around the pod.
                around = zip(one.chain, one.roots, strict=False)
                outer = tuple(id_ for id_, root in around if one.pod_root.startswith(f"{root}/"))
                claims[one.pod_uid][one.pod_root] = outer
            if one.container_id is not None and (_DRAWN.fullmatch(one.container_id) or not one.chain):
                claims[one.container_id][one.roots[-1]] = one.chain
    return claims


class _Claim(NamedTuple):
    """One directory that bears an id; claims ascend from the most to the least believable.

    `depth` counts the containers around it, which are `chain`. `delegate` is the first service or scope on
    its path, to which the rest may have been delegated; of a user's, `of_user`, it was.
    """

    depth: int
    of_user: bool
    of_delegate: bool
    length: int
    root: str
    delegate: str | None
    chain: _Chain

    def has_more_right(self, other: "_Claim") -> bool:
        """Whether the other one may only have been made by somebody in whose hands this one is as well."""
        return other.chain[: self.depth] == self.chain and self.delegate in (None, other.delegate)


def _rank(root: str, chain: _Chain) -> _Claim:
    parents = root.split("/")[1:-1]
    delegate = next((parent for parent in parents if parent.endswith((".service", ".scope"))), None)
    of_user = any(parent.startswith("user@") for parent in parents)
    return _Claim(len(chain), of_user, delegate is not None, len(parents), root, delegate, chain)
