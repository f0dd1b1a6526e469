"""Which of the containers on a cgroup path a process is in, by what is known of them. Pure.

A container cannot forge what is above it; below itself it may make any cgroup, where these are delegated to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from nsagent.identity.cgroup_path import CgroupIdentity
from nsagent.model.container import Container
from nsagent.model.ids import ContainerId


def believe(identities: Mapping[str, CgroupIdentity], containers: Iterable[Container]) -> dict[str, CgroupIdentity]:
    """The identities of these cgroup texts, each that of the innermost container that is verified.

    With none verified it is that of the outermost. The containers below become `inner`: what runs
    there is in the one that is believed, which may have made them up. One that is another container
    by all that is known, as of two called alike, is left out.
    """
    known = {container.id: container for container in containers}
    return {text: _believe_one(identity, known) for text, identity in identities.items()}


def _believe_one(identity: CgroupIdentity, known: Mapping[ContainerId, Container]) -> CgroupIdentity:
    if not identity.chain:
        return identity
    best, inner = identity.around[0], list[ContainerId]()
    for one in (*identity.around, identity):
        container = known.get(one.container_id) if one.container_id is not None else None
        if container is None or container.chain != one.chain:
            continue
        if container.verified:
            best, inner = one, []
        elif one is not best:
            inner.append(container.id)
    return replace(best, inner=tuple(inner))
