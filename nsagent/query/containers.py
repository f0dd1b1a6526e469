"""Names that somebody typed -> the containers they mean: `-c`, `--pod`, `-n` and `-l` of every command.

Source: docs of the command line. The ways of naming a container are tried in a fixed order and the
first that matches anything decides, so that nobody can hide one by naming another like its id.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from nsagent.errors import Ambiguous, NotFound, Reason
from nsagent.model.container import Container, Pod
from nsagent.model.gap import AlikeGaps, Kind
from nsagent.model.ids import ContainerId
from nsagent.model.unmet import Unmet, UnmetKind
from nsagent.query.filter import Filter

_COMPOSE_SERVICE_LABELS = ("com.docker.compose.service", "io.podman.compose.service")
NAMED: Final = "container/"
"""What `-o name` puts before a container's name."""
_PREFIX_LENGTH = 4
_SHORT_ID_LENGTH = 12
_NEAR_NAMES = 5

_PodKey: TypeAlias = tuple[str | None, str | None, str | None]


class Unjudged(NamedTuple):
    """How many containers a filter may or may not mean: nobody told their labels, or the namespace of their pods."""

    labels: int
    kube_namespaces: int


def choose_containers(
    wanted: Filter, containers: Sequence[Container], sources: Sequence[str]
) -> frozenset[ContainerId]:
    """The containers that a filter asks for, which it does (Filter.chooses_containers).

    Kubernetes' namespaces, labels and pods narrow down among which the names of containers are looked
    for; what is not known matches nothing, see count_unjudged. Raises Ambiguous and NotFound, for a pod
    and for a container; a namespace or a label that no container has is no error, for on another node
    one may have it.
    """
    chosen = [one for one in containers if _is_of_namespaces(wanted, one) and _is_labelled(wanted, one)]
    if wanted.pods:
        chosen = [one for name in wanted.pods for one in match_pod(name, chosen, sources)]
    if wanted.containers:
        chosen = [one for name in wanted.containers for one in match_containers(name, chosen, sources)]
    return frozenset(one.id for one in chosen)


def include_below(ids: frozenset[ContainerId], containers: Iterable[Container]) -> frozenset[ContainerId]:
    """These containers, and whichever runs in one of them: it is theirs what is in there."""
    return ids.union(one.id for one in containers if not ids.isdisjoint(one.chain))


def tell_sources(sources: Iterable[str], gaps: Iterable[AlikeGaps]) -> tuple[str, ...]:
    """The sources of names as an error lists them: one that failed with its reason, for it may know the name."""
    failed = {subject.id: gap for gap in gaps if gap.kind is Kind.SOURCE for subject in gap.subjects}
    told = (f"{source} failed: {failed[source].detail}" if source in failed else source for source in sources)
    not_asked = (f"{source} {gap.detail}" for source, gap in failed.items() if gap.reason is Reason.NOT_ASKED)
    return (*told, *not_asked)


def count_unjudged(wanted: Filter, containers: Sequence[Container]) -> Unjudged:
    """How many of these may be left out by `-l` and `-n` for want of an answer only.

    A container that fails by what is known of it is judged, whatever else is not known.
    """
    judgements = [(_is_of_namespaces(wanted, one), _is_labelled(wanted, one)) for one in containers]
    return Unjudged(
        labels=sum(labelled is None and inside is not False for inside, labelled in judgements),
        kube_namespaces=sum(inside is None and labelled is not False for inside, labelled in judgements),
    )


def list_unmet(wanted: Filter, containers: Collection[Container]) -> tuple[Unmet, ...]:
    """The values of `-n` and `-l`, in this order, that no container is known to meet, be it for want of an answer."""
    parts = (
        *((UnmetKind.KUBE_NAMESPACE, name, Filter(kube_namespaces=(name,))) for name in wanted.kube_namespaces),
        *((UnmetKind.LABEL, str(selector), Filter(labels=(selector,))) for selector in wanted.labels),
    )
    return tuple(
        Unmet(kind, text)
        for kind, text, part in parts
        if not any(_is_of_namespaces(part, one) and _is_labelled(part, one) for one in containers)
    )


def is_called_by_id(container: Container, names: Collection[str]) -> bool:
    """Whether one of the names is its id, or a prefix of it that may stand for it."""
    return any(_is_id(name, container) or _is_id_prefix(name, container) for name in names)


def match_containers(name: str, containers: Sequence[Container], sources: Sequence[str]) -> tuple[Container, ...]:
    """The containers that `name` means, in the order of `containers`.

    In this order: full id, exact name, KUBE_NAMESPACE/POD/CONTAINER, POD/CONTAINER, compose service
    (the only one that may mean several), prefix of an id of 4 characters or more; and what `-o name`
    prints, where nothing goes by all of it. Raises Ambiguous
    with the candidates, and NotFound with near names and the `sources` that were asked for names.
    """
    for typed in dict.fromkeys((name, name.removeprefix(NAMED))):
        for matches, several in _WAYS if typed else ():
            matched = tuple(container for container in containers if matches(typed, container))
            if len(matched) > 1 and not several:
                raise Ambiguous("container", name, _describe(matched))
            if matched:
                return matched
    names = sorted({known for container in containers for known in list_names(container)})
    raise NotFound("container", name, near=difflib.get_close_matches(name, names, n=_NEAR_NAMES), asked=sources)


def match_pod(name: str, containers: Sequence[Container], sources: Sequence[str]) -> tuple[Container, ...]:
    """The containers of the pod that `name` means; its pause container is one.

    In this order: uid, config hash, KUBE_NAMESPACE/NAME, NAME. Raises Ambiguous, with the candidates,
    for a name that pods of several namespaces have, and NotFound.
    """
    pods = {_pod_key(one.pod): one.pod for one in containers if one.pod is not None}
    meant = _match_keys(name, pods)
    names = {key: _pod_name(pod) or pod.uid or "" for key, pod in pods.items()}
    if len(meant) > 1:
        raise Ambiguous("pod", name, sorted(f"{names[key]} ({pods[key].uid})" for key in meant))
    if not meant:
        known = sorted({*names.values(), *(pod.name for pod in pods.values() if pod.name)})
        raise NotFound("pod", name, near=difflib.get_close_matches(name, known, n=_NEAR_NAMES), asked=sources)
    return tuple(one for one in containers if one.pod is not None and _pod_key(one.pod) in meant)


def _match_keys(name: str, pods: Mapping[_PodKey, Pod]) -> set[_PodKey]:
    """Those whose pods go by `name` in the first way in which any does."""
    for tell in _POD_WAYS if name else ():
        meant = {key for key, pod in pods.items() if tell(pod) == name}
        if meant:
            return meant
    return set()


def _pod_key(pod: Pod) -> _PodKey:
    """What makes a pod the same one; its name where no uid is known."""
    return (pod.uid, None, None) if pod.uid else (None, pod.kube_namespace, pod.name)


def _pod_name(pod: Pod) -> str | None:
    return _join(pod.kube_namespace, pod.name)


_POD_WAYS: Final[tuple[Callable[[Pod], str | None], ...]] = (
    lambda pod: pod.uid,
    lambda pod: pod.config_hash,
    _pod_name,
    lambda pod: pod.name,
)
"""What a pod goes by, in order."""


def _is_of_namespaces(wanted: Filter, container: Container) -> bool | None:
    """Whether `-n` lets it pass; None where it is in a pod of which nobody tells the namespace."""
    if not wanted.kube_namespaces:
        return True
    if container.pod is None:
        return False
    known = container.pod.kube_namespace
    return None if known is None else known in wanted.kube_namespaces


def _is_labelled(wanted: Filter, container: Container) -> bool | None:
    """Whether `-l` lets it pass; None where nobody tells its labels: a negative selector is not met by that."""
    if not wanted.labels:
        return True
    labels = _list_labels(container)
    if not labels and container.labels is None:
        return None
    return any(selector.matches(labels) for selector in wanted.labels)


def _list_labels(container: Container) -> dict[str, str]:
    """Its own labels and those of its pod, which is what kubectl selects by."""
    return {**(container.labels or {}), **(container.pod.labels if container.pod else {})}


def _is_id(name: str, container: Container) -> bool:
    return container.id == name


def _is_name(name: str, container: Container) -> bool:
    # A pause container does not go by the name of its pod.
    is_pod_name = container.sandbox and container.pod is not None and container.pod.name == name
    return container.name == name and not is_pod_name


def _is_in_namespace(name: str, container: Container) -> bool:
    pod = container.pod
    return pod is not None and _join(pod.kube_namespace, pod.name, container.container_name) == name


def _is_in_pod(name: str, container: Container) -> bool:
    pod = container.pod
    return pod is not None and _join(pod.name, container.container_name) == name


def _is_service(name: str, container: Container) -> bool:
    return any((container.labels or {}).get(label) == name for label in _COMPOSE_SERVICE_LABELS)


def _is_id_prefix(name: str, container: Container) -> bool:
    return len(name) >= _PREFIX_LENGTH and container.id.startswith(name)


_WAYS: tuple[tuple[Callable[[str, Container], bool], bool], ...] = (
    (_is_id, False),
    (_is_name, False),
    (_is_in_namespace, False),
    (_is_in_pod, False),
    (_is_service, True),
    (_is_id_prefix, False),
)
"""How a name may match, in order, and whether it may then match several."""


def _join(*parts: str | None) -> str | None:
    """`shop/web-7d9c/app`, None unless every part is known."""
    known = [part for part in parts if part]
    return "/".join(known) if len(known) == len(parts) else None


def list_names(container: Container) -> Iterator[str]:
    """Every name but the id that would have matched."""
    pod = container.pod
    name = container.name
    names = [name if name and _is_name(name, container) else None]
    names += [(container.labels or {}).get(label) for label in _COMPOSE_SERVICE_LABELS]
    if pod is not None:
        names += [
            _join(pod.kube_namespace, pod.name, container.container_name),
            _join(pod.name, container.container_name),
        ]
    return (name for name in names if name)


def _describe(candidates: Sequence[Container]) -> list[str]:
    """The candidates by name and by short ids, or by full ones where the short ones are alike."""
    ids = [container.id for container in candidates]
    length = _SHORT_ID_LENGTH if len({id_[:_SHORT_ID_LENGTH] for id_ in ids}) == len(ids) else None
    return [
        f"{name} ({container.id[:length]})" if (name := _best_name(container)) else container.id[:length]
        for container in candidates
    ]


def _best_name(container: Container) -> str | None:
    """A name that tells it from those of other pods."""
    pod = container.pod
    return (pod and _join(pod.kube_namespace, pod.name, container.container_name)) or container.name
