"""A scan leaves nothing behind and holds nothing open."""

import os
import subprocess

from tests.live.capabilities import PATH
from tests.live.deadlines import until
from tests.live.leftovers import find_leftovers, marked_environment
from tests.live.netns_bed import MadeNetns, NetnsBed, run_ip
from tests.live.nsagent_cli import run_scan


def has_link(netns: MadeNetns, name: str) -> bool:
    assert netns.name is not None
    shown = subprocess.run(
        ["ip", "-n", netns.name, "link", "show", name],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return shown.returncode == 0


def test_a_netns_deleted_after_a_scan_really_goes(bed: NetnsBed) -> None:
    """The far end of a veth pair goes with the netns, and only when nothing pins it any more."""
    doomed, actor = bed.stage()
    witness = bed.named()
    assert doomed.name is not None
    assert witness.name is not None
    run_ip("-n", doomed.name, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", witness.name)
    actor.listen_many(5)
    assert len(run_scan().of_netns(doomed.inode)) == 5
    bed.end(actor)
    assert has_link(witness, "far")
    bed.delete(doomed)
    until(lambda: not has_link(witness, "far"), "the netns is gone")


def test_no_mount_and_no_process_of_a_scan_stays(bed: NetnsBed, token: str) -> None:
    _, actor = bed.stage()
    actor.listen()
    before = find_leftovers(token)
    run_scan(env=marked_environment(token))
    assert find_leftovers(token) == before


def test_two_scans_of_a_quiet_netns_are_the_same(bed: NetnsBed) -> None:
    netns, actor = bed.stage()
    actor.pair(actor.listen())
    actor.listen_many(20)
    first, second = run_scan(), run_scan()
    assert first.of_netns(netns.inode) == second.of_netns(netns.inode)


def test_a_scan_does_not_accept_read_or_close_what_it_sees(bed: NetnsBed) -> None:
    _, actor = bed.stage()
    listener = actor.listen()
    actor.connect("127.0.0.1", listener.port)
    pair = actor.pair(actor.listen())
    actor.ask("send", fd=pair.client.fd, count=100)
    run_scan()
    again = run_scan()
    assert again.one(listener.inode)["accept_queue"]["used"] == 1
    assert again.one(pair.server.inode)["rx_queue_bytes"] == 100
