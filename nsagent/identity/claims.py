"""Two cgroup directories with one id of a container or a pod: which of them it is. Pure.

An id is random and given once, and what it names has one directory in each hierarchy, at the same
path. Who may make cgroups (a user below user@UID.service, a service or a scope with Delegate=, root
in a container) can call one by the id of a container that runs elsewhere.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from nsagent.identity.cgroup_path import CgroupIdentity, CgroupParser
from nsagent.identity.records import list_users
from nsagent.model.container import Container
from nsagent.model.ids import ContainerId, PodUid

_DRAWN: Final = re.compile(r"[0-9a-z]{8}[0-9a-z-]{17,}")
"""What runtimes draw as ids, the shortest of which has 25 characters."""

_USER: Final = re.compile(r"/user@([0-9]{1,10})\.service/")

_Told: TypeAlias = Mapping[ContainerId, Sequence[Container]]
"""What is told of containers by those who are vouched for; what is not verified may have ended."""


def identify(texts: Iterable[str], records: Iterable[Container] = ()) -> dict[str, CgroupIdentity]:
    """Who each of these cgroup texts of one host tells of; an id is believed at one place only.

    That is the one with the fewest containers around it, then one that no user, service or scope was
    delegated, then the shallowest. If that one was delegated, or is in a container, and another one is
    not in there, none of them is believed. What is not believed is read as if it had no name: a process
    in there is in the container around it, or in none, and likewise of pods. Ids that somebody chose, as
    the names of LXC's containers, may be given twice: such a one is believed at all places of whoever
    has the most right to it, and below a container.

    With the `records` of containers the id of one is not believed where it cannot be: in another container
    of its runtime; and, of one that runs, below user@UID.service, unless that user's runtime may tell of it. Whose
    a runtime is that somebody named and that is asked over TCP nobody knows.
    """
    forged = set[str]()
    parser = CgroupParser()
    told = _index_told(records)
    identities = {text: parser.parse(text) for text in texts}
    while found := _find_forged(identities.values(), told):
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
    return _find_user(identity.roots[0] if identity.roots else identity.pod_root or "")


def _find_user(root: str) -> int | None:
    match = _USER.search(root)
    return int(match[1]) if match else None


def _list_roots(identity: CgroupIdentity) -> set[str | None]:
    """The directories of the containers and of the pods on a path."""
    return {*identity.roots, *(one.pod_root for one in (*identity.around, identity))}


def _index_told(records: Iterable[Container]) -> _Told:
    """Of a user's runtime, which may say anything, only where somebody named it."""
    told: defaultdict[ContainerId, list[Container]] = defaultdict(list)
    for record in records:
        if None in list_users(record):
            told[record.id].append(record)
    return told


def _find_forged(identities: Iterable[CgroupIdentity], told: _Told) -> set[str]:
    """The directories that bear an id which another one has more right to, or whose container is elsewhere."""
    forged: set[str] = set()
    for id_, places in _index_places(identities).items():
        if id_ in told:
            elsewhere = {root for root, place in places.items() if _is_elsewhere(ContainerId(id_), place, told)}
            forged |= elsewhere
            places = {root: place for root, place in places.items() if root not in elsewhere}
        if len(places) > 1:
            best, *others = sorted(_rank(root, place) for root, place in places.items())
            was_drawn = _DRAWN.fullmatch(id_) is not None
            forged.update(claim.root for claim in others if was_drawn or claim.delegate != best.delegate)
            if not all(map(best.has_more_right, others)):
                forged.add(best.root)
    return forged


class _Place(NamedTuple):
    """Where a directory is: the containers around it, and the directory of the outermost one, or itself."""

    chain: tuple[ContainerId, ...]
    top: str


def _index_places(identities: Iterable[CgroupIdentity]) -> Mapping[ContainerId | PodUid, dict[str, _Place]]:
    """For each id the directories that bear it."""
    found: defaultdict[ContainerId | PodUid, dict[str, _Place]] = defaultdict(dict)
    for identity in identities:  # One for each cgroup text: 10 us each.
        for one in (*identity.around, identity):
            if one.pod_uid is not None and one.pod_root is not None:
                # Of who is deep below a pod the containers in it are around the process, and not around the pod.
                around = zip(one.chain, one.roots, strict=False)
                outer = tuple(id_ for id_, root in around if one.pod_root.startswith(f"{root}/"))
                found[one.pod_uid][one.pod_root] = _Place(outer, one.roots[0] if outer else one.pod_root)
            if one.container_id is not None and (not one.chain or _DRAWN.fullmatch(one.container_id)):
                found[one.container_id][one.roots[-1]] = _Place(one.chain, one.roots[0])
    return found


def _is_elsewhere(id_: ContainerId, place: _Place, told: _Told) -> bool:
    """Whether the container of this id is told of, and cannot be in this place."""
    records = told[id_]
    users = {user for record in records if record.verified and _is_user_known(record) for user in list_users(record)}
    if users and _find_user(place.top) not in {None, *users}:
        return True
    around = {subject for outer in place.chain for subject in _list_subjects(told.get(outer, ()))}
    return not around.isdisjoint(_list_subjects(records))


def _is_user_known(record: Container) -> bool:
    told_by = record.told_by
    return told_by is None or told_by.uid is not None or not told_by.named


def _list_subjects(records: Iterable[Container]) -> Iterator[str]:
    """Who tells."""
    return (record.told_by.subject for record in records if record.told_by is not None)


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
    chain: tuple[ContainerId, ...]

    def has_more_right(self, other: "_Claim") -> bool:
        """Whether the other one may only have been made by somebody in whose hands this one is as well."""
        return other.chain[: self.depth] == self.chain and self.delegate in (None, other.delegate)


def _rank(root: str, place: _Place) -> _Claim:
    parents = root.split("/")[1:-1]
    delegate = next((parent for parent in parents if parent.endswith((".service", ".scope"))), None)
    of_user = any(parent.startswith("user@") for parent in parents)
    return _Claim(len(place.chain), of_user, delegate is not None, len(parents), root, delegate, place.chain)
