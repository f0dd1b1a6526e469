"""Cgroup identities + what the engines know -> the containers of a pass.

Source: the labels that a kubelet sets, pkg/kubelet/types/labels.go. The two meet on the full
container id, never on a name, a netns or a pid: those are reused and shared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from nsagent.identity.cgroup_path import CgroupIdentity
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.ids import ContainerId, PodUid

_POD_NAME = "io.kubernetes.pod.name"
_POD_NAMESPACE = "io.kubernetes.pod.namespace"
_POD_UID = "io.kubernetes.pod.uid"
_CONTAINER_NAME = "io.kubernetes.container.name"


def join_containers(
    identities: Iterable[CgroupIdentity], engine_answers: tuple[Container, ...]
) -> tuple[Container, ...]:
    """Every container that a cgroup path or an engine shows, once, by ascending id.

    The containers of a chain are there too. One that an engine knows has the engine's name, image
    and labels, whether or not it has processes; it is verified. One that only paths show has name
    None and `unknown`, unless its name is its id (LXC, nspawn). Where an id is listed twice the
    record with a name wins, then the earlier. Where paths disagree on an id, the shallowest wins.
    """
    seen = _index_identities(identities)
    known = _index_answers(engine_answers)
    return tuple(_join_one(id_, seen.get(id_), known.get(id_)) for id_ in sorted(seen.keys() | known.keys()))


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


def _index_answers(answers: tuple[Container, ...]) -> dict[ContainerId, Container]:
    """The engines' record of each id."""
    known: dict[ContainerId, Container] = {}
    for answer in answers:
        earlier = known.get(answer.id)
        if earlier is None or (earlier.name is None and answer.name is not None):
            known[answer.id] = answer
    return known


def _join_one(id_: ContainerId, identity: CgroupIdentity | None, answer: Container | None) -> Container:
    """One container; at least one of the two is given."""
    runtime = identity.runtime if identity else None
    pod_uid = identity.pod_uid if identity else None
    chain = identity.chain if identity else ()
    if answer is None:
        name = id_ if runtime in (Runtime.LXC, Runtime.NSPAWN) else None
        return Container(
            id=id_,
            name=name,
            name_state=NameState.UNKNOWN if name is None else NameState.KNOWN,
            runtime=runtime,
            image=None,
            verified=False,
            source="cgroup",
            chain=chain,
            pod=None if pod_uid is None else Pod(pod_uid),
        )
    return replace(
        answer,
        # The path is the engine's own hand; a socket only shows whose API it speaks.
        runtime=runtime or answer.runtime,
        chain=chain or answer.chain,
        pod=_read_pod(answer.labels, pod_uid) or answer.pod,
        container_name=answer.labels.get(_CONTAINER_NAME) or answer.container_name,
    )


def _read_pod(labels: Mapping[str, str], path_uid: PodUid | None) -> Pod | None:
    """The pod by its labels; the label's uid is the API's, a static pod's path has another."""
    name = labels.get(_POD_NAME) or None
    kube_namespace = labels.get(_POD_NAMESPACE) or None
    label_uid = labels.get(_POD_UID)
    uid = PodUid(label_uid) if label_uid else path_uid
    if name is None and kube_namespace is None and uid is None:
        return None
    return Pod(uid, name, kube_namespace)
