"""What of a process could not be read, as it is met."""

from collections.abc import Callable
from typing import TypeVar

from nsagent.errors import FormatError, Gone, NotRead, ProcessGone, Reason
from nsagent.model.gap import AlikeGaps, Gap, Kind, Stage, Subject, make_gap, merge_gaps

T = TypeVar("T")


class Notes:
    """The gaps of one process; its subjects are called like the files of /proc/PID that were to be read."""

    def __init__(self) -> None:
        self._gaps: list[Gap] = []

    def note(self, what: str, err: Gone | NotRead | FormatError) -> None:
        """A detail is missing, for this reason."""
        self._gaps.append(_make_gap(what, err))

    def read(self, what: str, read: Callable[[], T]) -> T | None:
        """What `read` gives, None and a gap where it cannot; raises ProcessGone alone."""
        try:
            return read()
        except ProcessGone:
            raise
        except (Gone, NotRead, FormatError) as err:
            self.note(what, err)
            return None

    def list_gaps(self) -> tuple[AlikeGaps, ...]:
        """All of them, each with its like."""
        return merge_gaps(self._gaps)


def _make_gap(what: str, err: Gone | NotRead | FormatError) -> Gap:
    subject = Subject(Kind.DETAIL, what)
    if isinstance(err, Gone):  # The process is there: it is this kernel that has no such file, or has nothing in it.
        return Gap(Stage.DETAILS, subject, Reason.NOT_TOLD)
    return make_gap(Stage.DETAILS, subject, err)
