"""One pass, as a command makes it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nsagent.kernel.lookups import Lookups
from nsagent.kernel.procfs import ProcFs
from nsagent.model.choices import EngineName
from nsagent.model.facts import Facts
from nsagent.runtimes.runtimes import Runtimes
from nsagent.scan.collect import collect
from nsagent.scan.collect.carried import Carried
from nsagent.scan.collect.context import PassContext, open_context
from nsagent.scan.collect.earlier_tables import EarlierTables
from nsagent.scan.collect.pace import Pace
from nsagent.scan.plan import PATIENCE_SECONDS, TablesWanted
from nsagent.scan.request import PassRequest

STARTED_AT_NS = 1_767_323_045_678_000_000


def run_pass(
    proc_root: str = "/proc",
    engine: EngineName = EngineName.AUTO,
    *,
    interfaces: bool = False,
    tables: TablesWanted | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    deadline_seconds: float | None = None,
    stop: threading.Event | None = None,
    runtimes: Runtimes | None = None,
    carried: Carried | None = None,
) -> Facts:
    """The facts of one pass; without `runtimes` nobody is asked for names."""
    request = PassRequest(
        "node-1",
        STARTED_AT_NS,
        proc_root,
        engine,
        interfaces,
        tables or TablesWanted(),
        patience_seconds,
        deadline_seconds,
    )
    runtimes = runtimes or Runtimes([], clock=time.monotonic)
    return collect(request, runtimes, clock=time.monotonic, carried=carried, stop=stop)


@contextmanager
def open_pass(
    procfs: ProcFs, engine: EngineName = EngineName.AUTO, tables: TablesWanted | None = None
) -> Iterator[PassContext]:
    """A pass over a procfs that has done nothing yet."""
    request = PassRequest("node-1", STARTED_AT_NS, procfs.root, engine, tables=tables or TablesWanted())
    live = procfs.is_live()
    with open_context(
        request,
        procfs,
        lambda _: None,
        live=live,
        lookups=Lookups(),
        pace=Pace(),
        earlier=EarlierTables(),
        clock=time.monotonic,
        stop=threading.Event(),
    ) as context:
        yield context
