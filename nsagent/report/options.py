"""How an answer is to be printed, as values."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nsagent.model.choices import OutputFormat


class OutputOptions(NamedTuple):
    """How an answer is printed."""

    format: OutputFormat = OutputFormat.TABLE
    columns: tuple[str, ...] | None = None
    """Names of columns in their order, None for the usual ones of view and format."""
    sort_by: tuple[str, ...] = ()
    """Names of columns, the foremost first; `-NAME` descends."""
    headers: bool = True
    """Whether tables and CSV have a header line."""
    colour: bool = False
    """Whether tables have SGR sequences."""
    width: int | None = None
    """The character cells that a table is fitted into, None to shorten nothing."""
    group_by: tuple[str, ...] = ()
    """Names of columns: rows alike in them stand together. Of view `top` what is counted by."""
    limit: int | None = None
    """Of view `top`: how many counts are printed at most."""
    tell_left_out: Callable[[Sequence[str], Sequence[str]], None] | None = None
    """Called before a table is printed with the names of columns for which `width` has no room, and of those that it
    cuts though they are no free text."""

    def mentions(self, column: str) -> bool:
        """Whether a column is printed, or sorted, grouped or counted by, because it is named."""
        return column in (*(self.columns or ()), *bare_names(self.sort_by), *self.group_by)


def bare_names(sort_by: Sequence[str]) -> list[str]:
    """The names of columns that are sorted by, without the sign of those that descend."""
    return [name.removeprefix("-") for name in sort_by]
