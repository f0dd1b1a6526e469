"""Reports of one pass, made now, and how each fared."""

import threading
from collections.abc import Sequence
from typing import Final

from nsagent.agent.delivery import Delivery
from nsagent.agent.made_report import deliver
from nsagent.agent.setup import Setup, World
from nsagent.model.snapshot import Snapshot

_PATIENCE_SECONDS: Final = 60.0
"""For what is still to be written, or sent, when all reports are made."""


def make_once(
    setup: Setup, names: Sequence[str], world: World, stop: threading.Event
) -> tuple[Snapshot, dict[str, str | None]]:
    """The pass, and each of these reports with why it failed, None where it did not; raises what a pass does.

    `setup` is in use, and is let go of. A report that tells what is new tells nothing: there is nothing before.
    """
    delivery = Delivery(clock=world.clock)
    try:
        made = setup.passes.make(stop, changes_wanted=False)
        for name in names:
            deliver(name, setup.book.begin(name, 0), made.taken.snapshot, setup.book, delivery)
        written = delivery.wait(_PATIENCE_SECONDS)
    finally:
        setup.close()
        setup.close_outputs(seconds=_PATIENCE_SECONDS)
    if not written:
        world.tell(f"not all is written after {_PATIENCE_SECONDS:g} s")
    return made.taken.snapshot, {name: _tell(setup, name) for name in names}


def _tell(setup: Setup, name: str) -> str | None:
    """Why a report failed, by what its outputs say once they are closed: a receiver takes it later than it is made."""
    entry = setup.book.entries[name]
    if entry.error is not None:
        return entry.error
    if entry.last_success is None:
        return "not written in time"
    statuses = [lane.status() for lane in entry.lanes]
    failed = [each.error or "not taken in time" for each in statuses if each.error or each.dropped]
    return "; ".join(failed) or None
