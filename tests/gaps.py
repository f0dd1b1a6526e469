"""Gaps as tests write them down."""

from nsagent.errors import Reason
from nsagent.model.gap import AlikeGaps, Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.net import Protocol

_DENIED = ("EACCES", "EPERM")


def failed(
    stage: Stage, kind: Kind, id_: object, errno: str, count: int = 1, *, protocol: Protocol | None = None
) -> Gap:
    """A read that failed with an errno."""
    reason = Reason.DENIED if errno in _DENIED else Reason.FAILED
    return Gap(stage, Subject(kind, str(id_), protocol), reason, errno, count=count)


def unnamed(source: str, detail: str, reason: Reason = Reason.NO_ANSWER) -> Gap:
    """A source that told no names, and what there is to say of it."""
    return Gap(Stage.NAMES, Subject(Kind.SOURCE, source), reason, detail=detail)


def alike(gap: Gap) -> AlikeGaps:
    """One gap, as the coverage block has it."""
    (merged,) = merge_gaps([gap])
    return merged
