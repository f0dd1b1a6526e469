"""What a filter asks for that no container of a snapshot is known to have."""

from enum import StrEnum
from typing import NamedTuple


class UnmetKind(StrEnum):
    """Which of the parts of a filter that may be right on another node."""

    KUBE_NAMESPACE = "kube_namespace"
    LABEL = "label"


class Unmet(NamedTuple):
    """One value of it."""

    kind: UnmetKind
    text: str
    """As it may be typed."""
