"""Record the tables of TCP and UDP: `unshare --net python -m tests.kernel.record DUMPS TEXTS`, as root.

Makes one socket of each kind in an empty netns and writes what sock_diag (into DUMPS) and /proc (into
TEXTS) say of them, and on stdout what the sockets say of themselves. The tests hold the records that
this gave: after a new recording inodes and cookies have to be changed there.
"""

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.sock_diag import SockDiag
from nsagent.model.net import Protocol

SO_MARK, SO_COOKIE = 36, 57
UNPRIVILEGED = 65534
STRANGER = "10.9.9.9"

kept: list[socket.socket] = []


def keep(name: str, made: socket.socket) -> socket.socket:
    """Hold a socket open, and print what it says of itself."""
    kept.append(made)
    cookie = struct.unpack("=Q", made.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
    try:
        remote = made.getpeername()[:2]
    except OSError:
        remote = None
    facts = {"name": name, "inode": os.fstat(made.fileno()).st_ino, "cookie": cookie}
    print(json.dumps({**facts, "local": made.getsockname()[:2], "remote": remote}))
    return made


def listener(family: int, address: str, port: int, *, v6only: bool = False, backlog: int = 16) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    made.bind((address, port))
    made.listen(backlog)
    return made


def client(address: str, port: int, own_port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, own_port))
    made.connect((address, port))
    return made


def udp(family: int, address: str, port: int, *, v6only: bool = False) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    made.bind((address, port))
    return made


def checksum(data: bytes) -> int:
    total = sum(int.from_bytes(data[i : i + 2]) for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send_lone_syn(address: str, port: int) -> None:
    """A SYN from an address that never answers: a handshake stays in progress."""
    ends = socket.inet_aton(STRANGER) + socket.inet_aton(address)
    segment = struct.pack(">HHIIBBHHH", 40000, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    check = checksum(ends + struct.pack(">BBH", 0, socket.IPPROTO_TCP, len(segment)) + segment)
    segment = segment[:16] + struct.pack(">H", check) + segment[18:]
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, socket.IPPROTO_TCP, 0) + ends
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(header + segment, (address, 0))


def make_tcp() -> None:
    keep("listener with one waiting", listener(socket.AF_INET, "127.0.0.1", 8080))
    keep("waiting client", client("127.0.0.1", 8080, 50000))
    keep("v6only listener", listener(socket.AF_INET6, "::1", 8082, v6only=True))
    dual = keep("dual-stack listener", listener(socket.AF_INET6, "::", 8081))
    keep("v4 client of the dual-stack listener", client("127.0.0.1", 8081, 50001))
    keep("its mapped server", dual.accept()[0])
    sender = keep("v6 client", client("::1", 8081, 50002))
    keep("v6 server, with 3 bytes to read", dual.accept()[0])
    sender.send(b"abc")
    marked = listener(socket.AF_INET, "10.9.9.1", 8083)
    marked.setsockopt(socket.SOL_SOCKET, SO_MARK, 7)
    keep("marked listener", marked)
    send_lone_syn("10.9.9.1", 8083)
    bound = keep("listener bound to lo", listener(socket.AF_INET, "0.0.0.0", 8085))
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    first = client("127.0.0.1", 8081, 50003)
    second = dual.accept()[0]
    first.close()
    time.sleep(0.1)
    second.close()
    late = client("127.0.0.1", 8081, 50004)
    keep("CLOSE_WAIT", dual.accept()[0])
    late.close()
    os.setegid(UNPRIVILEGED)
    os.seteuid(UNPRIVILEGED)
    keep("another user's listener", listener(socket.AF_INET, "127.0.0.1", 8084))
    os.seteuid(0)
    os.setegid(0)


def make_udp() -> None:
    keep("udp", udp(socket.AF_INET, "127.0.0.1", 5353))
    keep("udp connected", udp(socket.AF_INET, "127.0.0.1", 5354)).connect(("127.0.0.1", 5353))
    keep("udp6 dual", udp(socket.AF_INET6, "::", 5355))
    keep("udp6 v6only", udp(socket.AF_INET6, "::1", 5356, v6only=True))
    keep("udp6 connected to a mapped address", udp(socket.AF_INET6, "::ffff:127.0.0.1", 5357)).connect(
        ("::ffff:127.0.0.1", 5353)
    )
    bound = keep("udp bound to lo", udp(socket.AF_INET, "0.0.0.0", 5358))
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")


def main(dumps: Path, texts: Path) -> None:
    """Make everything, and write it down with and without CAP_NET_ADMIN."""
    for command in ("link set lo up", "link add d0 type veth peer d1", "addr add 10.9.9.1/24 dev d0", "link set d0 up"):
        subprocess.run(["ip", *command.split()], check=True)
    subprocess.run(["ip", "link", "set", "d1", "up"], check=True)
    make_tcp()
    make_udp()
    buffer = make_buffer()
    with SockDiag() as diag:
        for protocol in (Protocol.TCP, Protocol.UDP):
            (dumps / f"{protocol}.bin").write_bytes(diag.dump(protocol, buffer).table.data)
    for name in ("tcp", "tcp6", "udp", "udp6"):
        (texts / name).write_bytes(Path("/proc/thread-self/net", name).read_bytes())
    # Opened first: who may not see the mark of a socket may not write there either.
    with (dumps / "tcp_unprivileged.bin").open("wb") as file:
        ctypes.CDLL(None).setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        with SockDiag() as diag:
            file.write(diag.dump(Protocol.TCP, buffer).table.data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
