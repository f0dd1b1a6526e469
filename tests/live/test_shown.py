"""What is shown of real sockets is what users know from ss: order, states, devices."""

import os

import pytest

from tests.live.closed_bed import ClosedBed
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import run_nsagent

pytestmark = pytest.mark.timeout(60)


def test_rows_come_by_netns_and_what_listens_before_the_rest_by_local_port(
    bed: NetnsBed, host_netns: int | None
) -> None:
    """The host's netns comes first, then the others by inode."""
    places = [bed.stage() for _ in range(2)]
    expected = []
    for netns, actor in sorted(places):
        second, first = (actor.listen(port=port) for port in (8097, 8095))
        client, server = actor.pair(second)
        udp, connected = actor.udp(port=8096), actor.connect_udp(actor.udp(port=8094), "127.0.0.1", 9)
        expected += [
            *((netns.name, "tcp", "listen", first), (netns.name, "udp", "unconn", udp)),
            *((netns.name, "tcp", "listen", second), (netns.name, "udp", "established", connected)),
            *((netns.name, "tcp", "established", server), (netns.name, "tcp", "established", client)),
        ]
    own = bed.actor().listen()
    ran = run_nsagent("scan", "--runtime", "none", "--no-headers", "--columns", "netns,proto,state,local")
    rows = [tuple(line.split()) for line in ran.stdout.decode().splitlines()]
    names = {netns.name for netns, _ in places}
    assert [row for row in rows if row[0] in names] == [
        (name, protocol, state, f"127.0.0.1:{held.port}") for name, protocol, state, held in expected
    ]
    if os.stat("/proc/self/ns/net").st_ino == host_netns:
        at = rows.index(("host", "tcp", "listen", f"127.0.0.1:{own.port}"))
        assert at < min(at for at, row in enumerate(rows) if row[0] in names)


def test_a_udp_socket_that_is_not_connected_is_no_closed_one(closed_bed: ClosedBed) -> None:
    actor = closed_bed.netns_bed.actor()
    actor.udp()
    (line,) = closed_bed.run_nsagent("scan", "--runtime", "none", "--no-headers").stdout.decode().splitlines()
    assert line.split()[1:3] == ["udp", "unconn"]


def test_a_device_that_is_gone_is_told_by_its_number(closed_bed: ClosedBed) -> None:
    netns, actor = closed_bed.netns_bed.stage()
    ip = ("ip", "-n", netns.name or "")
    closed_bed.run(*ip, "link", "add", "gone", "type", "veth", "peer", "name", "other")
    held = actor.udp("0.0.0.0", device="gone")
    index = int(closed_bed.run(*ip, "-o", "link", "show", "gone").partition(":")[0])
    assert closed_bed.scan().one(held.inode)["interface"] == "gone"
    closed_bed.run(*ip, "link", "delete", "gone")
    assert closed_bed.scan().one(held.inode)["interface"] == f"if{index}"
