"""Which mounts are the host's: names of netns are mounts, and anyone may mount them in a namespace of their own.

Source: mount_namespaces(7), ip-netns(8).
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from nsagent.errors import FormatError, Gone, NotRead
from nsagent.kernel.formats.fd_link import parse_inode_link
from nsagent.kernel.procfs import ProcFs
from nsagent.model.ids import Pid


class HostMounts(NamedTuple):
    """Where the host's mounts are seen: in its mount namespace, and in the own one below `host_root`.

    Namespaces are the N of mnt:[N], None where that is not told. `host_root` is absolute, "/" where
    the host's root directory is mounted nowhere else.
    """

    namespace: int | None = None
    own: int | None = None
    host_root: str = "/"

    def find_path(self, namespace: int, root: str, mount_point: str) -> str | None:
        """Where the host has what is mounted there below the root directory of a process; None of a foreign mount."""
        below = f"{self.host_root.rstrip('/')}/"
        if namespace == self.own and below != "/" and root == "/" and mount_point.startswith(below):
            return mount_point[len(below) - 1 :]
        # Below another root a mount has another path, by which the host does not call it.
        return mount_point if (namespace, root) == (self.namespace, "/") else None


def find_host_mounts(procfs: ProcFs, host_root: str) -> HostMounts:
    """Those of the host that this procfs shows.

    Its mount namespace is that of PID 1, or of kthreadd, which is PID 2 and keeps that of the boot: root
    may be refused PID 1. In a PID namespace of its own PID 1 is whoever set that up. A plain user may
    read neither, and is in the host's, most likely: that of this program is the last resort.
    """
    own = _read_own_mount_namespace()
    return HostMounts(next(_list_namespaces(procfs), own), own, host_root)


def _list_namespaces(procfs: ProcFs) -> Iterator[int]:
    for pid in (Pid(1), Pid(2)):
        try:
            with procfs.open_process(pid) as process:
                if pid == 1 or process.read_stat().is_kernel_thread:
                    yield process.read_mount_namespace()
        except (Gone, NotRead, FormatError):
            continue


def _read_own_mount_namespace() -> int | None:
    try:
        return parse_inode_link(os.readlink("/proc/self/ns/mnt"), "mnt")
    except OSError:
        return None
