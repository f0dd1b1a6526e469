"""What the rows of tables name: of one that is, byte for byte, what it was in the pass before, that is known.

So it is of a netns in which nothing was opened or closed, and of whose connections no timer runs.
"""

import sys
from typing import NamedTuple

from nsagent.kernel.formats.raw_table import index_rows
from nsagent.kernel.formats.row_place import RowIndex
from nsagent.model.facts import RawTable

_Key = tuple[int, RawTable]


class Indexed(NamedTuple):
    """A table, and what its rows name."""

    table: RawTable
    rows: RowIndex


class Indexes:
    """Those of a pass, and of the one before. Any number of threads may use it, each for other netns."""

    def __init__(self) -> None:
        self._before: dict[_Key, Indexed] = {}
        self._now: dict[_Key, Indexed] = {}

    def begin(self) -> None:
        """Another pass: what was found in the one before the last is let go."""
        self._before, self._now = self._now, {}

    def find(self, cookie: int | None, table: RawTable) -> Indexed:
        """The index of a table of the netns with this cookie; with the bytes of the pass before, if it has the same."""
        if cookie is None:
            return Indexed(table, index_rows(table, sys.byteorder))
        key = cookie, table._replace(data=b"")
        found = self._before.get(key)
        if found is None or found.table.data != table.data:
            found = Indexed(table, index_rows(table, sys.byteorder))
        self._now[key] = found
        return found
