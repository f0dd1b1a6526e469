"""This process, as the agent needs it: clocks, the environment, standard output."""

import sys
import time
from collections.abc import Callable, Mapping

from nsagent.agent.board import Board
from nsagent.agent.event_log import EventLog
from nsagent.agent.logs import logger
from nsagent.agent.metrics import Metrics
from nsagent.agent.outputs.stdout import Stdout
from nsagent.agent.passes import Place
from nsagent.agent.processes import Processes
from nsagent.agent.schedule import Moment
from nsagent.agent.setup import World
from nsagent.kernel.procfs import ProcFs
from nsagent.report.coverage import HOST_PROCFS
from nsagent.report.prom import make_families


def find_stdout() -> int | None:
    """The descriptor of standard output, None where this process was started without one."""
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def tell_blind(proc_root: str) -> str | None:
    """Why no pass over this procfs sees a host, None where one may: it is a container's that has nothing but this."""
    if ProcFs(proc_root).read_own_pid() != 1:
        return None
    return f"this agent is PID 1 of {proc_root}, and sees its own container alone: {HOST_PROCFS}"


def make_world(read_name: Callable[[], str], proc_root: str, host_root: str, environ: Mapping[str, str]) -> World:
    """The one of this process; `read_name` tells what its host is called."""

    def clock() -> float:
        # Goes on while the machine sleeps: what was due meanwhile is due at once.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    metrics, processes, blind = Metrics(make_families, clock=clock), Processes(), tell_blind(proc_root)
    return World(
        place=Place(read_name, proc_root, host_root),
        environ=environ,
        board=Board(
            0.0, clock=clock, on_pass=metrics.observe_pass, blind=blind, list_forebears=processes.list_forebears
        ),
        metrics=metrics,
        stdout=Stdout(find_stdout()),
        tell=lambda line: logger.warning("%s", line),
        read_clocks=lambda: Moment(clock(), time.time()),
        processes=processes,
        log=EventLog(),
    )
