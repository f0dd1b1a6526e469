"""What one pass over a host is asked for."""

from dataclasses import dataclass, field

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
    engine: EngineName = EngineName.AUTO
    interfaces: bool = False
    """Whether the interfaces of every netns are read too."""
    tables: TablesWanted = field(default_factory=TablesWanted)
    patience_seconds: float = PATIENCE_SECONDS
    """A process of which one read takes longer is skipped."""
    only: Filter | None = None
    """The containers that the pass is about, None for all."""
    owners: OwnersWanted = OwnersWanted.PID
    """With `container` no fd is read."""
