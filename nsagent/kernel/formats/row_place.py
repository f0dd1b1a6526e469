"""The few fields of table rows by which a pass decides what else to look at, read without decoding the rows."""

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


class RowIndex(NamedTuple):
    """What the rows of a table name: the inodes, without 0, of what an fd may hold, all ifindexes and cgroup ids.

    `bare`: some row of an inet table has inode 0.
    """

    inodes: set[SocketInode]
    interfaces: set[int]
    cgroup_ids: set[int]
    bare: bool = False
