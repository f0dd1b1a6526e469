"""Cgroup identities + what the runtimes know -> the containers of a pass.

The two meet on the full container id, never on a name, a netns or a pid: those are reused and
shared. Pods meet on their uid, and static pods on their config hash, by which their cgroups are
called.
"""

from collections.abc import Collection, Iterable, Mapping

from nsagent.identity.cgroup_path import CgroupIdentity
from nsagent.identity.claims import find_user
from nsagent.identity.records import (
    FILES,
    Records,
    User,
    add_records,
    fill_in_pod,
    list_strangers,
    list_users,
    merge_records,
)
from nsagent.model.container import Container, NameState, Pod, Runtime
from nsagent.model.ids import ContainerId, PodUid

NAMED_BY_ID = (Runtime.LXC, Runtime.NSPAWN)
"""Runtimes whose containers are called by their id."""

_BY_LABELS = ("docker", "podman")

Pods = Mapping[tuple[User, PodUid], Pod]
"""The pods that were told of, by uid, and else by what cgroups of their containers call them, or by config hash."""


def join_containers(
    identities: Iterable[CgroupIdentity],
    answers: Iterable[Container],
    kept: Iterable[Container] = (),
    gone: Iterable[Container] = (),
) -> tuple[Container, ...]:
    """Every container that a cgroup path or a runtime shows, once, by ascending id.

    The containers of a chain are there too. One that a runtime knows has the runtime's name, image
    and labels, whether or not it has processes; it is verified. One that only paths show has name
    None and `unknown`, unless its name is its id (LXC, nspawn). Where paths disagree on an id, the
    shallowest wins. A pod that one of its containers names is that of the others too.

    What a path proves a record must fit: of what is below user@UID.service only that user's runtime
    tells, and such a runtime, unless somebody named it, of nothing else; a runtime's containers are
    not in each other; Docker's labels, which are the image's too, make no pod where the path shows
    none. A bundle or the name of a log makes no container of its own, for these stay when it is gone,
    but a sandboxed one, whose processes may be in no cgroup here; nor does what a runtime tells that may be
    another host's.

    `kept` are records of earlier passes that tell of what only paths show, `gone` those of containers
    that no path shows and that are wanted all the same.
    """
    seen = _index_identities(identities)
    told = tuple(answers)
    known = merge_records(_believe(record, seen.get(record.id)) for record in told)
    # Who is in another container may have taken the id of one that has ended.
    add_records(known, (record for record in kept if record.id in seen and not seen[record.id].chain))
    lost = [record for record in gone if record.id not in seen]
    add_records(known, lost)
    pods = _index_pods(known, seen)
    kernels = {
        (user, record.pod.uid): record.sandboxed
        for (user, _), record in known.items()
        if record.sandbox and record.sandboxed is not None and record.pod is not None and record.pod.uid is not None
    }
    here = _list_own(told, seen)
    alone = {
        record.id: (user, record)
        for (user, _), record in reversed(known.items())
        if record.id in here and _stands_alone(record)
    }
    for record in lost:
        alone.setdefault(record.id, (list_users(record)[0], record))
    joined = (
        _join_seen(id_, seen[id_], known, pods) if id_ in seen else _join_alone(*alone[id_], pods)
        for id_ in sorted(seen.keys() | alone.keys())
    )
    return tuple(_sandbox_with_pod(container, kernels) for container in joined) if kernels else tuple(joined)


def _believe(record: Container, identity: CgroupIdentity | None) -> Container:
    """The record without what its path does not bear out."""
    by_labels = record.source in _BY_LABELS and record.runtime is not Runtime.PODMAN
    if by_labels and (identity is None or identity.pod_uid is None):
        return record._replace(pod=None, container_name=None, sandbox=False)
    return record


def _list_own(told: Collection[Container], seen: Collection[ContainerId]) -> set[ContainerId]:
    """The containers that are told of by those whose containers are this host's."""
    strangers = list_strangers(told, seen)
    return {one.id for one in told if one.told_by is None or one.told_by.subject not in strangers}


def _stands_alone(record: Container) -> bool:
    """Whether there is such a container although no path shows it."""
    if record.source not in FILES:
        return True
    # CRI-O keeps the bundle of a container that has ended.
    return record.sandboxed is not None and record.runtime is not Runtime.CRIO


def _index_identities(identities: Iterable[CgroupIdentity]) -> dict[ContainerId, CgroupIdentity]:
    """The one identity to believe for each id; one of a chain may be known by that alone."""
    best: dict[ContainerId, CgroupIdentity] = {}
    for identity in set(identities):
        if identity.container_id is None:
            continue
        for candidate in (*identity.around, identity):
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


def _index_pods(known: Records, seen: Mapping[ContainerId, CgroupIdentity]) -> Pods:
    """The pods that records tell of; what a sandbox tells goes before what its containers do.

    What a pod goes by besides its uid never stands for another pod that has it for a uid.
    """
    by_uid, by_path, by_hash = (dict[tuple[User, PodUid], Pod]() for _ in range(3))

    def add(pods: dict[tuple[User, PodUid], Pod], user: User, uid: PodUid | None, pod: Pod) -> None:
        if uid is not None:
            earlier = pods.get((user, uid))
            pods[user, uid] = pod if earlier is None else fill_in_pod(earlier, pod)

    records = sorted(known.items(), key=lambda item: not item[1].sandbox)
    told = [(user, id_, record.pod) for (user, id_), record in records if record.pod is not None]
    for user, _, pod in told:
        add(by_uid, user, pod.uid, pod)
    for user, id_, pod in told:
        whole = pod if pod.uid is None else by_uid[user, pod.uid]
        identity = seen.get(id_)
        if identity is not None and find_user(identity) == user:
            add(by_path, user, identity.pod_uid, whole)
        add(by_hash, user, pod.config_hash, whole)
    return by_hash | by_path | by_uid


def _sandbox_with_pod(container: Container, kernels: Mapping[tuple[User, PodUid], str]) -> Container:
    """A container in a sandbox with a kernel of its own is sandboxed with it: often the sandbox alone tells."""
    if container.sandboxed is not None or container.pod is None or container.pod.uid is None:
        return container
    found = (kernels.get((user, container.pod.uid)) for user in list_users(container))
    return container._replace(sandboxed=next(filter(None, found), None))


def _join_alone(user: User, record: Container, pods: Pods) -> Container:
    """A container that no path shows."""
    return record._replace(pod=_find_pod(user, record.pod, None, pods))


def _join_seen(id_: ContainerId, identity: CgroupIdentity, known: Records, pods: Pods) -> Container:
    """A container that a path shows, with what is known of it."""
    user = find_user(identity)
    answer = known.get((user, id_))
    if answer is not None and answer.told_by is not None:
        # The ids right around it may be made up: all of them count. Its pid does not: it may have started anew.
        around = (known.get((user, outer)) for outer in identity.chain)
        if any(one is not None and one.told_by and one.told_by.subject == answer.told_by.subject for one in around):
            answer = None
    # Who is in a container may call a cgroup like a pod's: of such a pod somebody else must have told.
    told = not identity.chain or (user, identity.pod_uid) in pods
    path_pod = Pod(identity.pod_uid) if identity.pod_uid and told else None
    pod = _find_pod(user, answer.pod if answer else None, path_pod, pods)
    if answer is None:
        name = id_ if identity.runtime in NAMED_BY_ID else None
        return Container(
            id=id_,
            name=name,
            name_state=NameState.UNKNOWN if name is None else NameState.KNOWN,
            runtime=identity.runtime,
            image=None,
            verified=False,
            source="cgroup",
            chain=identity.chain,
            pod=pod,
        )
    # The path is the runtime's own hand; a socket only shows whose API it speaks.
    return answer._replace(runtime=identity.runtime or answer.runtime, chain=identity.chain or answer.chain, pod=pod)


def _find_pod(user: User, told: Pod | None, path: Pod | None, pods: Pods) -> Pod | None:
    """The pod of a container by its record, else by its path, with what else is known of it.

    A static pod's path has another uid than its record: that one counts.
    """
    pod = told or path
    if pod is None or pod.uid is None:
        return fill_in_pod(pod, path) if pod is not None and path is not None else pod
    known = pods.get((user, pod.uid))
    if known is None:
        return pod
    return fill_in_pod(pod, known) if told is not None else fill_in_pod(known, pod)
