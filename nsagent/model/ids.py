"""Identifiers: what makes a process, a socket, a netns and a container the same one."""

import re
from typing import Final, NamedTuple, NewType

Pid = NewType("Pid", int)
"""A process id (thread group id) as seen from the PID namespace of the procfs that was read."""

Tid = NewType("Tid", int)
"""The id of one thread, in the numbers of the same PID namespace."""

Fd = NewType("Fd", int)
"""A file descriptor number of some process."""

SocketInode = NewType("SocketInode", int)
"""The N of `socket:[N]`: identifies a socket within one pass. 0 in a table means that no fd can hold it."""

SocketCookie = NewType("SocketCookie", int)
"""sock_diag's 64-bit socket cookie: identifies a socket across passes and states."""

ContainerId = NewType("ContainerId", str)
"""The runtime's full id, lowercase hex for OCI runtimes; the name for LXC and nspawn."""

OCI_ID: Final = r"[0-9a-f]{64}"
"""The pattern of the full id of every OCI runtime."""

is_oci_id: Final = re.compile(OCI_ID).fullmatch
"""Whether a text is such an id, and nothing more."""

PodUid = NewType("PodUid", str)
"""A pod's uid with `-`; a static pod's is its config hash (32 hex digits)."""


class NetnsId(NamedTuple):
    """Identity of a netns while an fd on it is held: nsfs gives a freed inode out again at once.

    `dev` is the st_dev of nsfs, 0 in a fixture tree; `inode` is the N of `net:[N]`.
    """

    dev: int
    inode: int


def number_netns(inode: int | None, key: int | None) -> int:
    """What rows and processes of one snapshot call a netns: its inode; where that may not be read its key, negative.

    A key (the st_ino of its net/dev) comes from the same range of numbers as inodes do: it may be the
    inode of another netns.
    """
    return inode if inode is not None else -(key or 0)


def tell_netns(number: int) -> str:
    """A netns as users type it and read it: `4026531840`, or `key:4026532101`."""
    return str(number) if number >= 0 else f"key:{-number}"


ROOT_CGROUP_ID: Final = 1
"""The id of the root of the cgroup-v2 tree, in which the kernel makes its own sockets: kernfs's first number."""
