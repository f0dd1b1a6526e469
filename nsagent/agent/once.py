"""Reports of one pass, made now, and how each fared."""

import threading
from typing import Final

from nsagent.agent.delivery import Delivery
from nsagent.agent.made_report import deliver
from nsagent.agent.setup import Setup, World
from nsagent.config.model import Config
from nsagent.model.snapshot import Snapshot

_PATIENCE_SECONDS: Final = 60.0
"""For what is still to be written, or sent, when all reports are made."""


def make_once(config: Config, world: World) -> tuple[Snapshot, dict[str, str | None]]:
    """The pass, and each report of a config with why it failed, None where it did not; raises what a pass does.

    Nobody can ask meanwhile, and no history is kept. A report of what is new has nothing to tell: nothing was before.
    """
    without = {"http": None, "socket": None, "history": None, "events": "off"}
    setup = Setup(config.model_copy(update=without), world)
    setup.begin()
    names = [report.name for report in config.reports]
    delivery = Delivery(clock=world.clock)
    try:
        made = setup.passes.make(threading.Event(), changes_wanted=False)
        for name in names:
            deliver(name, setup.book.begin(name, 0), made, setup.book, delivery, logged=False)
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
