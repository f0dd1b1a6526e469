"""The kernel's own: its threads hold nothing, its sockets are held by nobody, and no other socket passes for one."""

import os

import pytest

from tests.live.capabilities import Capability, lack
from tests.live.closed_bed import ClosedBed
from tests.live.coverage import is_whole
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import Scan, run_scan

PF_KTHREAD = 0x00200000
PORT = 4789


def add_vxlan(bed: ClosedBed, netns: MadeNetns, *, local: str = "127.0.0.1", up: bool = True) -> None:
    """A VXLAN device; if it is up, the kernel has a UDP socket for it."""
    assert netns.name is not None
    add = ("link", "add", "tunnel", "type", "vxlan", "id", "7", "dstport", str(PORT), "local", local)
    try:
        bed.run("ip", "-n", netns.name, *add)
    except RuntimeError as error:
        lack(Capability.VXLAN, str(error))
    if up:
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


def test_the_socket_of_a_tunnel_over_ipv6_is_the_kernels(closed_bed: ClosedBed) -> None:
    netns = closed_bed.netns_bed.named()
    add_vxlan(closed_bed, netns, local="::1")
    assert_kernel_socket(closed_bed.scan(), netns)


LIKE_A_TUNNEL = [
    pytest.param("127.0.0.1", True, "0.0.0.0", PORT + 1, None, id="of another port"),
    pytest.param("127.0.0.1", True, "::", PORT, True, id="of another family"),
    pytest.param("127.0.0.1", False, "0.0.0.0", PORT, None, id="of one that is down"),
]


@pytest.mark.parametrize(("tunnel", "up", "address", "port", "v6only"), LIKE_A_TUNNEL)
def test_a_socket_in_transit_that_looks_like_that_of_a_tunnel_is_not_the_kernels(
    closed_bed: ClosedBed, tunnel: str, up: bool, address: str, port: int, v6only: bool | None
) -> None:
    """Of uid 0, bound to any address, with multicast loop off and as much room to send as a process can have."""
    netns = closed_bed.netns_bed.named()
    add_vxlan(closed_bed, netns, local=tunnel, up=up)
    actor = closed_bed.netns_bed.actor(netns)
    held = actor.udp(address, port, family="ipv4" if v6only is None else "ipv6", v6only=v6only)
    actor.ask("resemble", fd=held.fd)
    actor.ask("leave_in_flight", fd=held.fd)
    assert closed_bed.scan().one(held.inode)["verdict"]["kind"] == "in_flight"


def test_what_an_io_uring_without_an_fd_holds_is_not_the_kernels(closed_bed: ClosedBed) -> None:
    actor = closed_bed.netns_bed.actor()
    held = actor.listen()
    try:
        actor.ask("leave_in_ring", fd=held.fd, close_ring=True)
    except RuntimeError as error:
        lack(Capability.IO_URING, str(error))
    row = closed_bed.scan().one(held.inode)
    assert (row["owners"], row["uid"], row["verdict"]["kind"]) == ([], 0, "unknown")


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
