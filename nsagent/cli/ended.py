"""Why a name means nothing: it may be that of a container that does not run, whatever a cgroup claims."""

import os
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Final

from nsagent.cli.options import Host
from nsagent.errors import Ambiguous, NotFound
from nsagent.model.container import Container
from nsagent.model.ids import ContainerId
from nsagent.query.containers import match_containers
from nsagent.runtimes.discover import discover_ended

_ENDED: Final = ("exited", "dead")
"""States in which Docker, podman and CRI say that a container has no process any more."""

_RUNNING: Final = ("running", "paused", "stopping")
"""States in which it has some: what podman stops may take its time."""


def explain(err: NotFound, host: Host) -> NotFound:
    """The error, with the state of the container that goes by the name; asks the runtimes again, for all they have."""
    if err.what not in ("container", "netns"):
        return err
    try:
        found = match_containers(err.name, _list_all(host), ())
    except (NotFound, Ambiguous):
        return err
    states = sorted({f"{one.state} ({one.source})" for one in found if one.state not in (None, *_RUNNING)})
    return err.with_hint(f"a container of that name does not run: {', '.join(states)}") if states else err


def check_claims(claims: Mapping[str, ContainerId], host: Host) -> None:
    """Raises NotFound for a name that stands for an id which only cgroups claim: its container has ended."""
    ended = {one.id for one in _list_all(host) if one.state in _ENDED}
    for name, id_ in claims.items():
        if id_ in ended:
            raise NotFound("container", name, hint="a cgroup that bears its id is not it")


def _list_all(host: Host) -> tuple[Container, ...]:
    """Every container that a runtime knows, once, those that do not run too."""
    runtimes = discover_ended(host.runtime, os.environ, os.path.abspath(host.host_root), clock=time.monotonic)
    with closing(runtimes):
        runtimes.start()
        return tuple({one.id: one for one in runtimes.collect().containers}.values())
