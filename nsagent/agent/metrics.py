"""What /metrics says: the last finished pass, and how the agent itself fares.

Prometheus' text format, prometheus.io/docs/instrumenting/exposition_formats. What a snapshot becomes is the
business of report/prom.py.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import accumulate
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nsagent.agent.board import Board, LastPass
from nsagent.agent.status import AgentStatus, OutputStatus, PassStatus, ReportStatus
from nsagent.model.snapshot import Snapshot

MakeFamilies = Callable[[Snapshot, int], tuple[list[Metric], int]]
"""report.prom.make_families: the metrics of a snapshot, and how many series had no place of their own."""

MOST_SERIES: Final = 10_000
"""Of one metric of a snapshot; what is more is one series, `other`."""

BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the durations of passes, in seconds; a small host takes 0.1, one with 10^6 fds 10."""

WHOLE: Final = "all"
"""The stage that stands for a pass as a whole."""

FRESH_SECONDS: Final = 1.0
"""How long a text is served as it is: ten thousand requests make it a few times, and share its bytes."""


class Scrape(NamedTuple):
    """An answer to a scrape."""

    text: bytes
    content_type: str


class _Made(NamedTuple):
    """A text, and what it was made of when."""

    of_pass: PassStatus | None
    """That of the pass, which stands for it: to hold the pass itself would keep it in memory."""
    status: AgentStatus | None
    at_seconds: float
    scrape: Scrape

    def is_of(self, of_pass: PassStatus | None, status: AgentStatus | None, now: float) -> bool:
        """Whether it is of these very values, and young enough for what the process tells of itself."""
        alike = self.of_pass is of_pass and self.status is status
        return alike and now - self.at_seconds < FRESH_SECONDS


class _Durations:
    """How often something took how long."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Once more."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


class Metrics:
    """The metrics of one agent, from its start on."""

    def __init__(
        self, make_families: MakeFamilies, *, clock: Callable[[], float], most_series: int = MOST_SERIES
    ) -> None:
        """`clock` is monotonic, in seconds."""
        self._make_families = make_families
        self._most_series = most_series
        self._clock = clock
        self._lock = threading.Lock()
        self._durations: dict[str, _Durations] = {}
        self._of_pass: tuple[PassStatus | None, bytes] = (None, b"")
        self._dropped = 0
        self._made: _Made | None = None

    def observe_pass(self, status: PassStatus) -> None:
        """Count a finished pass."""
        with self._lock:
            for stage, seconds in {WHOLE: status.duration_seconds, **status.stages}.items():
                self._durations.setdefault(stage, _Durations()).add(seconds)

    def scrape(self, board: Board) -> Scrape:
        """What the board says now: the metrics of a pass are made once, whoever asks."""
        with self._lock:
            last_pass, status, now = board.last_pass, board.status, self._clock()
            of_pass = None if last_pass is None else last_pass.status
            if self._made and self._made.is_of(of_pass, status, now):
                return self._made.scrape
            if last_pass is not None and self._of_pass[0] is not of_pass:
                families, dropped = self._make_families(last_pass.snapshot, self._most_series)
                self._dropped += dropped
                self._of_pass = (of_pass, _encode(families).text)
            own = _encode(self._list_own(last_pass, status), ProcessCollector(registry=None))
            scrape = Scrape(own.text + self._of_pass[1], own.content_type)
            self._made = _Made(of_pass, status, now, scrape)
            return scrape

    def _list_own(self, last_pass: LastPass | None, status: AgentStatus | None) -> Iterator[Metric]:
        """How the agent fares."""
        yield self._durations_family()
        yield _counter("series_dropped", "Series beyond the limit, that are part of `other`.", self._dropped)
        if last_pass is not None:
            taken = datetime.fromisoformat(last_pass.snapshot.taken_at).timestamp()
            yield _gauge("scan_last_success_timestamp_seconds", "When the last finished pass was taken.", taken)
            yield _gauge("scan_cpu_seconds", "CPU time of the last finished pass.", last_pass.status.cpu_seconds)
            yield _gauge("scan_complete", "Whether the last pass saw everything.", last_pass.status.complete)
        if status is not None:
            yield from _list_of_agent(status)
            yield from _list_of_events(status)
            yield from _list_of_reports(status.reports)
            yield from _list_of_outputs(status.reports)

    def _durations_family(self) -> Metric:
        bounds = [*map(str, BUCKETS), "+Inf"]
        family = HistogramMetricFamily(
            "nsagent_scan_duration_seconds", "How long passes took, and their stages.", labels=["stage"]
        )
        for stage, durations in self._durations.items():
            buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
            family.add_metric([stage], buckets, durations.seconds)
        return family


class _Collected(Collector):
    """Families that are there already, as a registry takes them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _encode(families: Iterable[Metric], *more: Collector) -> Scrape:
    """The text of families, of a registry of its own: nothing comes in that was not asked for."""
    registry = CollectorRegistry()
    for collector in (_Collected(families), *more):
        registry.register(collector)
    encode, content_type = choose_encoder("")
    return Scrape(encode(registry), content_type)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"nsagent_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"nsagent_{name}", text, value=value)


def _list_of_agent(status: AgentStatus) -> Iterator[Metric]:
    build = GaugeMetricFamily("nsagent_build_info", "The version that runs.", labels=["version"])
    build.add_metric([status.version], 1)
    yield build
    yield _counter("scans", "Finished passes.", status.passes)
    yield _counter("scans_failed", "Passes that failed.", status.passes_failed)
    yield _counter("scans_skipped", "Passes that were due while one was under way.", status.passes_skipped)
    yield _gauge(
        "config_last_reload_successful", "Whether the config in force is the file's.", status.config.last_reload_ok
    )
    runtimes = GaugeMetricFamily("nsagent_runtime_up", "Whether it answered when asked for names.", labels=["runtime"])
    for kind, up in _list_kinds(status.runtimes).items():
        runtimes.add_metric([kind], up)
    yield runtimes


def _list_kinds(runtimes: Iterable[tuple[str, bool]]) -> dict[str, bool]:
    """Runtimes by their kind alone, and whether all of it answer; their names say at which path or URL each is."""
    kinds: dict[str, bool] = {}
    for name, up in runtimes:
        kind = name.partition(" (")[0]
        kinds[kind] = up and kinds.get(kind, True)
    return kinds


def _list_of_events(status: AgentStatus) -> Iterator[Metric]:
    """What has happened, and how that is known."""
    happened, heard = status.happened, status.events
    if heard is not None:
        engine = GaugeMetricFamily(
            "nsagent_process_events_engine", "How it is known that processes come and go.", labels=["engine"]
        )
        engine.add_metric([heard.engine], 1)
        yield engine
    if happened is None:
        return
    for name, text, label, counts in (
        ("process_events", "Processes that forked, executed a program, exited.", "event", happened.processes),
        ("socket_events", "Sockets that opened, closed, changed holders or states.", "event", happened.sockets),
        ("events_lost", "Events that did not arrive.", "of", happened.lost),
    ):
        family = CounterMetricFamily(f"nsagent_{name}", text, labels=[label])
        for value, count in counts.items():
            family.add_metric([value], count)
        yield family
    yield _counter("short_lived_processes", "That began and ended between two passes.", happened.short_lived_processes)
    yield _counter("short_lived_sockets", "That closed and were in no pass.", happened.short_lived_sockets)


def _list_of_reports(reports: tuple[ReportStatus, ...]) -> Iterator[Metric]:
    success = GaugeMetricFamily(
        "nsagent_report_last_success_timestamp_seconds", "When it was last made.", labels=["report"]
    )
    for report in reports:
        if report.last_success_epoch_seconds is not None:
            success.add_metric([report.name], report.last_success_epoch_seconds)
    yield success
    quarantined = GaugeMetricFamily(
        "nsagent_report_quarantined", "Whether it failed so often that it is tried more rarely.", labels=["report"]
    )
    runs = CounterMetricFamily("nsagent_report_runs", "Times that it was made.", labels=["report"])
    failed = CounterMetricFamily("nsagent_report_failures", "Times that it failed.", labels=["report"])
    skipped = CounterMetricFamily("nsagent_report_skips", "Times that it was due and not made.", labels=["report"])
    for report in reports:
        quarantined.add_metric([report.name], report.quarantined)
        runs.add_metric([report.name], report.runs)
        failed.add_metric([report.name], report.failed)
        skipped.add_metric([report.name], report.skipped)
    yield from (quarantined, runs, failed, skipped)


_OF_OUTPUTS: Final[tuple[tuple[str, str, Callable[[OutputStatus], int]], ...]] = (
    ("written", "Reports that it took.", lambda output: output.written),
    ("failures", "Times that it failed.", lambda output: output.failed),
    ("dropped", "Reports that were let go.", lambda output: output.dropped),
)


def _list_of_outputs(reports: tuple[ReportStatus, ...]) -> Iterator[Metric]:
    labels = ["report", "output"]
    # By their type alone, of which a report may have several: nobody needs a token to read paths and URLs here.
    outputs: dict[tuple[str, str], list[OutputStatus]] = {}
    for report in reports:
        for output in report.outputs:
            outputs.setdefault((report.name, output.output.partition(" ")[0]), []).append(output)
    for name, text, count in _OF_OUTPUTS:
        family = CounterMetricFamily(f"nsagent_output_{name}", text, labels=labels)
        for names, alike in outputs.items():
            family.add_metric(names, sum(map(count, alike)))
        yield family
    spooled = GaugeMetricFamily("nsagent_output_spooled", "Reports that wait on disk.", labels=labels)
    for names, alike in outputs.items():
        spooled.add_metric(names, sum(output.spooled for output in alike))
    yield spooled
