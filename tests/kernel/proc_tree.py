"""Small trees like /proc below a directory, with real dangling links."""

import os
from collections.abc import Mapping
from pathlib import Path

HOST_NETNS = 4026531840
HOST_MOUNT_NAMESPACE = 4026531841
ROOT_MOUNT = "23 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
BOOT_ID = "f3f1d5a4-6b2c-4c11-9e0e-0d4d2b3c4e5f"
EMPTY_SOCKSTAT = "sockets: used 3\nTCP: inuse 0 orphan 0 tw 0 alloc 9 mem 1\nUDP: inuse 0 mem 0\n"
BUSY_SOCKSTAT = "sockets: used 9\nTCP: inuse 2 orphan 0 tw 1 alloc 9 mem 1\nUDP: inuse 1 mem 0\n"
EMPTY_SOCKSTAT6 = "TCP6: inuse 0\nUDP6: inuse 0\n"
BUSY_SOCKSTAT6 = "TCP6: inuse 1\nUDP6: inuse 1\n"
TCP_HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def stat_line(
    pid: int, comm: str = "app", *, state: str = "S", flags: int = 4194560, threads: int = 1, start_ticks: int = 100
) -> str:
    """A line of /proc/PID/stat."""
    return (
        f"{pid} ({comm}) {state} 1 {pid} {pid} 0 -1 {flags} 1 0 0 0 2 3 0 0 20 0 {threads} 0 {start_ticks}"
        " 11616256 1284 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
    )


def text_row(
    local: str, remote: str, state: int, inode: int, *, uid: int = 0, timer: int = 0, rx_queue: int = 0
) -> str:
    """A row of /proc/PID/net/tcp or udp; the ends as ADDRESS:PORT in hex."""
    return (
        f"   0: {local} {remote} {state:02X} 00000000:{rx_queue:08X} {timer:02X}:00000000 00000000"
        f" {uid:5d}        0 {inode} 1 0000000000000000 100 0 0 10 0\n"
    )


class ProcTree:
    """A procfs in the making; whatever is not given is missing, as on a kernel without it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    @property
    def path(self) -> str:
        return str(self.root)

    def boot_id(self, text: str = BOOT_ID) -> None:
        """The id of this boot."""
        self.write("sys/kernel/random/boot_id", text + "\n")

    def process(
        self,
        pid: int,
        comm: str = "app",
        *,
        state: str = "S",
        flags: int = 4194560,
        threads: int = 1,
        start_ticks: int = 100,
        netns: int | None = HOST_NETNS,
        cgroup: str = "0::/init.scope\n",
        fds: Mapping[int, str] | None = None,
        net: Mapping[str, str] | None = None,
        mountinfo: str = ROOT_MOUNT,
    ) -> Path:
        """One process. `net` holds the files below net/; without `netns` it is a zombie's directory."""
        line = stat_line(pid, comm, state=state, flags=flags, threads=threads, start_ticks=start_ticks)
        directory = self.thread(str(pid), line, netns=netns, fds=fds, net=net)
        (directory / "cgroup").write_text(cgroup, encoding="utf-8", errors="surrogateescape")
        self.write(f"{pid}/mountinfo", mountinfo)
        return directory

    def thread(
        self,
        path: str,
        stat: str,
        *,
        netns: int | None = HOST_NETNS,
        fds: Mapping[int, str] | None = None,
        net: Mapping[str, str] | None = None,
    ) -> Path:
        """The files that a process and a thread have alike, below PID or PID/task/TID."""
        directory = self.root / path
        self.write(f"{path}/stat", stat)
        (directory / "fd").mkdir()
        for fd, target in (fds or {}).items():
            self.link(f"{path}/fd/{fd}", target)
        if netns is not None:
            self.link(f"{path}/ns/net", f"net:[{netns}]")
            self.link(f"{path}/ns/mnt", f"mnt:[{HOST_MOUNT_NAMESPACE}]")
            for name, text in {"dev": "lo\n", "sockstat": EMPTY_SOCKSTAT, **(net or {})}.items():
                self.write(f"{path}/net/{name}", text)
        return directory

    def write(self, path: str, text: str) -> None:
        """A file of the tree."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("utf-8", "surrogateescape"))

    def link(self, path: str, target: str) -> None:
        """A link of the tree; it may lead nowhere."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, place)
