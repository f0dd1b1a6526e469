"""Which TCP connections are those of the kernel's RPC client: asked only where a row without an owner may be one."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

from nsagent.errors import Gone, NotRead
from nsagent.kernel.netns import Entering
from nsagent.kernel.sunrpc import list_rpc_flows
from nsagent.kernel.threads import run_in_threads
from nsagent.model.choices import EngineName
from nsagent.model.net import Protocol
from nsagent.scan.collect.context import PassContext
from nsagent.scan.collect.state import NetnsState, Unheld


def find_rpc_flows(context: PassContext, ownerless: Iterable[Unheld]) -> None:
    """Note those of netns with TCP connections of uid 0 that nobody holds; what cannot be asked is not told."""
    asked = {
        one.netns.met.serial: one.netns
        for one in ownerless
        if one.table.protocol is Protocol.TCP
        and one.netns.engine is EngineName.SOCK_DIAG
        and any(place.uid == 0 and not place.listening for place in one.places)
    }
    if asked and context.live:
        run_in_threads([partial(_look, context, tuple(asked.values()))], context.stop)


def _look(context: PassContext, states: Sequence[NetnsState]) -> None:
    """Moves the calling thread (kernel.netns)."""
    entering = Entering(context.procfs.root)
    for state in states:
        with suppress(Gone, NotRead):
            state.met.enter(entering)
            state.rpc_flows = frozenset(list_rpc_flows(context.procfs.root))
