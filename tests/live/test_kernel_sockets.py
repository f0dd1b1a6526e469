"""The kernel's own: its threads hold nothing, and its sockets are held by nobody."""

import os

from tests.live.capabilities import Capability, lack
from tests.live.closed_bed import ClosedBed
from tests.live.coverage import is_whole
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import Scan, run_scan

PF_KTHREAD = 0x00200000
PORT = 4789


def add_vxlan(bed: ClosedBed, netns: MadeNetns) -> None:
    """A VXLAN device that is up, so that the kernel has a UDP socket for it."""
    assert netns.name is not None
    add = ("link", "add", "tunnel", "type", "vxlan", "id", "7", "dstport", str(PORT), "local", "127.0.0.1")
    try:
        bed.run("ip", "-n", netns.name, *add)
    except RuntimeError as error:
        lack(Capability.VXLAN, str(error))
    bed.run("ip", "-n", netns.name, "link", "set", "tunnel", "up")


def assert_kernel_socket(scan: Scan, netns: MadeNetns) -> None:
    """The only row of all is the tunnel's, in this netns, with nobody behind it."""
    (row,) = scan.sockets
    assert (row["netns"], row["protocol"], row["local"]["port"], row["uid"]) == (netns.inode, "udp", PORT, 0)
    assert row["inode"] is not None
    assert (row["owners"], row["container_id"], row["flags"]) == ([], None, [])
    assert (row["verdict"]["kind"], row["verdict"]["charged_to"]) == ("kernel", None)
    assert (row["attribution"], row["confidence"]) == ("none", "none")
    assert is_whole(scan.coverage)


def test_the_socket_of_a_tunnel_in_a_netns_without_process_is_the_kernels(closed_bed: ClosedBed) -> None:
    netns = closed_bed.netns_bed.named()
    add_vxlan(closed_bed, netns)
    assert_kernel_socket(closed_bed.scan(), netns)


def test_the_socket_of_a_tunnel_that_has_moved_stays_where_it_was_made(closed_bed: ClosedBed) -> None:
    made, other = closed_bed.netns_bed.named(), closed_bed.netns_bed.named()
    add_vxlan(closed_bed, made)
    assert made.name is not None
    assert other.name is not None
    closed_bed.run("ip", "-n", made.name, "link", "set", "tunnel", "netns", other.name)
    closed_bed.run("ip", "-n", other.name, "link", "set", "tunnel", "up")
    assert_kernel_socket(closed_bed.scan(), made)


def test_the_socket_of_a_tunnel_is_the_kernels_also_while_descriptors_are_in_flight(
    closed_bed: ClosedBed,
) -> None:
    """Multicast loop is off, as no program would have it."""
    netns = closed_bed.netns_bed.named()
    add_vxlan(closed_bed, netns)
    closed_bed.netns_bed.actor().ask("leave_in_flight", fd=None)
    assert_kernel_socket(closed_bed.scan(), netns)


def test_kernel_threads_own_nothing_and_leave_no_gap(bed: NetnsBed) -> None:
    """They are there where the test sees the PIDs of the whole machine."""
    _, actor = bed.stage()
    actor.listen()
    scan = run_scan()
    threads = {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_kernel_thread(pid)}
    assert not threads & {owner["pid"] for row in scan.sockets for owner in row["owners"]}
    assert not {f"pid {pid}" for pid in threads} & {gap["subject"] for gap in scan.coverage["gaps"]}


def is_kernel_thread(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return bool(int(stat.read().rsplit(")", 1)[1].split()[6]) & PF_KTHREAD)
    except (FileNotFoundError, ProcessLookupError):
        return False
