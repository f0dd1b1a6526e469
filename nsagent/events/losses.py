"""What did not arrive of what the kernel tells."""

from typing import NamedTuple


class Losses(NamedTuple):
    """Since the beginning."""

    gaps: int = 0
    """How often something was lost. Of processes a look at /proc found each time what there is."""
    events: int = 0
    """How many events were, as far as the kernel's numbers show: of processes those of their threads, too."""

    def plus(self, other: "Losses") -> "Losses":
        """Both together."""
        return Losses(self.gaps + other.gaps, self.events + other.events)
