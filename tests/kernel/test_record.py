"""The recorder of the fixtures still records what they are."""

import subprocess
import sys
from pathlib import Path

from nsagent.kernel.formats.inet_diag import decode_table
from nsagent.model.ids import SocketInode
from nsagent.model.net import Protocol
from tests.kernel.rows import FIXTURES, stop_timer
from tests.live.capabilities import Capability, require

DUMPS = {"tcp": Protocol.TCP, "tcp_unprivileged": Protocol.TCP, "udp": Protocol.UDP}
TEXTS = ("tcp", "tcp6", "udp", "udp6")

LATE_PORT = 50004
"""Of the socket that has just been closed: its state, and all that depends on it, changes within 40 ms."""


def list_rows(directory: Path) -> dict[str, list[str]]:
    """The rows of each dump, without what is new in each recording."""
    return {
        name: sorted(
            str(stop_timer(row)._replace(inode=SocketInode(bool(row.inode)), cookie=None, cgroup_id=None))
            for row in decode_table((directory / f"{name}.bin").read_bytes(), protocol, sys.byteorder, mptcp=None)[0]
            if row.local.port != LATE_PORT
        )
        for name, protocol in DUMPS.items()
    }


def count_lines(directory: Path) -> dict[str, int]:
    return {name: (directory / name).read_bytes().count(b"\n") for name in TEXTS}


def test_the_tables_of_tcp_and_udp_are_recorded_as_they_were(tmp_path: Path) -> None:
    require(Capability.ROOT, Capability.SETPRIV, Capability.NETNS, Capability.IPV6)
    command = ["unshare", "--net", sys.executable, "-m", "tests.kernel.record", str(tmp_path), str(tmp_path)]
    subprocess.run(command, cwd=FIXTURES.parent, stdout=subprocess.DEVNULL, check=True, timeout=60)
    assert list_rows(tmp_path) == list_rows(FIXTURES / "netlink")
    assert count_lines(tmp_path) == count_lines(FIXTURES / "proc" / "tables")
