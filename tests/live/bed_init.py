"""PID 1 of a closed bed: hides what the machine has, then does nothing but wait for its children.

Run as a script by closed_bed.py in namespaces of its own: `bed_init.py PROC_FD PID_MAX`, where
PROC_FD is an open /proc of the test and PID_MAX the limit of PIDs in here, 0 to leave it. It
says its PID as the test sees it. When stdin closes it ends, and with it everything in here.
"""

import fcntl
import os
import re
import select
import socket
import struct
import subprocess
import sys

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
POLL_MS = 100


def hide_machine() -> None:
    """No netns of others in mountinfo, an empty /run: no container engine and no name of a netns.

    Whoever deletes a name of the machine meanwhile takes its mount away here too: then there is
    nothing left to unmount.
    """
    for path in list_netns_mounts():
        subprocess.run(["umount", "--lazy", path], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "bed", "/run"], check=True)
    os.mkdir("/run/netns")


def list_netns_mounts() -> list[str]:
    """The mount points of all netns in this mount namespace (proc_pid_mountinfo(5), fields 4 and 5)."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        fields = [line.split(" ") for line in lines]
    return [unescape(field[4]) for field in fields if field[3].startswith("net:[")]


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
