"""The few fields of a table row by which a pass decides whether to look again, read without decoding the row."""

from typing import NamedTuple

from nsagent.model.ids import SocketInode


class RowPlace(NamedTuple):
    """Where one row stands in its raw table (`offset`, in bytes), and what is needed to ask for it again."""

    offset: int
    inode: SocketInode
    uid: int
    listening: bool
