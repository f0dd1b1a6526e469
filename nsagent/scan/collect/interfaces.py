"""The interfaces of every netns, and in which netns the other end of each veth is."""

import socket
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Final

from nsagent.errors import Gone, NotRead, Reason
from nsagent.kernel.links import Link, Links, open_route_socket
from nsagent.kernel.netns import Entering
from nsagent.kernel.threads import run_in_threads
from nsagent.model.facts import Interface
from nsagent.model.gap import Gap, Stage
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.state import NetnsState

_MOST_AT_ONCE: Final = 256
"""How many netns are entered at most before their links are read: bounds the fds in use."""


def read_interfaces(context: PassContext, host_inode: int | None) -> None:
    """Fill in the interfaces of each netns that can be entered; gaps say which could not.

    The other ends of veths are only looked for in netns that are held.
    """
    at_once = context.room.make_for(_MOST_AT_ONCE)
    held = [one for one in context.reader.list_states() if one.met.fd is not None or one.met.path]
    # A container's peers are nearly always in the host's netns: it is asked about first.
    others = sorted((one.met for one in held), key=lambda met: met.id is None or met.id.inode != host_inode)
    for start in range(0, len(held), at_once):
        batch = held[start : start + at_once]
        with ExitStack() as sockets:
            (routes,) = run_in_threads([partial(_open_routes, context, batch, sockets)], context.stop)
            for one, route in routes:
                try:
                    with Links(route) as links:
                        one.interfaces = _join_peers(links, links.list_links(), one.met, others)
                except NotRead as err:
                    context.gaps.note(Stage.LINKS, one.met.subject, err)


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


def _join_peers(
    links: Links, found: Sequence[Link], here: MetNetns, others: Iterable[MetNetns]
) -> tuple[Interface, ...]:
    """The interfaces with the netns of their peers; the kernel tells ids that only this netns has for them."""
    wanted = {link.peer_nsid for link in found if link.peer_nsid is not None}
    inodes: dict[int, int] = {}
    for other in others:
        if not wanted - inodes.keys():
            break
        if other.fd is not None and other.id is not None:
            nsid = links.read_nsid(other.fd)
            if nsid is not None:
                inodes[nsid] = other.id.inode
    interfaces = []
    for interface, nsid in found:
        peer = inodes.get(nsid) if nsid is not None else here.id.inode if here.id else None
        interfaces.append(replace(interface, peer_netns=peer) if interface.peer_index is not None else interface)
    return tuple(interfaces)
