"""Record the small tables: `unshare --net python -m tests.kernel.record_small DUMPS TEXTS`, as root.

Makes sockets of the kinds that few hosts have in an empty netns and writes what sock_diag (into
DUMPS) and /proc (into TEXTS) say of them. The tests hold the rows that this gave: after a new recording
inodes and cookies have to be changed there.
"""

import socket
import subprocess
import sys
import time
from pathlib import Path

from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.net import Protocol
from tests.kernel.record import keep, listener

MPTCP = 262
GENERIC, GROUP_LINK = 16, 1
TEXTS = ("udplite", "udplite6", "raw", "raw6", "icmp", "icmp6", "packet", "netlink", "protocols")
DUMPS = (Protocol.UDPLITE, Protocol.PACKET, Protocol.NETLINK)


def make_inet() -> None:
    keep("udplite", socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE)).bind(("127.0.0.1", 7000))
    lite = keep("udplite6", socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE))
    lite.bind(("::1", 7001))
    lite.connect(("::1", 9))
    keep("raw", socket.socket(socket.AF_INET, socket.SOCK_RAW, 89)).bind(("127.0.0.1", 0))
    keep("raw6", socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)).connect(("::1", 0))
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
    keep("icmp", socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)).bind(("127.0.0.1", 77))
    keep("icmp6", socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)).bind(("::1", 78))


def make_others() -> None:
    keep("packet, all", socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
    keep("packet, IPv4 on lo", socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)).bind(("lo", 0x0800))
    keep("packet, nothing", socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    keep("netlink with a group", socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)).bind((4711, GROUP_LINK))
    connected = keep("netlink connected", socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, GENERIC))
    connected.bind((4712, 0))
    connected.connect((0, 0))


def make_tcp() -> None:
    multipath = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
    multipath.bind(("127.0.0.1", 6000))
    multipath.listen()
    keep("mptcp listener", multipath)
    keep("mptcp client", socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)).connect(("127.0.0.1", 6000))
    keep("mptcp server", multipath.accept()[0])
    plain = keep("tcp listener", listener(socket.AF_INET, "127.0.0.1", 6001))
    client = keep("tcp client", socket.create_connection(("127.0.0.1", 6001)))
    keep("tcp server", plain.accept()[0])
    client.sendall(bytes(1000))
    time.sleep(0.1)
    bound = keep("bound, doing nothing", socket.socket())
    bound.bind(("127.0.0.1", 6002))


def main(dumps: Path, texts: Path) -> None:
    """Make everything and write it down."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    make_inet()
    make_others()
    make_tcp()
    buffer = make_buffer()
    with SockDiag() as diag:
        for protocol in DUMPS:
            (dumps / f"{protocol}.bin").write_bytes(diag.dump(protocol, buffer).table.data)
        (dumps / "mptcp.bin").write_bytes(diag.dump_mptcp(buffer).data)
        table = diag.dump(Protocol.TCP, buffer, deep=True, tcp_info=True).table
        (dumps / "tcp_deep.bin").write_bytes(table.data)
    for name in TEXTS:
        (texts / name).write_bytes(Path("/proc/thread-self/net", name).read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
