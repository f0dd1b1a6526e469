"""The interfaces of every netns."""

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Final

from nsagent.errors import Gone, NotRead, Reason
from nsagent.kernel.links import Links, open_route_socket
from nsagent.kernel.netns import Entering
from nsagent.kernel.threads import run_in_threads
from nsagent.model.gap import Gap, Stage
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.state import NetnsState
from nsagent.scan.collect.veth_peers import FoundLinks, join_peers

_MOST_AT_ONCE: Final = 256
"""How many netns are entered at most before their links are read: bounds the fds in use."""


def read_interfaces(context: PassContext, host_inode: int | None) -> None:
    """Fill in the interfaces of each netns that can be entered; gaps say which could not."""
    at_once = context.room.make_for(_MOST_AT_ONCE)
    reachable = [one for one in context.reader.list_states() if one.met.fd is not None or one.met.path]
    # A container's peers are nearly always in the host's netns: it is asked about first.
    reachable.sort(key=lambda one: one.met.id is None or one.met.id.inode != host_inode)
    found: list[FoundLinks] = []
    for start in range(0, len(reachable), at_once):
        batch = reachable[start : start + at_once]
        if context.is_over():
            context.gaps.add(Gap(Stage.LINKS, one.met.subject, Reason.LATE) for one in reachable[start:])
            break
        with ExitStack() as sockets:
            (routes,) = run_in_threads([partial(_open_routes, context, batch, sockets)], context.stop)
            for one, route in routes:
                try:
                    with Links(route) as links:
                        found.append(FoundLinks(one, links.list_links()))
                except NotRead as err:
                    context.gaps.note(Stage.LINKS, one.met.subject, err)
    read = {one.state.met.serial for one in found}
    join_peers(context, found, [one.met for one in reachable if one.met.serial not in read])


def _open_routes(
    context: PassContext, batch: Iterable[NetnsState], sockets: ExitStack
) -> list[tuple[NetnsState, socket.socket]]:
    """A route socket in each netns, to be closed by `sockets`; moves the calling thread (kernel.netns)."""
    entering = Entering(context.procfs.root)
    routes = []
    for one in batch:
        try:
            one.met.enter(entering)
            routes.append((one, sockets.enter_context(open_route_socket())))
        except Gone:
            context.gaps.add((Gap(Stage.LINKS, one.met.subject, Reason.GONE),))
        except NotRead as err:
            context.gaps.note(Stage.LINKS, one.met.subject, err)
    return routes
