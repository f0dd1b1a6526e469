"""What is left of a pass for a question about some ports."""

from pathlib import Path

import pytest

from nsagent.model.choices import EngineName
from nsagent.model.facts import NetnsReading
from nsagent.model.snapshot import Snapshot
from nsagent.scan.attribute import attribute
from nsagent.scan.capture_file import read_capture
from nsagent.scan.plan import read_counters
from nsagent.scan.ports import narrow_to_ports
from tests.kernel.diag_message import make_message
from tests.kernel.proc_tree import HOST_NETNS
from tests.scan.facts import WEB_NETNS, diag_table, facts, listen_row, netns, tcp_text

CAPTURES = sorted(Path("fixtures/captures").glob("*.json.gz"))
HTTP = diag_table(make_message(local_port=80, state=10, remote_port=0))
ONE_OF_TCP = "TCP: inuse 1 orphan 0 tw 0 alloc 3 mem 0\nUDP: inuse 0 mem 0\nTCP6: inuse 0\nUDP6: inuse 0\n"
ONE_OF_EACH = ONE_OF_TCP.replace("UDP: inuse 0", "UDP: inuse 1")


def list_ports(snapshot: Snapshot) -> set[int]:
    return {end.port for one in snapshot.sockets for end in (one.row.local, one.row.remote)}


def dumped(*, sockstat: str = ONE_OF_TCP) -> NetnsReading:
    """A netns with a listener at port 80."""
    assert read_counters(sockstat)
    return netns(HTTP, engine=EngineName.SOCK_DIAG)._replace(sockstat=sockstat)


def left_of(reading: NetnsReading, port: int) -> NetnsReading:
    (left,) = narrow_to_ports(facts([], [reading]), {port}).netns
    return left


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_port_has_the_rows_and_whatever_is_told_of_them_that_it_has_in_the_whole_pass(path: Path) -> None:
    taken = read_capture(path)
    whole = attribute(taken)
    left_out = 0
    for port in list_ports(whole):
        narrow = attribute(narrow_to_ports(taken, {port}))
        kept = {one.netns for one in narrow.sockets}
        assert narrow.sockets == tuple(one for one in whole.sockets if one.netns in kept)
        assert all(one.netns in kept for one in whole.sockets if port in (one.row.local.port, one.row.remote.port))
        assert (narrow.processes, narrow.containers) == (whole.processes, whole.containers)
        assert [one.own_addresses for one in narrow.netns] == [one.own_addresses for one in whole.netns]
        assert narrow.coverage.netns.skipped == whole.coverage.netns.read - narrow.coverage.netns.read
        assert narrow.coverage.complete == whole.coverage.complete
        left_out += narrow.coverage.netns.skipped
    assert bool(left_out) == (path.stem != "plain.json")  # Of which all rows stand in one netns.


def test_a_netns_without_the_port_is_skipped() -> None:
    assert left_of(dumped(), 80) == dumped()
    assert left_of(dumped(), 81) == dumped()._replace(engine=None, tables=(), skipped=True)
    assert attribute(narrow_to_ports(facts([], [dumped()]), {81})).coverage.complete


def test_a_netns_is_kept_where_a_table_that_it_counts_rows_of_was_not_read() -> None:
    kept = dumped(sockstat=ONE_OF_EACH)
    assert left_of(kept, 81) == kept
    uncounted = dumped()._replace(sockstat=None)
    assert left_of(uncounted, 81) == uncounted


def test_what_was_read_as_text_failed_or_is_empty_stays_as_it_is() -> None:
    text = netns(tcp_text(listen_row(80, 7)), inode=HOST_NETNS)._replace(sockstat=ONE_OF_TCP)
    failed = netns(inode=WEB_NETNS, engine=None)
    empty = netns(inode=WEB_NETNS, engine=EngineName.SOCK_DIAG, empty=True)
    assert [left_of(one, 81) for one in (text, failed, empty)] == [text, failed, empty]
