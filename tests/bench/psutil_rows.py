"""Every TCP and UDP socket that psutil finds in each netns of the command line, for outputs.parse_psutil.

Arguments are INODE=PATH. psutil reads /proc/self/net, which shows the netns of the main thread.
"""

import ctypes
import os
import socket
import sys

import psutil

CLONE_NEWNET = 0x40000000


def main() -> None:
    """Enter one netns after the other; the process ends in the last."""
    libc = ctypes.CDLL(None, use_errno=True)
    protocols = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
    for argument in sys.argv[1:]:
        inode, _, path = argument.partition("=")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns", path)
        os.close(fd)
        print(f"netns {inode}")
        for row in psutil.net_connections(kind="inet"):
            if not row.laddr:
                continue
            remote_port = row.raddr.port if row.raddr else 0
            pid = "-" if row.pid is None else row.pid
            print(protocols[row.type], row.laddr.ip, row.laddr.port, remote_port, pid)


if __name__ == "__main__":
    main()
