"""What ss(8) says of one netns, by inodes."""

import re
import subprocess

Holders = dict[int, set[tuple[int, int]]]
"""(pid, fd) of each socket."""

FLAGS = {"tcp": "--tcp", "udp": "--udp", "raw": "--raw", "sctp": "--sctp"}


def read_lines(path: str, *flags: str) -> list[str]:
    """The sockets of the netns at a path, a line each, with those that listen."""
    command = ["nsenter", f"--net={path}", "ss", "-HOanpe", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()


def read_holders(path: str, protocol: str) -> Holders:
    """Who holds the sockets of one protocol that have an inode; ping sockets are none of UDP."""
    found: Holders = {}
    for line in read_lines(path, FLAGS[protocol]):
        inode = re.search(r" ino:(\d+)", line)
        if inode and not line.startswith("icmp"):
            found.setdefault(int(inode[1]), set()).update(
                (int(pid), int(fd)) for pid, fd in re.findall(r"pid=(\d+),fd=(\d+)", line)
            )
    found.pop(0, None)
    return found


def run_inside(path: str, *command: str) -> str:
    """What a command says in the netns at a path."""
    return subprocess.run(
        ["nsenter", f"--net={path}", *command], capture_output=True, text=True, timeout=60, check=True
    ).stdout
