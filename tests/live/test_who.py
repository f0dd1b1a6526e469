"""Who holds it, asked about every row of real netns: the row that ss(8) shows, with all of its holders.

NSAGENT_TEST_SEED repeats the topology that a failure names.
"""

import json
import os
import sys
from pathlib import Path

import pytest

from nsagent.errors import EXIT_NOT_FOUND
from nsagent.lookup.resolver import Limits, Resolver
from nsagent.lookup.sight import HostLooks
from nsagent.model.found import NoteKind
from nsagent.model.snapshot import OwnedSocket, Snapshot
from nsagent.query.select import select_rows
from nsagent.query.socket_index import SocketIndex
from nsagent.query.who import find_who, parse_question
from nsagent.report.json import render_json
from tests.docker_proxy import play_docker_proxy
from tests.live.capabilities import choose_seed, trials
from tests.live.look import read_snapshot
from tests.live.netns_bed import MadeNetns, NetnsBed
from tests.live.nsagent_cli import Scan, owners_in, run_nsagent
from tests.live.rows import Row, parse_scan_row
from tests.live.test_agreement import ROUNDS, Tables, read_tables
from tests.live.topology import Builder, Town

TOPOLOGIES = trials(default=6, full=200)


def read_while_quiet(town: Town) -> tuple[Tables, Snapshot]:
    """What ss says both before and after a pass, and the pass."""
    for _ in range(ROUNDS):
        before, snapshot = read_tables(town), read_snapshot(*town.netns)
        if read_tables(town) == before:
            return before, snapshot
    pytest.fail(f"in {ROUNDS} rounds the topology never kept quiet")


def tell(snapshot: Snapshot, *sockets: OwnedSocket) -> list[Row]:
    """Sockets as ss shows them."""
    document = json.loads("".join(render_json(select_rows(snapshot, sockets))))
    return [parse_scan_row(socket) for socket in Scan(document).sockets]


def write_end(end: tuple[str, int]) -> str:
    address, port = end
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def ask(
    snapshot: Snapshot, index: SocketIndex, netns: MadeNetns, *ends: tuple[str, int]
) -> tuple[list[Row], list[Row]]:
    """The rows that are told, and those of which it is said that they get nothing."""
    question = parse_question(list(map(write_end, ends)))._replace(netns=frozenset((netns.inode,)))
    found = find_who(snapshot, index, question)
    shadowed = [one for note in found.notes if note.kind is NoteKind.SHADOWED for one in note.sockets]
    return tell(snapshot, *found.sockets), tell(snapshot, *shadowed)


def explain(row: Row, snapshot: Snapshot, index: SocketIndex, netns: MadeNetns) -> list[str]:
    """What is wrong with the answers of which a row has to be a part, nothing if they are right."""
    if row.remote != ("", 0):
        told, _ = ask(snapshot, index, netns, row.local, row.remote)
        backwards, _ = ask(snapshot, index, netns, row.remote, row.local)
        to_come = row.protocol == "udp" or row.state == "syn_sent"  # Its other end is who waits.
        ends = {row.local, row.remote}
        wrong = [one for one in told if {one.local, one.remote} != ends and not (to_come and one.remote == ("", 0))]
        return [f"{row} of {told}"] if row not in told or row not in backwards or wrong else []
    told, _ = ask(snapshot, index, netns, row.local)
    at_loopback = row.local[0] in ("0.0.0.0", "::")
    family = "::1" if row.local[0] == "::" else "127.0.0.1"
    got, shadowed = ask(snapshot, index, netns, (family, row.local[1])) if at_loopback else (told, [])
    return [] if row in told and row in (*got, *shadowed) else [f"{row} of {told} or {got}, {shadowed}"]


@pytest.mark.parametrize("trial", range(TOPOLOGIES))
def test_every_row_of_a_netns_is_led_to_by_its_ends(bed: NetnsBed, tmp_path: Path, trial: int) -> None:
    seed = choose_seed(trial)
    print(f"NSAGENT_TEST_SEED={seed}")
    town = Builder(bed, seed, os.fspath(tmp_path)).build()
    tables, snapshot = read_while_quiet(town)
    index = SocketIndex(snapshot)
    wrong = [
        line for netns in town.netns for row in tables[netns.inode] for line in explain(row, snapshot, index, netns)
    ]
    assert wrong == []


def test_the_command_finds_a_connection_and_its_listener_in_a_netns_of_its_own(bed: NetnsBed) -> None:
    netns, actor = bed.stage()
    listener = actor.listen()
    pair = actor.pair(listener)
    ends = [write_end(end) for end in (pair.client.local, pair.server.local)]
    ran = run_nsagent("who", "-o", "json", *ends, "--netns", str(netns.name))
    told = Scan(json.loads(ran.stdout)).sockets
    assert [(one["inode"], owners_in(one)) for one in told] == [
        (end.inode, {end.pid: [end.fd]}) for end in (pair.client, pair.server)
    ]
    waits = run_nsagent("port", "-o", "json", "--listening", "--netns", str(netns.name), str(listener.port))
    assert [one["inode"] for one in Scan(json.loads(waits.stdout)).sockets] == [listener.inode]
    held = run_nsagent("pid", "-o", "json", str(actor.pid))
    inodes = {listener.inode, pair.client.inode, pair.server.inode}
    assert {one["inode"] for one in Scan(json.loads(held.stdout)).sockets} == inodes
    nobody = run_nsagent("who", "127.0.0.1:1", "--netns", str(netns.name))
    assert (nobody.status, nobody.stdout) == (EXIT_NOT_FOUND, b"")


def test_what_a_proxy_passes_on_to_is_found_in_a_netns_that_has_nothing_at_its_port(
    bed: NetnsBed, tmp_path: Path
) -> None:
    _, actor = bed.stage()
    listener = actor.listen()
    with play_docker_proxy(tmp_path, listener.port) as proxy:
        ran = run_nsagent("who", "--runtime", "none", f"127.0.0.1:{proxy.port}")
    assert ran.status == 0
    behind = f"nsagent: 127.0.0.1:{listener.port}: this is where it is passed on to, held by "
    (line,) = (line for line in ran.complaints if line.startswith(behind))
    assert f"of pid {actor.pid} " in line


def test_a_resolver_tells_both_ends_of_what_is_in_another_netns(bed: NetnsBed) -> None:
    netns, actor = bed.stage()
    other = bed.actor(netns)
    server = other.listen()
    pair = actor.pair(actor.listen())
    waiting, sending = other.udp(), actor.udp()
    sending = actor.connect_udp(sending, *waiting.local)
    with Resolver(HostLooks(runtime="none"), limits=Limits(patience_seconds=60)) as resolver:
        tuples = [
            ("tcp", pair.client, pair.server, actor.pid),
            ("udp", sending, waiting, other.pid),
            ("tcp", pair.client, server, other.pid),
        ]
        for protocol, client, end, pid in tuples:
            told = resolver.resolve(protocol, client.local, end.local)
            assert told.destination is not None
            assert [holder.pid for holder in told.destination.holders] == [pid]
            assert [one.row.inode for one in told.destination.sockets] == [end.inode]
            assert told.destination.netns == (netns.inode,)
        told = resolver.resolve("udp", sending.local, waiting.local)
        assert told.source is not None
        assert [(one.pid, one.argv and one.argv[0]) for one in told.source.holders] == [(actor.pid, sys.executable)]
