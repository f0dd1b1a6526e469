"""What a pass knows of the tables of those before it."""

from dataclasses import dataclass, field

from nsagent.scan.collect.indexes import Indexes
from nsagent.scan.collect.resting_tables import RestingTables


@dataclass(slots=True)
class EarlierTables:
    """What their rows name, and which of them still hold."""

    indexes: Indexes = field(default_factory=Indexes)
    resting: RestingTables | None = None
    """None where no pass is to follow: then nothing is asked that would only tell it something."""

    def begin(self) -> "EarlierTables":
        """Itself, for the pass that begins."""
        self.indexes.begin()
        if self.resting is not None:
            self.resting.begin()
        return self
