"""How the agent fares, as values: what `nsagent status`, the metrics and the health endpoints tell. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nsagent.model.choices import EngineName
from nsagent.model.gap import AlikeGaps
from nsagent.model.process_event import EventEngine


@dataclass(frozen=True, slots=True)
class PassStatus:
    """The last finished pass."""

    number: int
    """1 for the first one since the start."""
    taken_at: str
    """RFC 3339 in UTC, with ms."""
    finished_seconds: float
    """On the monotonic clock."""
    duration_seconds: float
    cpu_seconds: float
    engine: EngineName
    complete: bool
    sockets: int
    netns: int
    processes: int
    gaps: tuple[AlikeGaps, ...]
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each stage, as in scan.laps."""


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """One output of a report."""

    output: str
    """As in `file /var/lib/nsagent/listeners.jsonl`."""
    written: int = 0
    failed: int = 0
    dropped: int = 0
    """Reports that no receiver took, and that were let go."""
    spooled: int = 0
    """Reports that wait on disk."""
    error: str | None = None
    """Why the last one failed, None where it did not."""


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """One report."""

    name: str
    next_at: str | None
    """None where it is never due again."""
    runs: int = 0
    failed: int = 0
    skipped: int = 0
    """Times at which it was due and not made, for the one before was late."""
    last_success_at: str | None = None
    last_success_epoch_seconds: float | None = None
    quarantined: bool = False
    """It failed again and again: it is tried more rarely."""
    error: str | None = None
    outputs: tuple[OutputStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """The config in force."""

    path: str
    loaded_at: str
    last_reload_ok: bool = True
    error: str | None = None
    """Why the last reload failed: the one before is in force."""


@dataclass(frozen=True, slots=True)
class EventsStatus:
    """How the agent hears of processes as they come and go."""

    engine: EventEngine
    """`poll`: by passes alone."""
    error: str | None
    """Why the kernel tells nothing, None where it does."""
    events: int
    """That the kernel told of."""
    gaps: int
    """How often some were lost. Each time a look at /proc found what there is."""
    lost: int
    """How many events of threads and processes were, as far as that is known."""
    processes: int
    """That are known to live now."""
    ended: int
    """Processes that are remembered, as they ended within the last minute."""
    found_by_passes: int
    """Processes that began or ended, and of which nobody had told when a pass found it."""
    not_looked_at: int = 0
    """Processes of which it is not known who they were, for they came faster than they may be looked at."""


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What has happened since the start of the agent, as far as it was heard of."""

    processes: Mapping[str, int]
    """How many have forked, executed a program, and exited, by these names."""
    short_lived_processes: int
    """That began and ended between two passes."""
    sockets: Mapping[str, int]
    """How many have opened, closed, and changed holders or states: `open`, `close`, `change`."""
    short_lived_sockets: int
    """That were in no pass; heard of only where a report asks for events."""
    lost: Mapping[str, int]
    """Events that did not arrive, as far as is known: of a `process`, of a `socket`."""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """All of it."""

    version: str
    host: str
    pid: int
    started_at: str
    config: ConfigStatus
    blind: str | None = None
    """Why passes do not see the host, None where they may."""
    passes: int = 0
    """Finished ones."""
    passes_failed: int = 0
    passes_skipped: int = 0
    """That were due while another one was under way."""
    pass_error: str | None = None
    last_pass: PassStatus | None = None
    reports: tuple[ReportStatus, ...] = ()
    runtimes: tuple[tuple[str, bool], ...] = field(default=())
    """What was asked for names, and whether it answered."""
    rss_bytes: int | None = None
    events: EventsStatus | None = None
    """None where the config turns them off."""
    happened: EventCounts | None = None
    """None before the first pass."""
