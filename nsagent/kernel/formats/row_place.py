"""The few fields of a table row by which a pass decides whether to look again, read without decoding the row."""

from typing import NamedTuple

from nsagent.model.ids import SocketInode


class RowPlace(NamedTuple):
    """Where one row stands in its raw table (`offset`, in bytes), and what is needed to ask for it again.

    `uid` is 0 where the table has none.
    """

    offset: int
    inode: SocketInode
    uid: int
    listening: bool


class UnheldRows(NamedTuple):
    """The rows of one table that nobody holds, and all ifindexes and cgroup ids that any of its rows names."""

    places: list[RowPlace]
    interfaces: set[int]
    cgroup_ids: set[int]
