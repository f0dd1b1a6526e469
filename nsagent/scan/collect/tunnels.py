"""Which sockets the kernel has for its tunnels: asked only where a row without an owner may be one.

The socket of a tunnel stays in the netns in which the interface was made, wherever that is moved.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from nsagent.errors import FormatError, Gone, NotRead
from nsagent.kernel.formats.route_link import Tunnel
from nsagent.kernel.libc import close_fd
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.netns import Entering
from nsagent.kernel.threads import run_in_threads
from nsagent.kernel.tunnels import Tunnels
from nsagent.model.choices import EngineName
from nsagent.model.net import Protocol
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.state import NetnsState, Unheld

MOST_VISITS: Final = 1024
"""In how many netns interfaces are looked for that were moved there: 0.2 ms each."""


def find_tunnels(context: PassContext, ownerless: Iterable[Unheld]) -> None:
    """Note the tunnels of netns with UDP rows of uid 0 that nobody holds; what cannot be asked is not told."""
    rows: Counter[int] = Counter()
    states: dict[int, NetnsState] = {}
    for one in ownerless:
        if one.table.protocol is Protocol.UDP and one.netns.engine is EngineName.SOCK_DIAG:
            states[one.netns.met.serial] = one.netns
            rows[one.netns.met.serial] += sum(place.uid == 0 for place in one.places)
    asked = [state for serial, state in states.items() if rows[serial]]
    if asked and context.live:
        run_in_threads([partial(_look, context, asked, rows)], context.stop)


def _look(context: PassContext, asked: Sequence[NetnsState], rows: Counter[int]) -> None:
    """Moves the calling thread (kernel.netns)."""
    _Search(context, rows).look(asked)


class _Search:
    """Looks for tunnels; moves the thread that uses it. `rows` counts those that nobody holds, by serial."""

    def __init__(self, context: PassContext, rows: Counter[int]) -> None:
        self._context = context
        self._rows = rows
        self._entering = Entering(context.procfs.root)
        self._buffer = make_buffer()

    def look(self, states: Sequence[NetnsState]) -> None:
        """Look for tunnels with sockets in these netns: there, and everywhere where that does not explain all rows."""
        for state in states:
            for tunnel in self._list_tunnels(state, ()):
                state.tunnels |= frozenset(tunnel.ends if tunnel.nsid is None else ())
        lacking = [state for state in states if self._rows[state.met.serial] > len(state.tunnels)]
        for state in self._context.reader.list_states()[:MOST_VISITS] if lacking else ():
            if self._context.stop.is_set():
                return
            self._list_tunnels(state, lacking)

    def _list_tunnels(self, state: NetnsState, owners: Sequence[NetnsState]) -> list[Tunnel]:
        """The tunnels of a netns; of those with sockets in one of `owners`, the ends are noted there."""
        try:
            fd = state.met.open_again()
            try:
                self._entering.enter(fd)
            finally:
                close_fd(fd)
            with Tunnels() as tunnels:
                found = tunnels.list_tunnels(self._buffer)
                for owner in owners if any(tunnel.nsid is not None for tunnel in found) else ():
                    self._note_moved(tunnels, found, owner)
        except (Gone, NotRead, FormatError):
            return []
        return found

    def _note_moved(self, tunnels: Tunnels, found: Sequence[Tunnel], owner: NetnsState) -> None:
        fd = owner.met.open_again()
        try:
            nsid = tunnels.read_nsid(fd, self._buffer)
        finally:
            close_fd(fd)
        for tunnel in found:
            if nsid is not None and tunnel.nsid == nsid:
                owner.tunnels |= frozenset(tunnel.ends)
