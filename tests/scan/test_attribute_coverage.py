"""What a snapshot says it could not see."""

from dataclasses import replace

import pytest

from nsagent.model.facts import Facts, Gap, ProcessCounts, Stage
from nsagent.model.net import SocketState
from nsagent.model.snapshot import Coverage, NetnsCounts, VerdictKind
from nsagent.scan.attribute import attribute, merge_gaps
from tests.kernel.diag_message import make_message
from tests.scan.facts import (
    BARE,
    WEB_NETNS,
    diag_table,
    facts,
    listen_row,
    netns,
    reading,
    tcp_text,
)

NAMES = Gap(Stage.NAMES, "docker", "no answer")


def test_a_pass_that_saw_everything_is_complete() -> None:
    given = facts([reading(10, {3: 7})], [netns(tcp_text(listen_row(80, 7))), netns(inode=WEB_NETNS, empty=True)])
    assert attribute(given).coverage == Coverage(
        complete=True,
        processes=ProcessCounts(1, 1, 0, 0, 0),
        netns=NetnsCounts(2, 1, 1, 0, 0),
        socket_fds_unlisted=0,
        gaps=(),
    )


@pytest.mark.parametrize(
    ("changed", "complete"),
    [
        (replace(BARE, process_counts=ProcessCounts(5, 5, 0, 0, 0)), True),
        (replace(BARE, process_counts=ProcessCounts(5, 4, 1, 0, 0)), True),
        (replace(BARE, process_counts=ProcessCounts(5, 4, 0, 1, 0)), False),
        (replace(BARE, process_counts=ProcessCounts(5, 4, 0, 0, 1)), False),
        (facts([], [netns(engine=None)]), False),
        (facts([], [netns(empty=True)]), True),
        (facts([], [netns(tcp_text("rubbish\n"))]), False),
        (replace(BARE, gaps=(NAMES,)), True),
        *((replace(BARE, gaps=(Gap(stage, "x", "EIO"),)), False) for stage in Stage if stage is not Stage.NAMES),
    ],
)
def test_a_pass_is_complete_unless_something_but_a_name_was_not_seen(changed: Facts, complete: bool) -> None:
    assert attribute(changed).coverage.complete is complete


def test_netns_are_counted_by_how_they_fared() -> None:
    given = [netns(), netns(inode=2, empty=True), netns(inode=3, engine=None), netns(inode=4)]
    assert attribute(facts([], given)).coverage.netns == NetnsCounts(4, 2, 1, 1, 0)


def test_damage_is_a_gap_that_names_the_table_and_the_other_rows_survive() -> None:
    table = tcp_text(listen_row(80, 7), "rubbish\n", listen_row(81, 8))
    snapshot = attribute(facts([], [netns(table, inode=WEB_NETNS)]))
    assert [socket.row.inode for socket in snapshot.sockets] == [7, 8]
    (gap,) = snapshot.coverage.gaps
    assert (gap.stage, gap.subject, gap.count) == (Stage.TABLES, f"tcp of netns {WEB_NETNS}", 1)
    assert "rubbish" in gap.reason


def test_a_dump_cut_short_is_a_gap_and_the_rows_before_survive() -> None:
    data = make_message(inode=7) + make_message(inode=8)
    snapshot = attribute(facts([], [netns(diag_table(data[:-1]))]))
    assert [socket.row.inode for socket in snapshot.sockets] == [7]
    assert [gap.stage for gap in snapshot.coverage.gaps] == [Stage.TABLES]


def test_fds_on_sockets_in_no_table_are_counted_once_each() -> None:
    readings = [reading(10, {3: 7, 4: 90, 5: 90}), reading(11, {3: 90, 4: 91})]
    coverage = attribute(facts(readings, [netns(tcp_text(listen_row(80, 7)))])).coverage
    assert coverage.socket_fds_unlisted == 2


def test_an_fd_on_a_socket_of_any_netns_is_listed() -> None:
    given = [netns(), netns(tcp_text(listen_row(80, 7)), inode=WEB_NETNS)]
    assert attribute(facts([reading(10, {3: 7})], given)).coverage.socket_fds_unlisted == 0


def test_a_row_may_be_hidden_where_a_process_was_denied() -> None:
    given = facts([replace(reading(10), socket_fds=None)], [netns(tcp_text(listen_row(80, 7)))])
    denied = replace(given, process_counts=ProcessCounts(1, 0, 0, 1, 0))
    (socket,) = attribute(denied).sockets
    assert socket.verdict is not None
    assert (socket.verdict.kind, socket.row.state) == (VerdictKind.HIDDEN, SocketState.LISTEN)


def test_gaps_of_one_stage_and_reason_are_one_that_counts_them() -> None:
    gaps = [Gap(Stage.FDS, f"pid {pid}", "EACCES", count) for pid, count in ((1, 1), (2, 5), (3, 1), (4, 1), (5, 1))]
    assert merge_gaps(gaps) == (Gap(Stage.FDS, "pid 1, pid 2, pid 3 and 2 more", "EACCES", 9),)


def test_a_subject_that_failed_twice_alike_is_named_once() -> None:
    assert merge_gaps([Gap(Stage.FDS, "pid 1", "EIO")] * 2) == (Gap(Stage.FDS, "pid 1", "EIO", 2),)


def test_gaps_of_other_stages_or_reasons_stay_apart_in_their_order() -> None:
    gaps = (Gap(Stage.FDS, "pid 1", "EIO"), Gap(Stage.NETNS, "pid 1", "EIO"), Gap(Stage.FDS, "pid 1", "EACCES"))
    assert merge_gaps(gaps) == gaps
