"""Which UDP sockets the kernel has for its tunnels: asked only where a row without an owner may be one.

The socket of a tunnel stays in the netns in which the interface was made, wherever that is moved.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from nsagent.errors import DumpUnavailable, FormatError, Gone, NotRead
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
from nsagent.model.net import Protocol
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.state import NetnsState, Unheld

MOST_VISITS: Final = 1024
"""In how many netns interfaces are looked for that were moved there: 0.2 ms each."""


def find_tunnels(context: PassContext, ownerless: Iterable[Unheld]) -> None:
    """Note the tunnels of netns with UDP rows of uid 0 that nobody holds; what cannot be asked is not told."""
    rows: defaultdict[int, set[TunnelEnd]] = defaultdict(set)
    states: dict[int, NetnsState] = {}
    for one in ownerless:
        if one.table.protocol is Protocol.UDP and one.netns.engine is EngineName.SOCK_DIAG:
            states[one.netns.met.serial] = one.netns
            ends = (read_end(one.table.data, place.offset) for place in one.places if place.uid == 0)
            rows[one.netns.met.serial].update(end for end in ends if end)
    asked = [state for serial, state in states.items() if rows[serial]]
    if asked and context.live:
        run_in_threads([partial(_look, context, asked, rows)], context.stop)


def _look(context: PassContext, asked: Sequence[NetnsState], rows: Mapping[int, set[TunnelEnd]]) -> None:
    """Moves the calling thread (kernel.netns)."""
    _Search(context, rows).look(asked)


class _Search:
    """Looks for tunnels; moves the thread that uses it. `rows`: where those stand that nobody holds, by serial."""

    def __init__(self, context: PassContext, rows: Mapping[int, set[TunnelEnd]]) -> None:
        self._context = context
        self._rows = rows
        self._entering = Entering(context.procfs.root)
        self._buffer = make_buffer()

    def look(self, states: Sequence[NetnsState]) -> None:
        """Look for tunnels with sockets in these netns: there, and everywhere where that does not explain all rows."""
        for state in states:
            for tunnel in self._list_tunnels(state, ()):
                state.tunnels |= frozenset(tunnel.ends if tunnel.nsid is None else ())
            if self._is_lacking(state):
                self._read_others(state)
        lacking = [state for state in states if self._is_lacking(state)]
        for state in self._context.reader.list_states()[:MOST_VISITS] if lacking else ():
            if self._context.stop.is_set():
                return
            self._list_tunnels(state, lacking)

    def _is_lacking(self, state: NetnsState) -> bool:
        """Whether some row stands where no tunnel is known to have its socket."""
        return not self._rows[state.met.serial] <= state.tunnels

    def _list_tunnels(self, state: NetnsState, owners: Sequence[NetnsState]) -> list[Tunnel]:
        """The tunnels of a netns; of those with sockets in one of `owners`, the ends are noted there."""
        try:
            state.met.enter(self._entering)
            with Tunnels() as tunnels:
                found = tunnels.list_tunnels(self._buffer)
                for owner in owners if any(tunnel.nsid is not None for tunnel in found) else ():
                    self._note_moved(tunnels, found, owner)
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

    def _note_moved(self, tunnels: Tunnels, found: Sequence[Tunnel], owner: NetnsState) -> None:
        fd = owner.met.open_again()
        try:
            nsid = tunnels.read_nsid(fd, self._buffer)
        finally:
            close_fd(fd)
        for tunnel in found:
            if nsid is not None and tunnel.nsid == nsid:
                owner.tunnels |= frozenset(tunnel.ends)
