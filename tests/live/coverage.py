"""Whether a scan saw everything, as far as that is for a test to say.

A closed bed, a container and a pod have a PID namespace of their own. What a scan says of processes
outside of it, in its coverage and on stderr, is no fault of what a test has made.
"""

from collections.abc import Iterable, Mapping
from typing import Any

OWN_PID_NAMESPACE = "PID namespace"
"""In the gap, and in the line, that tells of it."""


def is_whole(coverage: Mapping[str, Any]) -> bool:
    """Whether nothing was left out, but for what is outside of the own PID namespace and for names."""
    gaps = [gap for gap in coverage["gaps"] if gap["stage"] != "names"]
    foreign = [gap for gap in gaps if OWN_PID_NAMESPACE in gap["subject"] + gap["reason"]]
    left_out = sum(coverage["processes"][kind] for kind in ("denied", "skipped")) + coverage["netns"]["failed"]
    return bool(coverage["complete"]) or (bool(foreign) and gaps == foreign and not left_out)


def own_complaints(lines: Iterable[str]) -> list[str]:
    """The lines on stderr, but for the one that tells of the own PID namespace."""
    return [line for line in lines if OWN_PID_NAMESPACE not in line]
