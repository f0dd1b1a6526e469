"""A name that somebody typed -> the containers it means: `-c` of every command.

Source: docs of the command line. The ways of naming are tried in a fixed order and the first that
matches anything decides, so that nobody can hide a container by naming another like its id.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence

from nsagent.errors import Ambiguous, NotFound
from nsagent.model.container import Container

_COMPOSE_SERVICE_LABELS = ("com.docker.compose.service", "io.podman.compose.service")
_PREFIX_LENGTH = 4
_SHORT_ID_LENGTH = 12
_NEAR_NAMES = 5


def match_containers(name: str, containers: Sequence[Container], sources: Sequence[str]) -> tuple[Container, ...]:
    """The containers that `name` means, in the order of `containers`.

    In this order: full id, exact name, KUBE_NAMESPACE/POD/CONTAINER, POD/CONTAINER, compose service
    (the only one that may mean several), prefix of an id of 4 characters or more. Raises Ambiguous
    with the candidates, and NotFound with near names and the `sources` that were asked for names.
    """
    for matches, several in _WAYS if name else ():
        matched = tuple(container for container in containers if matches(name, container))
        if len(matched) > 1 and not several:
            raise Ambiguous("container", name, _describe(matched))
        if matched:
            return matched
    names = sorted({known for container in containers for known in _list_names(container)})
    raise NotFound("container", name, near=difflib.get_close_matches(name, names, n=_NEAR_NAMES), asked=sources)


def _is_id(name: str, container: Container) -> bool:
    return container.id == name


def _is_name(name: str, container: Container) -> bool:
    return container.name == name


def _is_in_namespace(name: str, container: Container) -> bool:
    pod = container.pod
    return pod is not None and _join(pod.kube_namespace, pod.name, container.container_name) == name


def _is_in_pod(name: str, container: Container) -> bool:
    pod = container.pod
    return pod is not None and _join(pod.name, container.container_name) == name


def _is_service(name: str, container: Container) -> bool:
    return any(container.labels.get(label) == name for label in _COMPOSE_SERVICE_LABELS)


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


def _list_names(container: Container) -> Iterator[str]:
    """Every name but the id that would have matched."""
    pod = container.pod
    names = [container.name, *(container.labels.get(label) for label in _COMPOSE_SERVICE_LABELS)]
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
        f"{container.name} ({container.id[:length]})" if container.name else container.id[:length]
        for container in candidates
    ]
