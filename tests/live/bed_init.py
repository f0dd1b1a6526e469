"""PID 1 of a closed bed: hides what the machine has, then does nothing but wait for its children.

Run as a script by closed_bed.py in namespaces of its own: `bed_init.py PROC_FD PID_MAX`, where
PROC_FD is an open /proc of the test and PID_MAX the limit of PIDs in here, 0 to leave it. It
says its PID as the test sees it. When stdin closes it ends, and with it everything in here.
"""

import ctypes
import fcntl
import os
import re
import select
import socket
import struct
import subprocess
import sys
from typing import NamedTuple

MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
MOST_ROUNDS = 100
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
POLL_MS = 100


class Mount(NamedTuple):
    """A line of mountinfo: `id`, that of the mount it lies on, what of its file system is mounted, and where."""

    id: int
    parent: int
    root: str
    point: str


def hide_machine() -> None:
    """No netns of others in mountinfo, an empty /run: no container engine and no name of a netns."""
    hide_netns()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "bed", "/run"], check=True)
    os.mkdir("/run/netns")


def hide_netns() -> None:
    """Unmount every netns in this mount namespace, and what covers one.

    Whoever deletes a name of the machine meanwhile takes its mount away here too: then there is
    nothing left to unmount.
    """
    for _ in range(MOST_ROUNDS):
        mounts = list_mounts()
        netns = [mount for mount in mounts if is_netns(mount)]
        if not netns:
            return
        for mount in netns:
            if not unmount(mount.point) and (cover := find_cover(mount, mounts)):
                unmount(cover.point)


def list_netns_mounts() -> list[str]:
    """The mount points of all netns in this mount namespace."""
    return [mount.point for mount in list_mounts() if is_netns(mount)]


def list_mounts() -> list[Mount]:
    """All mounts of this mount namespace in the order of mounting (proc_pid_mountinfo(5), fields 1, 2, 4 and 5)."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        fields = [line.split(" ") for line in lines]
    return [Mount(int(field[0]), int(field[1]), field[3], unescape(field[4])) for field in fields]


def is_netns(mount: Mount) -> bool:
    return mount.root.startswith("net:[")


def find_cover(covered: Mount, mounts: list[Mount]) -> Mount | None:
    """What was mounted last of that which lies over `covered`, but not at the root directory."""
    by_id = {mount.id: mount for mount in mounts}
    below, at = {covered.id}, covered
    while at.parent in by_id and at.parent not in below:
        at = by_id[at.parent]
        below.add(at.id)
    above = [mount for mount in mounts if mount.id not in below and lies_below(covered.point, mount.point)]
    return above[-1] if above else None


def lies_below(path: str, directory: str) -> bool:
    return directory != "/" and f"{path}/".startswith(f"{directory}/")


def unmount(path: str) -> bool:
    """Unmount lazily what is on top at a path; whether there was something."""
    flags = MNT_DETACH | UMOUNT_NOFOLLOW
    return bool(ctypes.CDLL(None).umount2(path.encode(errors="surrogateescape"), flags) == 0)


def unescape(path: str) -> str:
    """A path as mountinfo writes it: space, tab, newline and backslash are three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def reap() -> None:
    """Take the exit status of orphans that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def main() -> None:
    proc, pid_max = int(sys.argv[1]), int(sys.argv[2])
    own_pid = int(os.readlink("self", dir_fd=proc))
    os.close(proc)
    hide_machine()
    raise_loopback()
    if pid_max:
        with open("/proc/sys/kernel/pid_max", "w", encoding="ascii") as limit:
            limit.write(str(pid_max))
    print(own_pid, flush=True)
    os.close(1)
    stdin = select.poll()
    stdin.register(0, select.POLLIN)
    while not stdin.poll(POLL_MS):
        reap()


if __name__ == "__main__":
    main()
