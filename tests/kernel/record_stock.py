"""Record what an older kernel tells in its own way: `unshare --net python -m tests.kernel.record_stock DIRECTORY`.

As root; meant for Linux 6.1 with SCTP and RAW_DIAG, as the machine of tests/vm has it. Makes sockets in an
empty netns and writes what sock_diag (`.bin`) and /proc say of them. The tests hold the rows that
this gave: after a new recording inodes, ports and cookies have to be changed there.
"""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.net import Protocol
from tests.kernel.record import keep, listener
from tests.kernel.record_small import MPTCP

TEXTS = ("sctp/eps", "sctp/assocs", "protocols")
DUMPS = (Protocol.SCTP, Protocol.RAW, Protocol.TCP)
PLAIN_USER = 1000


def make_sctp() -> None:
    """A connection of one association each for both families, and a socket of many."""
    for family, address, port in ((socket.AF_INET, "127.0.0.1", 5000), (socket.AF_INET6, "::1", 5001)):
        one = keep(f"sctp listener on {port}", socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_SCTP))
        one.bind((address, port))
        one.listen()
        client = keep("sctp client", socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_SCTP))
        client.connect((address, port))
        keep("sctp server", one.accept()[0])
    many = keep("sctp to many", socket.socket(socket.AF_INET6, socket.SOCK_SEQPACKET, socket.IPPROTO_SCTP))
    many.bind(("::", 5002))
    many.listen()


def make_raw() -> None:
    keep("raw", socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    keep("raw6", socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))


def make_tcp() -> None:
    """Rows of a plain user that no fd can hold: one waits to be accepted, one was closed with data not taken yet."""
    os.seteuid(PLAIN_USER)
    plain = keep("tcp listener", listener(socket.AF_INET, "127.0.0.1", 6001))
    orphan = socket.create_connection(("127.0.0.1", 6001))
    keep("tcp server", plain.accept()[0])
    keep("tcp client, not accepted", socket.create_connection(("127.0.0.1", 6001)))
    orphan.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            orphan.send(bytes(1 << 16))
    orphan.close()
    os.seteuid(0)


def make_mptcp() -> None:
    multipath = keep("mptcp listener", socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP))
    multipath.bind(("127.0.0.1", 6000))
    multipath.listen()


def main(directory: Path) -> None:
    """Make everything and write it down."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    make_sctp()
    make_raw()
    make_tcp()
    make_mptcp()
    with SockDiag() as diag:
        for protocol in DUMPS:
            (directory / f"{protocol}.bin").write_bytes(diag.dump(protocol, make_buffer()).table.data)
    for name in TEXTS:
        (directory / Path(name).name).write_bytes(Path("/proc/thread-self/net", name).read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
