"""What is wanted of a process, and how long it may take."""

from collections.abc import Callable
from typing import Final, NamedTuple

LOOKUP_SECONDS: Final = 5.0
"""For all that a child reads of all processes, but checksums."""
HASHING_SECONDS: Final = 60.0
"""For all checksums."""


class Wanted(NamedTuple):
    """What is told beside that which always is."""

    environ: Callable[[str], str] | None = None
    """What is told in the place of each NAME=VALUE of the environment; None: it is not read."""
    algorithms: tuple[str, ...] = ()
    """Of the checksums of what runs; of kernel.questions.HASHED."""
    memory_of: str | None = None
    """The path of a file whose image in memory is told; by the algorithms above, sha256 if there are none."""
    lookup_seconds: float = LOOKUP_SECONDS
    hashing_seconds: float = HASHING_SECONDS
