"""A pass over this host in the process of the test, for questions that are asked by the hundred."""

import time

from nsagent.model.snapshot import Snapshot
from nsagent.runtimes.discover import discover_runtimes
from nsagent.scan.plan import TablesWanted
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import take_snapshot
from tests.live.netns_bed import MadeNetns


def read_snapshot(*netns: MadeNetns) -> Snapshot:
    """The sockets of this host, and the own addresses of each netns; these netns are among them."""
    request = SnapshotRequest("node", time.time_ns(), tables=TablesWanted(own_addresses=True))
    runtimes = discover_runtimes("none", {}, clock=time.monotonic)
    snapshot = take_snapshot(request, runtimes, clock=time.monotonic).snapshot
    assert {one.inode for one in netns} <= {one.number for one in snapshot.netns if one.own_addresses}
    return snapshot
