"""How long the stages of a pass take."""

import itertools

from nsagent.model.choices import EngineName
from nsagent.runtimes.runtimes import Runtimes
from nsagent.scan.collect.carried import Carried
from nsagent.scan.laps import Lap, Laps
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import take_snapshot
from tests.kernel.rows import FIXTURES


def test_each_begins_where_the_one_before_ends() -> None:
    times = iter((10.0, 10.5, 12.5))
    laps = Laps(lambda: next(times))
    laps.end(Lap.WALK)
    laps.end(Lap.NAMES)
    assert laps.seconds == {Lap.WALK: 0.5, Lap.NAMES: 2.0}


def test_a_pass_has_all_of_them_and_no_more_time_than_it_took() -> None:
    clock = itertools.count().__next__
    carried = Carried()
    request = SnapshotRequest("node-1", 0, str(FIXTURES / "proc" / "node"), EngineName.PROC)
    started = clock()
    take_snapshot(request, Runtimes([], clock=clock), clock=clock, carried=carried)
    took = clock() - started
    assert carried.laps is not None
    assert set(carried.laps.seconds) == set(Lap)
    assert 0 < sum(carried.laps.seconds.values()) < took
