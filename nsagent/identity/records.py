"""What several sources tell of one container, as one record. Pure.

What a user's runtime tells is kept apart from what the system's do: a user can have it say anything.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from nsagent.model.container import Container, Pod
from nsagent.model.ids import ContainerId

FILES = ("bundles", "logs")
"""The sources that are files of this host; of Container.source."""

_IMAGE_ID = "sha256:"

User = int | None
"""Whose containers they are: a user's of a rootless runtime, or None, the system's."""

Records = Mapping[tuple[User, ContainerId], Container]
"""One record of each id, of the system's runtimes and of each user's."""


def list_users(record: Container) -> tuple[User, ...]:
    """Of whose containers a record may tell; a runtime of a user that somebody named is vouched for."""
    if record.told_by is None or not record.told_by.uid:
        return (None,)
    return (None, record.told_by.uid) if record.told_by.named else (record.told_by.uid,)


def list_strangers(records: Collection[Container], seen: Collection[ContainerId]) -> frozenset[str]:
    """The subjects of the runtimes that may be another host's: they are asked over TCP, and nothing shows a container.

    `seen` are the containers that the cgroup paths of this host show; another source may tell of one too.
    """
    over_tcp: defaultdict[str, set[ContainerId]] = defaultdict(set)
    here = set(seen)
    for record in records:
        told_by = record.told_by
        # A unix socket belongs to somebody, and somebody listens at it.
        if told_by and told_by.named and told_by.uid is None and told_by.pid is None and record.source not in FILES:
            over_tcp[told_by.subject].add(record.id)
        else:
            here.add(record.id)
    return frozenset(subject for subject, ids in over_tcp.items() if here.isdisjoint(ids))


def merge_records(records: Iterable[Container]) -> dict[tuple[User, ContainerId], Container]:
    """The records of several sources as one for each container.

    Of one id the earliest with a name counts, and the others fill in what it does not tell.
    """
    merged: dict[tuple[User, ContainerId], Container] = {}
    for record in records:
        for user in list_users(record):
            earlier = merged.get((user, record.id))
            if earlier is None:
                merged[user, record.id] = record
            elif earlier.name is None and record.name is not None:
                merged[user, record.id] = _fill_in(record, earlier)
            else:
                merged[user, record.id] = _fill_in(earlier, record)
    return merged


def add_records(known: dict[tuple[User, ContainerId], Container], records: Iterable[Container]) -> None:
    """Add those of which nothing is known."""
    for record in records:
        for user in list_users(record):
            known.setdefault((user, record.id), record)


def _fill_in(record: Container, other: Container) -> Container:
    """A record with what only another one of the same container tells."""
    pod = record.pod or other.pod
    if record.pod is not None and other.pod is not None:
        pod = fill_in_pod(record.pod, other.pod)
    return record._replace(
        runtime=record.runtime or other.runtime,
        image=_pick_image(record.image, other.image),
        verified=record.verified or other.verified,
        labels=other.labels if record.labels is None else record.labels,
        chain=record.chain or other.chain,
        sandboxed=record.sandboxed or other.sandboxed,
        pod=pod,
        container_name=record.container_name or other.container_name,
        sandbox=record.sandbox or other.sandbox,
    )


def _pick_image(image: str | None, other: str | None) -> str | None:
    """A name rather than an id: a kubelet has an image pulled by name and its container made of the id."""
    return other if other and (image is None or image.startswith(_IMAGE_ID)) else image


def fill_in_pod(pod: Pod, other: Pod) -> Pod:
    """A pod with what only another record of it tells."""
    return Pod(
        pod.uid or other.uid,
        pod.name or other.name,
        pod.kube_namespace or other.kube_namespace,
        pod.labels or other.labels,
        pod.config_hash or other.config_hash,
    )
