"""nsagent as a service that may not do everything: never a wrong owner, and never a part told as the whole."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.nsagent_cli import Ran, Scan, run_nsagent, run_scan, verdict_kind
from tests.vm import ss, town
from tests.vm.check_whole import UNPROVEN, holders, list_gaps
from tests.vm.hold import MOST

NSAGENT_PROFILE = """
profile nsagent-vm flags=(attach_disconnected) {
  capability, file, network, unix, signal, mount, umount,
}
"""
"""A profile of AppArmor without a rule for ptrace, as docker-default has none for processes outside."""

UNLISTED = {("netns_of_sockets", "EPERM")}
"""A socket that was never bound is in no table, and may not be asked for its netns."""


def scan_as_service(*properties: str, options: tuple[str, ...] = ()) -> tuple[Scan, Ran]:
    """A scan by such a service, and how it ended: with 0, whatever it could not see."""
    ran = run_nsagent("scan", "-o", "json", *options, command=town.as_service(*properties), seconds=300)
    assert ran.status == 0, ran.stderr
    return Scan(json.loads(ran.stdout)), ran


def held(scan: Scan) -> ss.Holders:
    """Who holds the sockets of TCP and UDP; not those in the host's netns, where engines talk to each other."""
    host = {one["inode"] for one in scan.netns if one["is_host"]}
    return holders([row for row in scan.sockets if row["protocol"] in ("tcp", "udp") and row["netns"] not in host])


def engines(scan: Scan) -> set[str]:
    return {one["engine"] for one in scan.netns if any(row["netns"] == one["inode"] for row in scan.sockets)}


def test_without_af_netlink_the_files_of_proc_are_read(whole: Scan) -> None:
    scan, _ = scan_as_service("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6")
    assert (held(scan), engines(scan), scan.coverage["complete"]) == (held(whole), {"proc"}, True)


def test_a_plain_filter_of_system_calls_costs_no_owner(whole: Scan) -> None:
    """@system-service has neither open_by_handle_at nor pidfd_getfd nor fsopen, and kills for them."""
    scan, ran = scan_as_service("SystemCallFilter=@system-service")
    assert (held(scan), engines(scan)) == (held(whole), {"sock_diag"})
    assert list_gaps(scan) == UNLISTED
    assert "refused by a security module or seccomp" in ran.stderr
    by_cgroup, _ = scan_as_service("SystemCallFilter=@system-service", options=("--owners", "container"))
    (row,) = (row for row in by_cgroup.sockets if row["local"]["port"] == town.CONTAINERS["docker-web"])
    assert (row["attribution"], row["confidence"]) == ("cgroup", "high")


def test_where_every_socket_may_send_as_much_as_wireguards_nothing_is_told_to_be_wireguards(whole: Scan) -> None:
    name = "net.core.wmem_default"
    before = town.run("sysctl", "-n", name).strip()
    town.run("sysctl", "-qw", f"{name}={MOST}")
    try:
        scan, _ = scan_as_service()
    finally:
        town.run("sysctl", "-qw", f"{name}={before}")
    rows = [row for row in scan.sockets if row["local"]["port"] == town.KERNEL_PORTS["wireguard"]]
    assert len(rows) == 2
    assert {verdict_kind(row) for row in rows} <= UNPROVEN


@pytest.mark.parametrize(
    "properties",
    [("PrivateUsers=yes",), ("ProtectProc=invisible", "User=nobody"), ("User=nobody",)],
    ids=["a user namespace", "ProtectProc", "a plain user"],
)
def test_who_may_not_see_everything_says_so(whole: Scan, properties: tuple[str, ...]) -> None:
    scan, ran = scan_as_service(*properties)
    told, known = held(scan), held(whole)
    assert {inode for inode, owners in known.items() if told.get(inode) not in (None, set(), owners)} == set()
    assert (scan.coverage["complete"], bool(ran.complaints)) == (False, True)


@pytest.fixture
def hidden_processes() -> Iterator[None]:
    """/proc with hidepid, for the whole machine."""
    town.run("mount", "-o", "remount,hidepid=invisible", "/proc")
    yield
    town.run("mount", "-o", "remount,hidepid=off", "/proc")


@pytest.mark.usefixtures("hidden_processes")
def test_root_sees_through_hidepid_and_a_plain_user_says_what_hides(whole: Scan) -> None:
    assert held(scan_as_service()[0]) == held(whole)
    scan, ran = scan_as_service("User=nobody")
    assert (scan.coverage["visibility"]["hidepid"], scan.coverage["complete"]) == ("invisible", False)
    assert [line for line in ran.complaints if "hidepid=invisible" in line]


def test_a_deep_pass_says_that_this_kernel_tells_no_idle_sockets(whole: Scan) -> None:
    """And MPTCP is not known to a pass that does not ask for it: the kernel counts none."""
    ran = run_nsagent("scan", "--deep", "--strict", "-o", "json", seconds=300)
    assert ran.status == 3
    assert [line for line in ran.complaints if "only sock_diag tells of them, from Linux 6.8" in line]
    scan = Scan(json.loads(ran.stdout))
    assert (held(scan), scan.coverage["complete"]) == (held(whole), True)
    assert {row["mptcp"] for row in scan.sockets} == {None}


def test_tables_that_name_no_cgroup_are_not_told_as_an_answer(whole: Scan) -> None:
    scan = run_scan("--engine", "proc", "--owners", "container")
    assert list_gaps(scan) == {("creators", "not_told"), ("netns", "nobody_inside")}
    assert not scan.coverage["complete"]


def test_apparmor_is_told_and_no_capability_is_advised(whole: Scan) -> None:
    Path("/run/nsagent-vm.profile").write_text(NSAGENT_PROFILE)
    town.run("apparmor_parser", "--replace", "/run/nsagent-vm.profile")
    scan, ran = scan_as_service("AppArmorProfile=nsagent-vm")
    assert not scan.coverage["complete"]
    assert "refused by a security module" in ran.stderr
    assert "add CAP" not in ran.stderr


def test_yama_is_told_and_no_capability_is_advised(whole: Scan) -> None:
    """From here on nobody traces anybody on this machine, which cannot be taken back."""
    Path("/proc/sys/kernel/yama/ptrace_scope").write_text("3")
    scan, ran = scan_as_service()
    assert (held(scan), list_gaps(scan)) == (held(whole), UNLISTED)
    assert "refused by a security module" in ran.stderr
    assert "add CAP" not in ran.stderr


def test_without_modules_tables_are_read_from_proc_and_that_is_told(whole: Scan) -> None:
    """Nor can this be taken back: modules that sock_diag needs are not there, and may not be loaded."""
    town.run(
        "modprobe", "--quiet", "--remove", "mptcp_diag", "tcp_diag", "udp_diag", "raw_diag", "sctp_diag", "inet_diag"
    )
    Path("/proc/sys/kernel/modules_disabled").write_text("1")
    scan, _ = scan_as_service()
    assert (held(scan), engines(scan), list_gaps(scan)) == (held(whole), {"proc"}, UNLISTED)
    ran = run_nsagent("scan", "--engine", "sock_diag", "--strict", "-o", "json", seconds=300)
    assert ran.status == 3
