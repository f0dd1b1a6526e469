"""Cgroup identities + what the engines know -> the containers of a pass.

The two meet on the full container id, never on a name, a netns or a pid: those are reused and
shared. Pods meet on their uid, and static pods on their config hash, by which their cgroups are
called.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from nsagent.identity.cgroup_path import CgroupIdentity
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.ids import ContainerId, PodUid

NAMED_BY_ID = (Runtime.LXC, Runtime.NSPAWN)
"""Runtimes whose containers are called by their id."""

_IMAGE_ID = "sha256:"
_FILES = ("bundles", "logs")

Pods = Mapping[PodUid, Pod]
"""The pods that were told of, by uid, by config hash, and by what the cgroups of their containers call them."""


def join_containers(
    identities: Iterable[CgroupIdentity],
    engine_answers: Iterable[Container],
    kept: Iterable[Container] = (),
    wanted: Collection[ContainerId] = (),
) -> tuple[Container, ...]:
    """Every container that a cgroup path or an engine shows, once, by ascending id.

    The containers of a chain are there too. One that an engine knows has the engine's name, image
    and labels, whether or not it has processes; it is verified. One that only paths show has name
    None and `unknown`, unless its name is its id (LXC, nspawn). Of several records of one id the
    earliest with a name counts, and the others fill in what it does not tell. Where paths disagree
    on an id, the shallowest wins. A bundle or the name of a log makes no container of its own, for
    these stay when it is gone, but a sandboxed one, whose processes may be in no cgroup here.
    `kept` are records of earlier passes: they tell of what only
    paths show, and of the ids in `wanted`, which may be of containers that are gone. A pod that
    one of its containers names is that of the others too.
    """
    seen = _index_identities(identities)
    known = _merge_records(engine_answers)
    for record in kept:
        if record.id not in known and (record.id in seen or record.id in wanted):
            known[record.id] = record
    pods = _index_pods(known.values(), seen)
    ids = seen.keys() | {
        id_ for id_, one in known.items() if one.source not in _FILES or one.sandboxed is not None or id_ in wanted
    }
    return tuple(_join_one(id_, seen.get(id_), known.get(id_), pods) for id_ in sorted(ids))


def _index_identities(identities: Iterable[CgroupIdentity]) -> dict[ContainerId, CgroupIdentity]:
    """The one identity to believe for each id; those of a chain are known by it alone."""
    best: dict[ContainerId, CgroupIdentity] = {}
    for identity in set(identities):
        if identity.container_id is None:
            continue
        outer = (
            CgroupIdentity(id_, None, None, identity.chain[:depth], None, None)
            for depth, id_ in enumerate(identity.chain)
        )
        for candidate in (*outer, identity):
            id_ = candidate.container_id
            if id_ is not None and (id_ not in best or _rank(candidate) < _rank(best[id_])):
                best[id_] = candidate
    return best


def _rank(identity: CgroupIdentity) -> tuple[int, bool, bool, tuple[ContainerId, ...], str, str, str]:
    """Ascends from the most to the least believable; a total order, so that the result has one."""
    return (
        len(identity.chain),
        identity.runtime is None,
        identity.pod_uid is None,
        identity.chain,
        identity.runtime or "",
        identity.pod_uid or "",
        identity.path or "",
    )


def _merge_records(records: Iterable[Container]) -> dict[ContainerId, Container]:
    """One record of each id."""
    merged: dict[ContainerId, Container] = {}
    for record in records:
        earlier = merged.get(record.id)
        if earlier is None:
            merged[record.id] = record
        elif earlier.name is None and record.name is not None:
            merged[record.id] = _fill_in(record, earlier)
        else:
            merged[record.id] = _fill_in(earlier, record)
    return merged


def _fill_in(record: Container, other: Container) -> Container:
    """A record with what only another one of the same container tells."""
    pod = record.pod or other.pod
    if record.pod is not None and other.pod is not None:
        pod = _fill_in_pod(record.pod, other.pod)
    return replace(
        record,
        runtime=record.runtime or other.runtime,
        image=_pick_image(record.image, other.image),
        verified=record.verified or other.verified,
        labels=record.labels or other.labels,
        chain=record.chain or other.chain,
        sandboxed=record.sandboxed or other.sandboxed,
        pod=pod,
        container_name=record.container_name or other.container_name,
        sandbox=record.sandbox or other.sandbox,
    )


def _pick_image(image: str | None, other: str | None) -> str | None:
    """A name rather than an id: a kubelet has an image pulled by name and its container made of the id."""
    return other if other and (image is None or image.startswith(_IMAGE_ID)) else image


def _fill_in_pod(pod: Pod, other: Pod) -> Pod:
    return Pod(
        pod.uid or other.uid,
        pod.name or other.name,
        pod.kube_namespace or other.kube_namespace,
        pod.labels or other.labels,
        pod.config_hash or other.config_hash,
    )


def _index_pods(records: Iterable[Container], seen: Mapping[ContainerId, CgroupIdentity]) -> Pods:
    """The pods that records tell of; what a sandbox tells goes before what its containers do."""
    pods: dict[PodUid, Pod] = {}
    for record in sorted(records, key=lambda record: not record.sandbox):
        if record.pod is not None:
            path_uid = seen[record.id].pod_uid if record.id in seen else None
            for uid in {record.pod.uid, record.pod.config_hash, path_uid}:
                if uid is not None:
                    pods[uid] = _fill_in_pod(pods[uid], record.pod) if uid in pods else record.pod
    return pods


def _join_one(id_: ContainerId, identity: CgroupIdentity | None, answer: Container | None, pods: Pods) -> Container:
    """One container; at least one of the two is given."""
    runtime = identity.runtime if identity else None
    chain = identity.chain if identity else ()
    path_pod = Pod(identity.pod_uid) if identity and identity.pod_uid else None
    pod = _find_pod(answer.pod if answer else None, path_pod, pods)
    if answer is None:
        name = id_ if runtime in NAMED_BY_ID else None
        return Container(
            id=id_,
            name=name,
            name_state=NameState.UNKNOWN if name is None else NameState.KNOWN,
            runtime=runtime,
            image=None,
            verified=False,
            source="cgroup",
            chain=chain,
            pod=pod,
        )
    # The path is the engine's own hand; a socket only shows whose API it speaks.
    return replace(answer, runtime=runtime or answer.runtime, chain=chain or answer.chain, pod=pod)


def _find_pod(told: Pod | None, path: Pod | None, pods: Pods) -> Pod | None:
    """The pod of a container by its record, else by its path, with all that is known of it.

    The uid is the one that the record tells: a static pod's path has another.
    """
    pod = told or path
    if pod is None or pod.uid is None:
        return _fill_in_pod(pod, path) if pod is not None and path is not None else pod
    known = pods.get(pod.uid)
    return pod if known is None else _fill_in_pod(known, pod)
