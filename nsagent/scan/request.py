"""What a pass over a host, and a snapshot of it, are asked for. Pure."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from nsagent.model.choices import EngineName, OwnersWanted
from nsagent.query.filter import Filter
from nsagent.scan.plan import PATIENCE_SECONDS, TablesWanted


@dataclass(frozen=True, slots=True)
class PassRequest:
    """What one pass is asked for."""

    host: str
    """What the host is called."""
    started_at_ns: int
    """The wall clock, in ns since the epoch."""
    proc_root: str = "/proc"
    """Where the procfs to read is."""
    engine: EngineName = EngineName.AUTO
    """How tables are read."""
    interfaces: bool = False
    """Whether the interfaces of every netns are read too."""
    tables: TablesWanted = field(default_factory=TablesWanted)
    """Which tables are read, and how far it looks. Those of TCP and UDP are read in every pass."""
    patience_seconds: float = PATIENCE_SECONDS
    """A process of which one read takes longer is skipped."""
    deadline_seconds: float | None = None
    """How long a pass may take: what is not read by then is a gap. It ends soon after, for names are waited for."""
    only: Filter | None = None
    """The containers, or the processes by their pids, that the pass is about; None for all."""
    owners: OwnersWanted = OwnersWanted.PID
    """With `container` no fd is read."""
    host_root: str = "/"
    """Where the host's root directory is seen; absolute."""


@dataclass(frozen=True, slots=True)
class SnapshotRequest(PassRequest):
    """The same for a snapshot; where a capture is read only `owners`, `tables` and the files count."""

    since: Path | None = None
    """A capture of an earlier pass over this host: who held then what is closing now."""
    from_file: Path | None = None
    """A capture to read instead of this host."""
    captured: bytes | None = None
    """What is in it, where it is no file but the socket of the agent, which gave this; None where it is to be read."""
    ports: frozenset[int] | None = None
    """The ports that it is about, None for all: netns that have no row with one of them at an end count as skipped."""
    capture: Path | None = None
    """Where to keep the facts as well; replaced as a whole."""

    def started_at(self, nanoseconds: int, *, host: str | None = None) -> "SnapshotRequest":
        """The same for a pass that starts then, of a host that may be called otherwise by now."""
        return replace(self, started_at_ns=nanoseconds, host=host or self.host)
