"""One pass, as a command makes it, without asking any engine for names."""

import threading
import time

from nsagent.model.choices import EngineName
from nsagent.model.facts import Facts
from nsagent.runtimes.engines import Engines
from nsagent.scan.collect import PassRequest, collect
from nsagent.scan.collect.request import PATIENCE_SECONDS
from nsagent.scan.plan import TablesWanted

STARTED_AT_NS = 1_767_323_045_678_000_000


def run_pass(
    proc_root: str = "/proc",
    engine: EngineName = EngineName.AUTO,
    *,
    interfaces: bool = False,
    tables: TablesWanted | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    stop: threading.Event | None = None,
) -> Facts:
    """The facts of one pass."""
    request = PassRequest(
        "node-1", STARTED_AT_NS, proc_root, engine, interfaces, tables or TablesWanted(), patience_seconds
    )
    return collect(request, Engines([], clock=time.monotonic), clock=time.monotonic, stop=stop)
