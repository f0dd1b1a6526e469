"""The TCP connections of the kernel's own RPC client, which NFS has, of one netns: by sysfs.

A mount of sysfs shows the transports of the netns in which it was mounted; so one is made for each
netns. What its files say is kernel.formats.sunrpc_xprt's.

Source: net/sunrpc/sysfs.c (Linux 5.15), fs/sysfs/mount.c sysfs_init_fs_context().
"""

import os
from contextlib import suppress
from typing import Final

from nsagent.errors import FormatError
from nsagent.kernel.files import read_file, translate_failure
from nsagent.kernel.formats.sunrpc_xprt import make_flow, parse_ports
from nsagent.kernel.libc import close_fd
from nsagent.kernel.private_mount import mount_privately
from nsagent.model.facts import Flow

_SWITCHES: Final = "kernel/sunrpc/xprt-switches"


def list_rpc_flows(proc_root: str) -> list[Flow]:
    """Those of the netns that the calling thread is in; raises NotRead. Needs CAP_SYS_ADMIN there."""
    if not os.path.isdir(f"{proc_root}/thread-self/net/rpc"):
        return []  # Without sunrpc nothing is mounted.
    try:
        root = mount_privately(b"sysfs")
        try:
            return read_flows(root)
        finally:
            close_fd(root)
    except OSError as err:
        raise translate_failure(err, "sunrpc") from err


def read_flows(root: int) -> list[Flow]:
    """Those that a sysfs tells of, by an fd on its root directory; raises OSError."""
    flows = []
    for switch in _list(_SWITCHES, root):
        for transport in _list(f"{_SWITCHES}/{switch}", root):
            # One that goes while it is read, or makes no sense, is one that nothing is known of.
            with suppress(OSError, FormatError):
                flow = _read_flow(f"{_SWITCHES}/{switch}/{transport}", root)
                flows += [flow] if flow else []
    return flows


def _read_flow(directory: str, root: int) -> Flow | None:
    """The connection of one transport, None where it has none now. Raises OSError and FormatError."""

    def read(name: str) -> str:
        return read_file(f"{directory}/{name}", dir_fd=root, whole=True).decode("ascii", "replace")

    ports = parse_ports(read("xprt_info"))
    if ports is None:
        return None
    flow = make_flow(ports, read("srcaddr"), read("dstaddr"))
    # Another connection meanwhile would have another port.
    return flow if parse_ports(read("xprt_info")) == ports else None


def _list(directory: str, root: int) -> list[str]:
    """The names of the directories in it; raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        return sorted(entry.name for entry in os.scandir(fd) if entry.is_dir(follow_symlinks=False))
    finally:
        close_fd(fd)
