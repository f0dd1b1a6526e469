"""Links whose target is `TYPE:[INODE]`: /proc/PID/fd/N of a socket, /proc/PID/ns/net.

Source: proc_pid_fd(5), net/socket.c sockfs_dname(), fs/nsfs.c ns_dname().
"""

from nsagent.kernel.formats.numbers import parse_decimal


def parse_inode_link(target: str, kind: str) -> int | None:
    """The inode of `KIND:[INODE]`, None for any other target.

    A path can look like it only if it is relative, which no fd link is; `socket:[7] (deleted)`
    or a number out of range is no socket either.
    """
    head = len(kind) + 2
    if target[:head] != f"{kind}:[" or target[-1:] != "]":
        return None
    try:
        return parse_decimal(target[head:-1], 64)
    except ValueError:
        return None
