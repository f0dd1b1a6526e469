"""Names of netns that lead nowhere: files in /run/netns on which no netns is mounted (any more).

`ip netns add` and the CNI plugins make a file and bind-mount the netns on it. Whoever unmounts it
and leaves the file leaves a name that setns(2) refuses with EINVAL.

Source: ip-netns(8), namespaces(7); fs/nsfs.c: all namespaces are files of one device.
"""

import os
from errno import ENOENT

from nsagent.kernel.files import translate_failure


def list_stale_names(directory: str = "/run/netns", *, own: str = "/proc/self") -> tuple[str, ...]:
    """The entries of the directory that are no mounted namespace, sorted; () where there is no such directory.

    Nothing is opened, and only files are looked at, so that neither a FIFO nor a dead network
    file system mounted on a directory can block. Symbolic links are left alone: a stale mount
    point is none, and they may lead anywhere, also to a netns. A name that is just being added
    is a file without a mount for a moment. Where mounts of the host do not propagate to this
    mount namespace, every name of the host looks stale: pass the directory below the root of one
    of its processes, as in /proc/1/root/run/netns.

    `own` is the directory of this process in a procfs. Raises NotRead. Takes
    3 us a name.
    """
    try:
        nsfs = os.stat(f"{own}/ns/net").st_dev
        with os.scandir(directory) as entries:
            return tuple(sorted(entry.name for entry in entries if _is_stale(entry, nsfs)))
    except OSError as err:
        if err.errno != ENOENT or err.filename != directory:
            raise translate_failure(err, directory) from err
        return ()


def _is_stale(entry: os.DirEntry[str], nsfs: int) -> bool:
    """Whether no file of the device `nsfs` is mounted on this entry."""
    if entry.is_symlink():
        return False
    if not entry.is_file(follow_symlinks=False):
        return True
    try:
        return os.lstat(entry.path).st_dev != nsfs
    except FileNotFoundError:
        return False  # Removed by now.
