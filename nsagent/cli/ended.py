"""Why a name means nothing: it may be that of a container that does not run."""

import os
import time
from contextlib import closing

from nsagent.cli.options import Host
from nsagent.errors import Ambiguous, NotFound
from nsagent.query.containers import match_containers
from nsagent.runtimes.discover import discover_ended


def explain(err: NotFound, host: Host) -> NotFound:
    """The error, with the state of the container that goes by the name; asks the runtimes again, for all they have."""
    if err.what not in ("container", "netns"):
        return err
    runtimes = discover_ended(host.runtime, os.environ, os.path.abspath(host.host_root), clock=time.monotonic)
    with closing(runtimes):
        runtimes.start()
        listed = {one.id: one for one in runtimes.collect().containers}
    try:
        found = match_containers(err.name, tuple(listed.values()), ())
    except (NotFound, Ambiguous):
        return err
    states = sorted({f"{one.state} ({one.source})" for one in found if one.state not in (None, "running")})
    return err.with_hint(f"a container of that name does not run: {', '.join(states)}") if states else err
