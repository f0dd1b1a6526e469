"""One scan of the whole machine: every row and holder as ss or /proc has them, in every netns."""

import re
from pathlib import Path

import pytest

from tests.live.nsagent_cli import Scan, Socket, verdict_kind
from tests.vm import ss, town
from tests.vm.hold import HIDDEN

LISTENS = {("tcp", "listen"), ("udp", "close")}
UNPROVEN = {"unknown", "in_flight"}


def paths(scan: Scan) -> dict[int, str]:
    """How to get into each netns."""
    found = {one["inode"]: f"/run/netns/{name}" for one in scan.netns for name in one["names"]}
    for process in sorted(filter(str.isdigit, (path.name for path in Path("/proc").iterdir())), key=int):
        try:
            inode = Path(f"/proc/{process}/ns/net").stat().st_ino
        except OSError:
            continue
        found.setdefault(inode, f"/proc/{process}/ns/net")
    return {one["inode"]: found[one["inode"]] for one in scan.netns}


def netns_called(scan: Scan, name: str) -> int:
    (inode,) = (one["inode"] for one in scan.netns if name in one["names"])
    return int(inode)


def holders(sockets: list[Socket]) -> ss.Holders:
    """Who holds each of these, as ss tells it."""
    return {
        row["inode"]: {(owner["pid"], fd) for owner in row["owners"] for fd in owner["fds"]}
        for row in sockets
        if row["inode"] is not None
    }


def on_port(scan: Scan, *ports: int, protocol: str = "tcp") -> dict[int, list[Socket]]:
    """What stands on these local ports and listens, or takes what comes."""
    return {
        port: [
            row
            for row in scan.sockets
            if row["protocol"] == protocol and row["local"]["port"] == port and (protocol, row["state"]) in LISTENS
        ]
        for port in ports
    }


def list_gaps(scan: Scan) -> set[tuple[str, str]]:
    """What could not be seen, by kind and code; not names, as engines are slow in a machine without KVM."""
    return {(gap["kind"], gap["code"]) for gap in scan.coverage["gaps"] if gap["stage"] != "names"}


def test_nothing_is_left_out(whole: Scan) -> None:
    assert (whole.coverage["complete"], list_gaps(whole)) == (True, set())
    assert {one["engine"] for one in whole.netns} == {"sock_diag"}


@pytest.mark.parametrize("protocol", ss.FLAGS)
def test_rows_and_their_holders_are_those_of_ss(whole: Scan, protocol: str) -> None:
    for inode, path in paths(whole).items():
        ours = holders([row for row in whole.of_netns(inode) if row["protocol"] == protocol])
        assert ours == ss.read_holders(path, protocol)


def test_packet_sockets_are_those_of_proc(whole: Scan) -> None:
    street = netns_called(whole, town.STREET)
    ours = {row["inode"] for row in whole.of_netns(street) if row["protocol"] == "packet"}
    lines = ss.run_inside(paths(whole)[street], "cat", "/proc/net/packet").splitlines()[1:]
    assert ours == {int(line.split()[-1]) for line in lines}


def test_vsock_sockets_are_as_many_as_ss_has(whole: Scan) -> None:
    ours = [row for row in whole.sockets if row["protocol"] == "vsock"]
    assert sorted(row["state"] for row in ours) == ["established", "established", "listen"]
    assert len(ss.read_lines("/proc/1/ns/net", "--vsock")) == len(ours)
    assert {owner["unit"] for row in ours for owner in row["owners"]} == {"vm-vrf.service"}


def test_every_unit_holds_its_listener(whole: Scan) -> None:
    found = {
        port: [[owner["unit"] for owner in row["owners"]] for row in rows]
        for port, rows in on_port(whole, *town.UNITS).items()
    }
    assert found == {port: [[unit]] for port, (unit, _) in town.UNITS.items()}


def test_a_socket_unit_is_held_by_pid_1_and_by_the_service_that_was_started(whole: Scan) -> None:
    rows = on_port(whole, town.ACTIVATED, town.WAITING)
    units = {port: [owner["unit"] for owner in row["owners"]] for port, (row,) in rows.items()}
    assert units == {town.ACTIVATED: ["init.scope", "vm-activated.service"], town.WAITING: ["init.scope"]}
    assert {row["owners"][0]["pid"] for (row,) in rows.values()} == {1}


def test_a_listener_in_a_vrf_is_bound_to_its_device(whole: Scan) -> None:
    ((row,),) = on_port(whole, town.VRF).values()
    assert (row["interface"], row["local"]["address"]) == ("red", "0.0.0.0")


@pytest.mark.parametrize("kind", town.KERNEL_PORTS)
def test_a_tunnel_has_no_owner_and_is_the_kernels_where_its_device_proves_it(whole: Scan, kind: str) -> None:
    rows = [row for row in whole.sockets if row["local"]["port"] == town.KERNEL_PORTS[kind]]
    assert {(row["netns"], row["protocol"], len(row["owners"])) for row in rows} == {
        (netns_called(whole, town.TUNNELS), "udp", 0)
    }
    assert {verdict_kind(row) for row in rows} <= (UNPROVEN if kind == "l2tp" else {"kernel"})


def test_a_socket_like_those_of_tunnels_on_another_port_is_not_the_kernels(whole: Scan) -> None:
    """Of root, with multicast loop off and as much room to send as it can have."""
    (row,) = (row for row in whole.sockets if row["local"]["port"] == town.BESIDE)
    assert (row["netns"], row["uid"], row["owners"]) == (netns_called(whole, town.TUNNELS), 0, [])
    assert verdict_kind(row) in UNPROVEN


def test_the_nfs_server_has_no_owner(whole: Scan) -> None:
    """Nothing proves that it is the kernel's: a descriptor in flight could be it."""
    (rows,) = on_port(whole, town.NFS).values()
    assert [(row["owners"], row["container_id"]) for row in rows] == [([], None)] * 2
    assert {verdict_kind(row) for row in rows} <= UNPROVEN


def test_the_connections_of_the_nfs_client_are_the_kernels_and_one_beside_them_is_not(whole: Scan) -> None:
    rows = [row for row in whole.sockets if row["remote"]["port"] == town.NFS and row["inode"] is not None]
    assert {(row["uid"], len(row["owners"])) for row in rows} == {(0, 0)}
    kinds = [verdict_kind(row) for row in rows if row["local"]["port"] != HIDDEN]
    assert kinds == ["kernel"] * town.CONNECTIONS
    (other,) = (verdict_kind(row) for row in rows if row["local"]["port"] == HIDDEN)
    assert other in UNPROVEN


def test_associations_of_sctp_stand_there_once_with_their_own_ends(whole: Scan) -> None:
    street = netns_called(whole, town.STREET)
    rows = [row for row in whole.of_netns(street) if row["protocol"] == "sctp"]
    listeners = sorted((row["local"]["address"], row["local"]["port"]) for row in rows if row["state"] == "listen")
    assert listeners == [("127.0.0.1", 5000), ("::", 5002), ("::1", 5001)]
    pairs = [{(row[end]["address"], row[end]["port"]) for end in ("local", "remote")} for row in rows]
    for address, port in (("127.0.0.1", 5000), ("::1", 5001)):
        ends = [pair for pair in pairs if (address, port) in pair and len(pair) == 2 and ("::", 0) not in pair]
        ends = [pair for pair in ends if ("0.0.0.0", 0) not in pair]
        assert len(ends) == 2
        assert ends[0] == ends[1]
        assert {each for each, _ in ends[0]} == {address}
    assert None not in {row["cookie"] for row in rows} | {row["cgroup_id"] for row in rows}


def test_mptcp_sockets_are_those_of_ss(whole: Scan) -> None:
    street = netns_called(whole, town.STREET)
    marked = {row["inode"]: row["mptcp"] for row in whole.of_netns(street) if row["protocol"] == "tcp" and row["inode"]}
    shown = {
        int(found[1]) for line in ss.read_lines(paths(whole)[street], "-M") if (found := re.search(r"ino:(\d+)", line))
    }
    assert shown
    assert {inode for inode, mptcp in marked.items() if mptcp} == shown
    assert set(marked.values()) == {True, False}


def test_raw_sockets_of_ipv6_take_no_ipv4(whole: Scan) -> None:
    told = {row["local"]["address"]: row["v6only"] for row in whole.sockets if row["protocol"] == "raw"}
    assert told["::1"] is None


def test_a_connection_that_waits_has_no_uid_and_its_listeners_owner(whole: Scan) -> None:
    """The kernel says uid 0 of it, and root has other listeners."""
    rows = [row for row in whole.sockets if row["local"]["port"] == town.QUEUE]
    (listener,) = (row for row in rows if row["state"] == "listen")
    (waiting,) = (row for row in rows if row["inode"] is None)
    assert (listener["uid"], waiting["uid"], verdict_kind(waiting)) == (town.PLAIN_UID, None, "accept_queue")
    assert waiting["verdict"]["charged_to"]["pid"] == listener["owners"][0]["pid"]


@pytest.mark.parametrize("name", town.CONTAINERS)
def test_containers_hold_their_listeners(whole: Scan, name: str) -> None:
    ((row,),) = on_port(whole, town.CONTAINERS[name]).values()
    engine = name.partition("-")[0]
    assert row["container_id"] == town.run(engine, "inspect", "--format", "{{.Id}}", name).strip()
    (container,) = (one for one in whole.containers if one["id"] == row["container_id"])
    assert (container["runtime"], row["attribution"], row["flags"]) == (engine, "fd", [])
    unanswered = {
        source.partition(" ")[0] for gap in whole.coverage["gaps"] if gap["stage"] == "names" for source in gap["ids"]
    }
    assert container["name"] == name or (container["name"] is None and engine in unanswered)
