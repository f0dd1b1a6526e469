"""Sockets that come and go while they are read: no wrong owner, and nothing held is lost."""

from itertools import pairwise

from nsagent.model.net import SocketRow
from nsagent.scan.attribute import attribute
from nsagent.scan.collect.carried import Carried
from tests.live.actors import Actor, Held, by_inode, owners_of
from tests.live.capabilities import trials
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import Scan, owners_in, run_scan
from tests.scan.collect.passes import run_pass

ACTORS = 4
HELD_EACH = 25
CONNECTIONS_PER_SECOND = 500
SCANS = trials(default=10, full=200)
PASSES = trials(default=5, full=200)
LEAST_OPENED_PER_SCAN = 20


def start_churn(bed: NetnsBed) -> tuple[MadeNetns, list[Actor], list[Held]]:
    """Actors in one netns, each with sockets that it keeps, each connecting to the next one."""
    netns, first = bed.stage()
    actors = [first, *(bed.actor(netns) for _ in range(ACTORS - 1))]
    held: list[Held] = []
    servers: list[Held] = []
    for number, actor in enumerate(actors):
        actor.ask("rename", comm=f"churn-{number}")
        servers.append(actor.listen())
        held += [*actor.listen_many(HELD_EACH), *actor.pair(servers[-1]), actor.udp()]
    for number, actor in enumerate(actors):
        peer = servers[(number + 1) % ACTORS].port
        actor.start("churn", fd=servers[number].fd, peer_port=peer, per_second=CONNECTIONS_PER_SECOND // ACTORS)
    return netns, actors, held + servers


def stop_churn(actors: list[Actor]) -> tuple[dict[int, Actor], int]:
    """Who had each of the short-lived sockets, and how many connections were opened."""
    makers: dict[int, Actor] = {}
    opened = 0
    for actor in actors:
        actor.start("stop")
        log = actor.finish()
        actor.finish()
        makers |= dict.fromkeys(log["inodes"], actor)
        opened += log["opened"]
    return makers, opened


def test_under_churn_no_owner_is_wrong_and_nothing_held_is_lost(bed: NetnsBed) -> None:
    netns, actors, held = start_churn(bed)
    scans = [run_scan("--runtime", "none") for _ in range(SCANS)]
    makers, opened = stop_churn(actors)
    assert opened >= LEAST_OPENED_PER_SCAN * SCANS, "the load never came up"
    expected = by_inode(held)
    short_lived = [check_scan(scan, netns, expected, makers, actors) for scan in scans]
    assert sum(short_lived) > 0, "no scan met a short-lived socket"


def test_under_churn_rows_that_are_carried_from_pass_to_pass_change_no_snapshot(bed: NetnsBed) -> None:
    netns, actors, held = start_churn(bed)
    carried = Carried()
    rows: list[dict[int, SocketRow]] = []
    for _ in range(PASSES):
        facts = run_pass(carried=carried)
        snapshot = attribute(facts, decoder=carried.decoder)
        assert snapshot == attribute(facts)
        rows.append({one.row.inode: one.row for one in snapshot.sockets if one.netns == netns.inode and one.row.inode})
    _, opened = stop_churn(actors)
    assert opened >= LEAST_OPENED_PER_SCAN * PASSES, "the load never came up"
    for before, after in pairwise(rows):
        unchanged = [inode for inode in by_inode(held) if before[inode] == after[inode]]
        assert len(unchanged) >= ACTORS * HELD_EACH
        assert all(before[inode] is after[inode] for inode in unchanged)


def check_scan(
    scan: Scan, netns: MadeNetns, held: dict[int, Held], makers: dict[int, Actor], actors: list[Actor]
) -> int:
    """Fails on a wrong owner or a lost socket; how many short-lived sockets this scan met."""
    comms = {actor.pid: f"churn-{number}" for number, actor in enumerate(actors)}
    rows = {row["inode"]: row for row in scan.of_netns(netns.inode) if row["inode"] is not None}
    assert {inode: owners_in(rows[inode]) for inode in held} == {inode: owners_of(one) for inode, one in held.items()}
    others = {inode: row for inode, row in rows.items() if inode not in held}
    for inode, row in others.items():
        for owner in row["owners"]:
            assert (owner["pid"], owner["comm"]) == (makers[inode].pid, comms[makers[inode].pid])
    return len(others)
