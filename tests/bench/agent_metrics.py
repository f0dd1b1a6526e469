"""`python -m tests.bench.agent_metrics`: the CPU time of an answer to a scrape of 5,000 series and more.

Prints medians in seconds, and how many series it was, as JSON. `first` is of a pass that nobody has asked about
yet: its sockets are counted, too, in `counted`. `again` is of one that was, later: only how the agent itself fares
is told anew.
"""

import gc
import itertools
import json
import time
from typing import Final

from prometheus_client import Metric

from nsagent.agent.board import Board
from nsagent.agent.metrics import FRESH_SECONDS, Metrics
from nsagent.model.snapshot import Snapshot
from nsagent.report.prom import make_families
from tests.agent.boards import make_pass_status, make_status, recorded_facts
from tests.bench.measure import median
from tests.bench.render import make_snapshot

SOCKETS: Final = 13_400
"""So many of render.py's have 5,000 series in 200 containers; each in five listens."""
ROUNDS: Final = 7


def main() -> None:
    """Measure."""
    whole = make_snapshot()
    gc.disable()  # As in an agent, but for now and then.
    snapshot = whole._replace(sockets=whole.sockets[:SOCKETS])
    first, counted, again, series = zip(*(_ask(snapshot) for _ in range(ROUNDS)), strict=True)
    seconds = {"first": median(first), "counted": median(counted), "again": median(again)}
    print(json.dumps({**seconds, "series": min(series)}))


def _ask(snapshot: Snapshot) -> tuple[float, float, float, int]:
    """CPU seconds of the first answer about a pass, of the counting in it, and of the next; how many series it has."""
    counted: list[float] = []

    def count(snapshot: Snapshot, most_series: int) -> tuple[list[Metric], int]:
        started = time.process_time()
        families = make_families(snapshot, most_series)
        counted.append(time.process_time() - started)
        return families

    clock = itertools.count(step=2 * FRESH_SECONDS).__next__
    board = Board(30.0, clock=clock)
    metrics = Metrics(count, clock=clock)
    board.publish_pass(snapshot, recorded_facts(), make_pass_status())
    board.publish_status(make_status())
    started = time.process_time()
    text = metrics.scrape(board).text
    answered = time.process_time()
    metrics.scrape(board)
    again = time.process_time()
    return answered - started, counted[0], again - answered, sum(line[:1] != b"#" for line in text.splitlines())


if __name__ == "__main__":
    main()
