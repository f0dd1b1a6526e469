"""In which netns the other end of each veth is.

The kernel tells an id of it, which the netns of the veth alone has for it; whose it is has to be asked of each netns
that it may be. These are few: both ends of a veth tell the index of the other one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

from nsagent.errors import FormatError, Gone, NotRead, Reason
from nsagent.kernel.libc import close_fd
from nsagent.kernel.links import Link
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import Entering
from nsagent.kernel.netns_ids import NetnsIds
from nsagent.kernel.threads import run_in_threads
from nsagent.model.facts import Interface
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.netns import MetNetns
from nsagent.scan.collect.state import NetnsState

MOST_ASKED: Final = 64
"""How many netns are asked about for one veth, 12 us each: whoever makes many netns decides which indexes are alike."""

_ReadId = Callable[[MetNetns], int | None]
"""The id that one netns has for another."""


class FoundLinks(NamedTuple):
    """The links of one netns."""

    state: NetnsState
    links: Sequence[Link]


def join_peers(context: PassContext, found: Sequence[FoundLinks], unread: Sequence[MetNetns]) -> None:
    """Fill in the interfaces of these netns, with the netns of their peers; gaps say where these were not looked for.

    Of two that may be it the earlier one is asked about first; those of which the links could not be read come last.
    """
    candidates = Candidates(found, unread)
    wanted = [one for one in found if any(link.peer_nsid is not None for link in one.links)]
    told: Mapping[int, Mapping[int, int]] = {}
    if wanted:
        (told,) = run_in_threads([partial(_look, context, wanted, candidates)], context.stop)
    for state, links in found:
        here, inodes = state.met.inode, told.get(state.met.serial, {})
        state.interfaces = tuple(_join(link, here, inodes) for link in links)


def _join(link: Link, here: int | None, inodes: Mapping[int, int]) -> Interface:
    """An interface with the netns of its peer; `inodes` by the ids that its netns has for them."""
    interface, nsid = link
    if interface.peer_index is None:
        return interface
    return replace(interface, peer_netns=here if nsid is None else inodes.get(nsid))


def _look(
    context: PassContext, wanted: Iterable[FoundLinks], candidates: "Candidates"
) -> Mapping[int, Mapping[int, int]]:
    """The inodes of peers, by the serial of a netns and the id that it has; moves the calling thread (kernel.netns)."""
    entering, buffer = Entering(context.procfs.root), make_buffer()
    told: dict[int, Mapping[int, int]] = {}
    for state, links in wanted:
        met = state.met
        try:
            if context.is_over():
                raise NotRead("peers of veths", Reason.LATE)
            met.enter(entering)
            with NetnsIds() as ids:
                told[met.serial], missed = candidates.find(links, partial(_read_nsid, ids, buffer))
        except Gone:
            continue  # With its links.
        except NotRead as err:
            context.gaps.note(Stage.LINKS, _make_subject(met), err)
        else:
            if missed:
                context.gaps.add((Gap(Stage.LINKS, _make_subject(met), Reason.TOO_MANY, count=missed),))
    return told


def _make_subject(met: MetNetns) -> Subject:
    return Subject(Kind.VETH_PEERS, met.subject.id)


def _read_nsid(ids: NetnsIds, buffer: bytearray, other: MetNetns) -> int | None:
    """The id that a netns has for another one, None if it has none, or that is gone."""
    try:
        fd = other.open_again()
        try:
            return ids.read_nsid(fd, buffer)
        finally:
            close_fd(fd)
    except (Gone, NotRead, FormatError):
        return None


class Candidates:
    """The netns in which the other end of a veth may be. Pure."""

    def __init__(self, found: Iterable[FoundLinks], unread: Sequence[MetNetns]) -> None:
        self._unread = unread
        self._by_indexes: defaultdict[tuple[int, int], list[MetNetns]] = defaultdict(list)
        for state, links in found:
            for interface, nsid in links:
                if nsid is not None and interface.peer_index is not None:
                    self._by_indexes[interface.index, interface.peer_index].append(state.met)

    def find(self, links: Iterable[Link], read_nsid: _ReadId) -> tuple[Mapping[int, int], int]:
        """The inodes of the peers of the links of one netns, by the ids that it has for them.

        And of how many veths the peers are not known, as there were too many to be asked about.
        """
        inodes: dict[int, int] = {}
        asked: set[int] = set()
        missed = 0
        for interface, wanted in links:
            if wanted is None or wanted in inodes or interface.peer_index is None:
                continue
            alike = self._by_indexes.get((interface.peer_index, interface.index), ())
            left = MOST_ASKED
            for other in chain(alike, self._unread):
                if other.serial in asked:
                    continue
                if not left:
                    missed += 1
                    break
                left -= 1
                asked.add(other.serial)
                nsid = read_nsid(other)
                if nsid is not None and other.inode is not None:
                    inodes[nsid] = other.inode
                if nsid == wanted:
                    break
        return inodes, missed
