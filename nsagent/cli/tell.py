"""What is said on stderr."""

import sys
from contextlib import suppress


def tell(line: str, *, end: str = "\n") -> None:
    """Say a line; where stderr is full or closed nobody can be told, and nothing else changes by that."""
    with suppress(OSError, ValueError):
        print(line, end=end, file=sys.stderr, flush=True)
