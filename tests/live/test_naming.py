"""Naming a netns or a process by whatever somebody has of it: what is there is found, or it is told why not."""

import os
from pathlib import Path

import pytest

from tests.live.closed_bed import ClosedBed
from tests.live.deadlines import until
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import Scan, run_nsagent, run_scan
from tests.live.unprivileged import PlainUser

pytestmark = pytest.mark.timeout(60)

OWN_NAME = "only-theirs"
COVER = """set -e
mount -t tmpfs none /run/netns
for path in {path} {own}; do touch $path; mount --bind /proc/self/ns/net $path; done
echo covered
exec sleep 60
"""


def inodes(scan: Scan) -> set[int]:
    return {socket["inode"] for socket in scan.sockets}


def list_other_threads(pid: int) -> list[int]:
    return sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task") if int(tid) != pid)


@pytest.mark.parametrize("ending", [",b", " b", "%b", "é"])
def test_a_netns_goes_by_any_name_that_ip_netns_takes(bed: NetnsBed, ending: str) -> None:
    netns = bed.named(ending)
    held = bed.actor(netns).listen()
    assert netns.name is not None
    assert inodes(run_scan("--netns", netns.name)) == {held.inode}
    assert inodes(run_scan("--netns", netns.path)) == {held.inode}


def test_a_netns_has_the_name_that_the_host_gave_to_it_and_none_of_another_mount_namespace(
    closed_bed: ClosedBed,
) -> None:
    netns = closed_bed.netns_bed.named()
    assert netns.name is not None
    held = closed_bed.netns_bed.actor(netns).listen()
    own = f"/run/netns/{OWN_NAME}"
    script = COVER.format(path=netns.path, own=own)
    covering = closed_bed.start("unshare", "--mount", "--net", "sh", "-c", script)
    assert covering.stdout is not None
    assert covering.stdout.readline() == b"covered\n"
    scan = closed_bed.scan()
    (foreign,) = (one for one in scan.netns if one["foreign_mounts"])
    assert (foreign["names"], foreign["mounts"], foreign["foreign_mounts"]) == ([], [], sorted([netns.path, own]))
    assert [one["inode"] for one in scan.netns if one["names"] == [netns.name]] == [netns.inode]
    for text in (netns.name, netns.path):
        assert inodes(closed_bed.scan("--netns", text)) == {held.inode}
    for text in (OWN_NAME, own):
        ran = closed_bed.run_nsagent("scan", "--runtime", "none", "--netns", text)
        hint = f"only another mount namespace calls {foreign['inode']} so: ask by inode"
        assert (ran.status, ran.stdout, hint in ran.complaints[-1]) == (4, b"", True)


def test_a_name_that_two_netns_have_is_ambiguous(closed_bed: ClosedBed) -> None:
    """Where /var/run is no link to /run there are two places for names."""
    first, other = closed_bed.netns_bed.named(), closed_bed.netns_bed.named()
    held = closed_bed.netns_bed.actor(first).listen()
    second = f"/var/run/netns/{first.name}"
    make = (
        f"mount -t tmpfs none /var && mkdir -p /var/run/netns && touch {second} && mount --bind {other.path} {second}"
    )
    assert inodes(closed_bed.scan("--netns", first.name or "")) == {held.inode}
    closed_bed.run("sh", "-c", make)
    ran = closed_bed.run_nsagent("scan", "--runtime", "none", "--netns", first.name or "")
    assert (ran.status, ran.stdout) == (4, b"")
    assert all(str(one.inode) in ran.complaints[-1] for one in (first, other))


@pytest.mark.parametrize("directory", [False, True], ids=["over the name", "over all names"])
def test_a_name_means_what_lies_on_top_where_another_netns_was_mounted_over_it(
    closed_bed: ClosedBed, directory: bool
) -> None:
    (below, hidden), (above, actor) = closed_bed.netns_bed.stage(), closed_bed.netns_bed.anonymous()
    covered, held = hidden.listen(), actor.listen()
    if directory:
        closed_bed.run("sh", "-c", f"mount -t tmpfs none /run/netns && touch {below.path}")
    closed_bed.run("mount", "--bind", above.path, below.path)
    by_name, by_path, whole = (
        closed_bed.scan(*asked) for asked in (("--netns", below.name or ""), ("--netns", below.path), ())
    )
    for path in (below.path, "/run/netns")[: 1 + directory]:
        closed_bed.run("umount", path)
    assert inodes(by_name) == inodes(by_path) == {held.inode}
    assert {held.inode, covered.inode} <= inodes(whole)
    assert {one["inode"]: one["names"] for one in whole.netns}[below.inode] == []


def test_a_thread_goes_for_its_process_and_for_the_netns_that_it_is_in(bed: NetnsBed, tmp_path: Path) -> None:
    netns, actor = bed.stage()
    here = actor.listen()
    apart = actor.ask("listen_in_thread_netns")
    (tid,) = until(lambda: list_other_threads(actor.pid), "a second thread")
    assert inodes(run_scan("--pid", str(tid))) == {here.inode, apart["inode"]}
    for path in (f"/proc/{tid}/ns/net", f"/proc/{actor.pid}/task/{tid}/ns/net"):
        assert inodes(run_scan("--netns", path)) == {apart["inode"]}
    assert inodes(run_scan("--netns", f"/proc/{actor.pid}/ns/net,{netns.name}")) == {here.inode}


def test_a_capture_says_that_it_knows_no_threads(bed: NetnsBed, tmp_path: Path) -> None:
    _, actor = bed.stage()
    actor.ask("listen_in_thread_netns")
    (tid,) = until(lambda: list_other_threads(actor.pid), "a second thread")
    capture = str(tmp_path / "capture")
    assert run_nsagent("capture", "--runtime", "none", capture).status == 0
    ran = run_nsagent("scan", "--from", capture, "--pid", str(tid))
    assert (ran.status, ran.stdout) == (4, b"")
    assert ran.complaints == [f"nsagent: no process '{tid}'; a thread goes by the id of its process"]


def test_a_plain_user_finds_a_netns_by_its_key_and_is_told_why_not_by_its_inode(
    bed: NetnsBed, plain_user: PlainUser
) -> None:
    netns, actor = bed.anonymous()
    held = actor.listen()
    key = f"key:{os.stat(f'/proc/{actor.pid}/net/dev').st_ino}"
    options = ("scan", "--runtime", "none", "--no-headers", "--columns", "netns,local")
    ran = plain_user.run_nsagent(*options, "--netns", key)
    assert (ran.status, ran.stdout.decode().split()) == (0, [key, f"127.0.0.1:{held.port}"])
    ran = plain_user.run_nsagent(*options, "--netns", str(netns.inode))
    assert (ran.status, ran.stdout) == (4, b"")
    assert "netns may not be read: ask for them as key:N" in ran.complaints[-1]
