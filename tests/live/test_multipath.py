"""Connections of MPTCP: each subflow is a row, and those of one connection have the inode of the socket held."""

import sys

import pytest

from tests.live.capabilities import Capability, lack
from tests.live.closed_bed import ClosedBed, read_report
from tests.live.coverage import is_whole
from tests.live.deadlines import until
from tests.live.nsagent_cli import owners_in

pytestmark = pytest.mark.timeout(120)

FIRST, SECOND = "192.0.2.1", "192.0.2.65"
HOLD = f"""
import os, socket, sys
def make():
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
listener, client = make(), make()
listener.bind(("0.0.0.0", 0))
listener.listen()
client.connect(("{FIRST}", listener.getsockname()[1]))
server, _ = listener.accept()
for one, other in ((server, client), (client, server)):
    one.sendall(b"x")
    other.recv(1)
for one in (client, server):
    print(os.getpid(), one.fileno(), os.fstat(one.fileno()).st_ino, flush=True)
print("ready", flush=True)
sys.stdin.read()
"""
"""The listener stays: it takes the subflows that come later, too."""


@pytest.mark.parametrize("engine", ["sock_diag", "proc"])
def test_subflows_of_a_connection_are_a_row_each_and_no_fault(closed_bed: ClosedBed, engine: str) -> None:
    netns = closed_bed.netns_bed.named()
    inside = ("ip", "netns", "exec", netns.name or "")
    try:
        closed_bed.run(*inside, "ip", "mptcp", "limits", "set", "subflow", "2", "add_addr_accepted", "2")
        closed_bed.run(*inside, "ip", "mptcp", "endpoint", "add", SECOND, "dev", "lo", "signal")
    except RuntimeError as error:
        lack(Capability.MPTCP, str(error))
    for address in (FIRST, SECOND):
        closed_bed.run(*inside, "ip", "address", "add", f"{address}/32", "dev", "lo")
    closed_bed.run(*inside, "ip", "link", "set", "lo", "up")
    report = read_report(closed_bed.start(*inside, sys.executable, "-c", HOLD), "ready")
    ends = [tuple(map(int, words)) for words in report]
    shown = (*inside, "ss", "-Htn", "state", "established")
    until(lambda: len(closed_bed.run(*shown).splitlines()) == 2 * len(ends), "each end has two subflows")
    scan = closed_bed.scan("--engine", engine)
    rows = [row for row in scan.of_netns(netns.inode) if row["state"] == "established"]
    assert sorted((row["inode"], row["local"]["address"], owners_in(row)) for row in rows) == sorted(
        (inode, address, {pid: [fd]}) for pid, fd, inode in ends for address in (FIRST, SECOND)
    )
    assert {row["mptcp"] for row in rows} == {True if engine == "sock_diag" else None}
    assert is_whole(scan.coverage)
