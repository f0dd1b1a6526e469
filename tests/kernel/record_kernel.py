"""Record a kernel's own sockets: `unshare --net --mount python -m tests.kernel.record_kernel DIRECTORY`.

As root; meant for Linux 6.1 with WireGuard, fou and NFS, as the machine of tests/vm has it. Makes them in an
empty netns, beside a socket of a process, and writes what netlink (`.bin`) and sysfs (`xprt-switches`) say of them. The
tests hold what this gave: inodes and ports of NFS differ after a new recording.
"""

import subprocess
import sys
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket

from nsagent.kernel.formats.fou import FAMILY, FOU_CMD_GET
from nsagent.kernel.formats.generic_netlink import GENL_ID_CTRL, decode_families, encode_command, encode_families
from nsagent.kernel.fou import FouPorts
from nsagent.kernel.libc import close_fd
from nsagent.kernel.netlink import make_buffer
from nsagent.kernel.private_mount import mount_privately
from nsagent.kernel.sock_diag import SockDiag
from tests.kernel.record import keep
from tests.vm.hold import grow

SWITCHES = "kernel/sunrpc/xprt-switches"
MADE = """
ip link set lo up
ip link add wg type wireguard
wg set wg listen-port 51820
ip link set wg up
modprobe fou
ip fou add port 5555 ipproto 47
ip -6 fou add port 5556 ipproto 41
ip fou add port 5557 ipproto 47 local 127.0.0.1
modprobe nfsd
mount -t nfsd nfsd /proc/fs/nfsd
rpc.nfsd -N 3 1
rpc.mountd -N 2 -N 3
mount -t tmpfs none /srv
exportfs -o rw,insecure,fsid=0 *:/srv
mount -t nfs4 -o nconnect=2 127.0.0.1:/ /mnt
"""


class Recorder(FouPorts):
    """The dumps of generic netlink as they are."""

    def record(self, directory: Path) -> None:
        families, _ = self._dump_steadily(GENL_ID_CTRL, encode_families(), make_buffer())
        number = decode_families(families, sys.byteorder)[FAMILY]
        ports, _ = self._dump_steadily(number, encode_command(FOU_CMD_GET), make_buffer())
        (directory / "families.bin").write_bytes(families)
        (directory / "fou.bin").write_bytes(ports)


def record_transports(directory: Path) -> None:
    """The files of each transport of the RPC client."""
    root = mount_privately(b"sysfs")
    try:
        for transport in Path(f"/proc/self/fd/{root}", SWITCHES).glob("switch-*/xprt-*-*"):
            kept = directory / "xprt-switches" / transport.parent.name / transport.name
            kept.mkdir(parents=True)
            for name in ("srcaddr", "dstaddr", "xprt_info"):
                (kept / name).write_bytes((transport / name).read_bytes())
    finally:
        close_fd(root)


def main(directory: Path) -> None:
    """Make everything and write it down."""
    for line in MADE.strip().splitlines():
        subprocess.run(line.split(), check=True)
    large = keep("udp with all the room to send that it can have", socket(AF_INET, SOCK_DGRAM))
    large.bind(("0.0.0.0", 51821))
    grow(large)
    with Recorder() as recorder:
        recorder.record(directory)
    with SockDiag() as diag:
        (directory / "udp_memory.bin").write_bytes(diag.dump_udp_memory(make_buffer()))
    record_transports(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
