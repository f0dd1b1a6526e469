"""Which UDP sockets the kernel has for its tunnels: asked only where a row without an owner may be one.

The socket of a tunnel stays in the netns in which the interface was made, wherever that is moved.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from nsagent.errors import DumpUnavailable, FormatError, Gone, NotRead, Reason
from nsagent.kernel.formats.route_link import Tunnel
from nsagent.kernel.formats.udp_diag import MOST_BYTES, decode_wireguard, read_end
from nsagent.kernel.fou import FouPorts
from nsagent.kernel.libc import close_fd
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import Entering
from nsagent.kernel.sock_diag import SockDiag
from nsagent.kernel.threads import run_in_threads
from nsagent.kernel.tunnels import Tunnels
from nsagent.model.choices import EngineName
from nsagent.model.facts import TunnelEnd
from nsagent.model.gap import Gap, Kind, Stage, Subject
from nsagent.model.net import Protocol
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.state import NetnsState, Unheld

MOST_VISITS: Final = 1024
"""In how many netns interfaces are looked for that were moved there: 0.2 ms each."""

MOST_ASKED: Final = 64
"""In one of them, of how many netns it is asked whether their tunnels those are, 12 us each: on which port a tunnel is
can be chosen, and so in how many netns they are alike."""


def find_tunnels(context: PassContext, ownerless: Iterable[Unheld], host_inode: int | None = None) -> None:
    """Note the tunnels of netns with UDP rows of uid 0 that nobody holds; what cannot be asked is not told.

    Gaps tell of netns with such rows where too many others would have to be asked, or no time was left.
    """
    rows: defaultdict[int, set[TunnelEnd]] = defaultdict(set)
    states: dict[int, NetnsState] = {}
    for one in ownerless:
        if one.table.protocol is Protocol.UDP and one.netns.engine is EngineName.SOCK_DIAG:
            states[one.netns.met.serial] = one.netns
            ends = (read_end(one.table.data, place.offset) for place in one.places if place.uid == 0)
            rows[one.netns.met.serial].update(end for end in ends if end)
    # Most tunnels are made in the host's netns, and moved: it is asked about first.
    ordered = sorted(states.values(), key=lambda state: host_inode is None or state.met.inode != host_inode)
    asked = [Asked(state, rows[state.met.serial]) for state in ordered if rows[state.met.serial]]
    if asked and context.live:
        search(context, asked)


def search(context: PassContext, asked: Sequence["Asked"]) -> None:
    """Note the tunnels that have their sockets in these netns, or gaps."""
    run_in_threads([partial(_look, context, asked)], context.stop)


def _look(context: PassContext, asked: Sequence["Asked"]) -> None:
    """Moves the calling thread (kernel.netns)."""
    _Search(context).look(asked)


class Asked(NamedTuple):
    """A netns, and where rows of it stand that nobody holds."""

    state: NetnsState
    rows: Set[TunnelEnd]

    def is_lacking(self) -> bool:
        """Whether some row stands where no tunnel is known to have its socket."""
        return not self.rows <= self.state.tunnels


class Lacking:
    """The netns with rows that no tunnel explains yet: the tunnels that others have may be theirs. Pure."""

    def __init__(self, asked: Iterable[Asked]) -> None:
        self._lacking = [one for one in asked if one.is_lacking()]
        self._by_end: defaultdict[TunnelEnd, list[NetnsState]] = defaultdict(list)
        for state, rows in self._lacking:
            for end in rows - state.tunnels:
                self._by_end[end].append(state)
        self.missed: dict[int, NetnsState] = {}
        """Those that were not asked about, as others had such rows, too; by their serials."""

    def list_lacking(self) -> list[NetnsState]:
        """Those that still are."""
        return [state for state, _ in self._lacking]

    def note_moved(self, found: Iterable[Tunnel], read_nsid: Callable[[NetnsState], int | None]) -> None:
        """Note the ends of the tunnels of one netns where their sockets are.

        `read_nsid` tells the id that it has for one of those that are lacking, None if it has none.
        """
        moved: defaultdict[int, set[TunnelEnd]] = defaultdict(set)
        for tunnel in found:
            if tunnel.nsid is not None:
                moved[tunnel.nsid].update(tunnel.ends)
        alike = {
            state.met.serial: state
            for end in sorted(set().union(*moved.values()) & self._by_end.keys())
            for state in self._by_end[end]
            if end not in state.tunnels
        }
        for number, state in enumerate(alike.values()):
            if not moved:
                return
            if number == MOST_ASKED:
                self.missed |= dict(list(alike.items())[number:])
                return
            nsid = read_nsid(state)
            if nsid is not None and nsid in moved:
                state.tunnels |= moved.pop(nsid)
                self._lacking = [one for one in self._lacking if one.is_lacking()]


class _Search:
    """Looks for tunnels; moves the thread that uses it."""

    def __init__(self, context: PassContext) -> None:
        self._context = context
        self._entering = Entering(context.procfs.root)
        self._buffer = make_buffer()

    def look(self, asked: Sequence[Asked]) -> None:
        """Look for tunnels with sockets in these netns: there, and everywhere where that does not explain all rows."""
        for one in asked:
            if self._context.is_over():
                break
            for tunnel in self._list_tunnels(one.state):
                one.state.tunnels |= frozenset(tunnel.ends if tunnel.nsid is None else ())
            if one.is_lacking():
                self._read_others(one.state)
        lacking = Lacking(asked)
        reason = Reason.LATE if self._context.is_over() else self._visit(lacking)
        left = lacking.missed.values() if reason is None else lacking.list_lacking()
        self._context.gaps.add(
            Gap(Stage.LINKS, Subject(Kind.TUNNELS, state.met.subject.id), reason or Reason.TOO_MANY) for state in left
        )

    def _visit(self, lacking: Lacking) -> Reason | None:
        """Look for them in all netns, as long as rows are lacking; why not in all."""
        for number, state in enumerate(self._context.reader.list_states()):
            if not lacking.list_lacking():
                return None
            if self._context.is_over():
                return Reason.LATE
            if number == MOST_VISITS:
                return Reason.TOO_MANY
            self._list_tunnels(state, lacking)
        return None

    def _list_tunnels(self, state: NetnsState, lacking: Lacking | None = None) -> list[Tunnel]:
        """The tunnels of a netns; ends that are those of one of `lacking` are noted there."""
        try:
            state.met.enter(self._entering)
            with Tunnels() as tunnels:
                found = tunnels.list_tunnels(self._buffer)
                if lacking is not None:
                    lacking.note_moved(found, partial(self._read_nsid, tunnels))
        except (Gone, NotRead, FormatError):
            return []
        return found

    def _read_others(self, state: NetnsState) -> None:
        """Note what no interface tells, or none of this netns: ports of fou, and WireGuard's sockets."""
        for list_ends in (self._list_fou, self._list_wireguard):
            with suppress(Gone, NotRead, DumpUnavailable, FormatError):
                state.met.enter(self._entering)
                state.tunnels |= frozenset(list_ends())

    def _list_fou(self) -> list[TunnelEnd]:
        with FouPorts() as ports:
            return ports.list_ends(self._buffer)

    def _list_wireguard(self) -> list[TunnelEnd]:
        with SockDiag() as diag:
            if diag.read_default_room() >= MOST_BYTES:
                return []  # Then every socket has what is WireGuard's mark.
            return decode_wireguard(diag.dump_udp_memory(self._buffer), sys.byteorder)

    def _read_nsid(self, tunnels: Tunnels, owner: NetnsState) -> int | None:
        """None also where that one is gone; raises NotRead and FormatError."""
        try:
            fd = owner.met.open_again()
        except Gone:
            return None
        try:
            return tunnels.read_nsid(fd, self._buffer)
        finally:
            close_fd(fd)
