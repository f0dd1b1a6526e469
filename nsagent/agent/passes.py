"""The passes of the agent, one after the other: each brings what the one before knew.

Raises what scan.take does; a pass that was not finished leaves the one before in force.
"""

import resource
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from nsagent.agent.reports import wants_labels
from nsagent.agent.status import PassStatus
from nsagent.config.model import Config
from nsagent.kernel.files import read_file
from nsagent.model.change import Change
from nsagent.model.choices import View
from nsagent.model.gap import Kind, Stage
from nsagent.model.net import Protocol
from nsagent.model.snapshot import Snapshot
from nsagent.runtimes.discover import discover_runtimes
from nsagent.runtimes.runtimes import Runtimes
from nsagent.scan.collect.carried import Carried, MapLodgers
from nsagent.scan.collect.command_lines import CommandLines
from nsagent.scan.collect.pace import Pace
from nsagent.scan.diff import diff_snapshots
from nsagent.scan.follow import follow
from nsagent.scan.plan import PROTOCOLS, TablesWanted
from nsagent.scan.request import SnapshotRequest
from nsagent.scan.take import Taken, take_snapshot

_DEADLINE_SECONDS: Final = 60.0
"""For one pass."""
_PACED_SECONDS: Final = 600.0
"""For one that is not to take more than its share of the CPU."""


_WITH_ADDRESSES: Final = (View.NETNS, View.CONTAINERS)
"""What tells of interfaces: others are spared the 2 ms that each netns takes for them."""


class Place(NamedTuple):
    """Where this host is seen."""

    read_name: Callable[[], str]
    """What it is called now: it may get its name from the network after the agent has started."""
    proc_root: str = "/proc"
    host_root: str = "/"
    """Absolute."""


class Made(NamedTuple):
    """A finished pass."""

    taken: Taken
    status: PassStatus
    changes: tuple[Change, ...] | None
    """Since the pass before; None where nothing is kept of one."""
    command_lines: CommandLines
    """Of its processes, for reports that ask for them."""
    started_ns: int
    """When it began, by CLOCK_MONOTONIC."""


class Passes:
    """Makes them as one config wants them; not for two threads at once."""

    def __init__(
        self, config: Config, place: Place, environ: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._runtimes: Runtimes = discover_runtimes(
            config.runtime,
            environ,
            place.host_root,
            clock=clock,
            labels_wanted=any(wants_labels(report) for report in config.reports),
            follow=True,
        )
        share = config.limits.cpu
        self._request = SnapshotRequest(
            place.read_name(),
            0,
            place.proc_root,
            config.engine,
            interfaces=any(report.view in _WITH_ADDRESSES for report in config.reports),
            tables=TablesWanted(_list_protocols(config), own_addresses=True),
            deadline_seconds=_DEADLINE_SECONDS if share is None else _PACED_SECONDS,
            host_root=place.host_root,
        )
        self._read_name = place.read_name
        self._carried = Carried(Pace(share, clock=clock, cpu_clock=time.process_time))
        self._memory_bytes = config.limits.memory
        self._before: Snapshot | None = None
        self.finished = 0

    def make(
        self,
        stop: threading.Event,
        *,
        changes_wanted: bool,
        netns_met: Callable[[int], object] | None = None,
        map_lodgers: MapLodgers | None = None,
    ) -> Made:
        """The next pass; raises Aborted soon after `stop` is set. The last two are what Carried has."""
        self._carried.netns_met, self._carried.map_lodgers = netns_met, map_lodgers
        cpu, started, started_ns = time.process_time(), self._clock(), time.monotonic_ns()
        request = self._request.started_at(time.time_ns(), host=self._read_name())
        taken = take_snapshot(request, self._runtimes, clock=self._clock, stop=stop, carried=self._carried)
        snapshot, before = taken.snapshot, self._before
        changes = diff_snapshots(before, snapshot) if changes_wanted and before is not None else None
        self._before = follow(before, snapshot) if changes_wanted else None
        self.finished += 1
        coverage, laps = snapshot.coverage, self._carried.laps
        status = PassStatus(
            number=self.finished,
            taken_at=snapshot.taken_at,
            finished_seconds=self._clock(),
            duration_seconds=round(self._clock() - started, 6),
            cpu_seconds=round(time.process_time() - cpu, 6),
            engine=snapshot.engine,
            complete=coverage.complete,
            sockets=len(snapshot.sockets),
            netns=coverage.netns.seen,
            processes=coverage.processes.seen,
            gaps=coverage.gaps,
            stages={lap.value: round(seconds, 6) for lap, seconds in laps.seconds.items()} if laps else {},
        )
        self._bound_memory()
        command_lines = CommandLines(request.proc_root, self._carried.lookups, clock=self._clock, stop=stop)
        return Made(taken, status, changes, command_lines, started_ns)

    def list_runtimes(self, made: Made) -> tuple[tuple[str, bool], ...]:
        """What was asked for names in a pass, and whether it answered."""
        failed = {
            subject.id: False
            for gap in made.status.gaps
            if gap.stage is Stage.NAMES and gap.kind is Kind.SOURCE
            for subject in gap.subjects
        }
        return tuple({**dict.fromkeys(made.taken.snapshot.sources, True), **failed}.items())

    def take_over(self, other: "Passes") -> None:
        """Go on where those of an earlier config were: what was seen last, and how many passes there were."""
        self._before, self.finished = other._before, other.finished
        self._carried.take_over(other._carried)

    def close(self) -> None:
        """Ask no runtime any more."""
        self._runtimes.close()

    def _bound_memory(self) -> None:
        """Let go of what would spare work, where more than the limit is used: the next pass reads all anew.

        Not of what it is compared with, which whoever asks the agent is shown anyway: changes would be lost unsaid.
        """
        if self._memory_bytes is not None and (read_rss_bytes() or 0) > self._memory_bytes:
            self._carried.forget()


def read_rss_bytes() -> int | None:
    """The memory of this process that is in RAM; statm's second number (proc(5)), None where that cannot be read."""
    try:
        return int(read_file("/proc/self/statm").split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return None


def _list_protocols(config: Config) -> frozenset[Protocol]:
    wanted = (report.select.make_filter().named_protocols for report in config.reports)
    return frozenset(PROTOCOLS).union(*wanted)
