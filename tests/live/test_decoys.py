"""Whatever somebody piles up around a socket does not hide it, and costs nobody else."""

import os

from tests.live.actors import owners_of
from tests.live.capabilities import Capability, lack
from tests.live.closed_bed import ClosedBed
from tests.live.coverage import is_whole
from tests.live.nsagent_cli import owners_in

THREADS, UNBOUND, PROCESSES = 520, 4200, 40


def test_a_netns_and_an_fd_table_of_a_thread_among_many_are_found(closed_bed: ClosedBed) -> None:
    actor = closed_bed.netns_bed.actor()
    made = actor.ask("listen_in_thread_apart", threads=THREADS)
    scan = closed_bed.scan()
    row = scan.one(made["inode"])
    (owner,) = row["owners"]
    assert (row["netns"], owner["pid"], owner["fds"]) == (made["netns"], actor.pid, [made["fd"]])
    assert owner["tid"] is not None
    assert is_whole(scan.coverage)


def test_sockets_in_no_table_do_not_hide_the_one_that_keeps_a_netns(closed_bed: ClosedBed) -> None:
    """Those that were opened first have the lowest fds."""
    kept, actor = closed_bed.netns_bed.anonymous()
    actor.ask("open_unbound", count=UNBOUND)
    held = actor.listen()
    actor.ask("unshare_net")
    scan = closed_bed.scan()
    row = scan.one(held.inode)
    assert (row["netns"], owners_in(row)) == (kept.inode, owners_of(held))
    assert is_whole(scan.coverage)


def test_a_table_names_three_owners_and_three_fds_and_json_all(closed_bed: ClosedBed) -> None:
    actor = closed_bed.netns_bed.actor()
    held = actor.listen()
    fds = sorted([held.fd, *(actor.dup(held).fd for _ in range(5))])
    pids = sorted([actor.pid, *(actor.fork() for _ in range(PROCESSES))])
    row = closed_bed.scan().one(held.inode)
    assert owners_in(row) == dict.fromkeys(pids, fds)
    (line,) = (
        closed_bed.run_nsagent("scan", "--no-headers", "--columns", "pid,command,fds").stdout.decode().splitlines()
    )
    named = "+".join(map(str, fds[:3])) + " +3"
    comms = [owner["comm"] for owner in row["owners"][:3]]
    assert line.split("  ") == [
        f"{','.join(map(str, pids[:3]))} +{PROCESSES - 2}",
        f"{','.join(comms)} +{PROCESSES - 2}",
        f"{','.join([named] * 3)} +{PROCESSES - 2}",
    ]


def test_vsock_listeners_that_no_table_shows_are_told(closed_bed: ClosedBed) -> None:
    actor = closed_bed.netns_bed.actor()
    try:
        actor.ask("listen_vsock")
    except RuntimeError as error:
        lack(Capability.VSOCK, str(error))
    netns = os.stat(closed_bed.netns_bed.path_in_test(f"/proc/{actor.pid}/ns/net")).st_ino
    scan = closed_bed.scan("--protocol", "vsock")
    gaps = [(gap["kind"], gap["ids"], gap["count"]) for gap in scan.coverage["gaps"] if "vsock" in gap["subject"]]
    rows = [row for row in scan.sockets if row["protocol"] == "vsock"]
    assert gaps == ([] if rows else [("table", [str(netns)], 1)])
    assert is_whole(scan.coverage) == bool(rows)
