"""What a snapshot says it could not see."""

from dataclasses import replace

import pytest

from nsagent.errors import Reason
from nsagent.model.choices import OwnersWanted
from nsagent.model.container import Container, NameState, ToldBy
from nsagent.model.facts import Facts, FoundBy, ProcessCounts, Rewalk, Visibility
from nsagent.model.gap import AlikeGaps, Gap, Kind, Stage, Subject, merge_gaps
from nsagent.model.ids import ContainerId
from nsagent.model.net import Protocol, SocketState
from nsagent.model.snapshot import Coverage, HostCount, NetnsCounts, RowCount, VerdictKind
from nsagent.scan.attribute import attribute
from nsagent.scan.checks import check_owners
from tests.gaps import alike, failed, unnamed
from tests.kernel.diag_message import make_message
from tests.kernel.proc_tree import HOST_NETNS, text_row
from tests.scan.facts import (
    BARE,
    LOOPBACK,
    WEB_NETNS,
    diag_table,
    facts,
    listen_row,
    netns,
    reading,
    tcp_text,
)

NAMES = unnamed("docker", "no answer")


def test_a_pass_that_saw_everything_is_complete() -> None:
    given = facts([reading(10, {3: 7})], [netns(tcp_text(listen_row(80, 7))), netns(inode=WEB_NETNS, empty=True)])
    assert attribute(given).coverage == Coverage(
        complete=True,
        processes=ProcessCounts(1, 1, 0, 0, 0),
        netns=NetnsCounts(2, 1, 1, 0, 0, ((FoundBy.PROCESS, 2),)),
        socket_fds_unlisted=0,
        gaps=(),
    )


@pytest.mark.parametrize(
    ("changed", "complete"),
    [
        (BARE._replace(process_counts=ProcessCounts(5, 5, 0, 0, 0)), True),
        (BARE._replace(process_counts=ProcessCounts(5, 4, 1, 0, 0)), True),
        (BARE._replace(process_counts=ProcessCounts(5, 4, 0, 1, 0)), False),
        (BARE._replace(process_counts=ProcessCounts(5, 4, 0, 0, 1)), False),
        (facts([], [netns(engine=None)]), False),
        (facts([], [netns(empty=True)]), True),
        (facts([], [netns(tcp_text("rubbish\n"))]), False),
        (BARE._replace(gaps=(NAMES,)), True),
        *(
            (BARE._replace(gaps=(failed(stage, Kind.PROCESS, 1, "EIO"),)), False)
            for stage in Stage
            if stage is not Stage.NAMES
        ),
    ],
)
def test_a_pass_is_complete_unless_something_but_a_name_was_not_seen(changed: Facts, complete: bool) -> None:
    assert attribute(changed).coverage.complete is complete


def test_netns_are_counted_by_how_they_fared() -> None:
    given = [netns(), netns(inode=2, empty=True), netns(inode=3, engine=None), netns(inode=4)]
    assert attribute(facts([], given)).coverage.netns == NetnsCounts(4, 2, 1, 1, 0, ((FoundBy.PROCESS, 4),))


def test_damage_is_a_gap_that_names_the_table_and_the_other_rows_survive() -> None:
    table = tcp_text(listen_row(80, 7), "rubbish\n", listen_row(81, 8))
    snapshot = attribute(facts([], [netns(table, inode=WEB_NETNS)]))
    assert [socket.row.inode for socket in snapshot.sockets] == [7, 8]
    (gap,) = snapshot.coverage.gaps
    assert gap.subjects == (Subject(Kind.TABLE, str(WEB_NETNS), Protocol.TCP),)
    assert (gap.stage, gap.reason, gap.count) == (Stage.TABLES, Reason.MALFORMED, 1)
    assert "rubbish" in (gap.detail or "")


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
    given = facts([reading(10)._replace(socket_fds=None)], [netns(tcp_text(listen_row(80, 7)))])
    denied = given._replace(process_counts=ProcessCounts(1, 0, 0, 1, 0))
    (socket,) = attribute(denied).sockets
    assert socket.verdict is not None
    assert (socket.verdict.kind, socket.row.state) == (VerdictKind.HIDDEN, SocketState.LISTEN)


def test_gaps_of_one_stage_and_reason_are_one_that_counts_them() -> None:
    gaps = [failed(Stage.FDS, Kind.PROCESS, pid, "EACCES", count) for pid, count in ((1, 1), (2, 5), (3, 1))]
    subjects = tuple(Subject(Kind.PROCESS, pid) for pid in "123")
    assert merge_gaps(gaps) == (AlikeGaps(Stage.FDS, Kind.PROCESS, subjects, Reason.DENIED, "EACCES", None, 7),)


def test_a_subject_that_failed_twice_alike_is_named_once() -> None:
    gap = failed(Stage.FDS, Kind.PROCESS, 1, "EIO")
    assert merge_gaps([gap] * 2) == (alike(replace(gap, count=2)),)


def test_gaps_that_differ_in_anything_but_their_subject_stay_apart_in_their_order() -> None:
    first = failed(Stage.FDS, Kind.PROCESS, 1, "EIO")
    gaps = (
        first,
        replace(first, stage=Stage.NETNS),
        replace(first, subject=Subject(Kind.NETNS, "1")),
        replace(first, errno="EACCES"),
        replace(first, reason=Reason.DENIED),
        replace(first, detail="worn out"),
    )
    assert merge_gaps(gaps) == tuple(map(alike, gaps))


SOCKSTAT = """sockets: used 9
TCP: inuse 1 orphan 2 tw 4 alloc 30 mem 3
UDP: inuse 0 mem 0
UDPLITE: inuse 0
RAW: inuse 0
TCP6: inuse 1
UDP6: inuse 1
"""


def test_the_rows_of_a_netns_stand_beside_what_it_counts_itself() -> None:
    rows = tcp_text(listen_row(80, 7), text_row(f"{LOOPBACK}:0050", f"{LOOPBACK}:C350", 6, 0))
    (one,) = attribute(facts([], [netns(rows)._replace(sockstat=SOCKSTAT)])).netns
    assert one.rows == (RowCount("tcp", 1, 2), RowCount("time_wait", 1, 4), RowCount("udp", 0, 1))


def test_a_netns_that_was_not_read_has_no_count_of_rows() -> None:
    (one,) = attribute(facts([], [netns(engine=None)._replace(sockstat=SOCKSTAT)])).netns
    assert one.rows == ()


def test_damaged_counters_are_not_known() -> None:
    (one,) = attribute(facts([], [netns()._replace(sockstat="rubbish")])).netns
    assert {row.counted for row in one.rows} == {None}


def test_host_wide_counters_stand_beside_the_sum_over_all_netns() -> None:
    both = [
        netns(tcp_text(listen_row(80, 7)))._replace(sockstat=SOCKSTAT),
        netns(tcp_text(listen_row(80, 8)), inode=WEB_NETNS)._replace(sockstat=SOCKSTAT),
    ]
    assert attribute(facts([], both)).coverage.host == (HostCount("tcp_sockets", 2, 30), HostCount("tcp_orphans", 0, 2))


IN_OWN_PID_NAMESPACE = Gap(Stage.PROCESSES, Subject(Kind.HIDDEN_PROCESSES), Reason.PID_NAMESPACE)


@pytest.mark.parametrize(
    ("told_by", "hidden", "reasons"),
    [
        (ToldBy("docker (unix:///d)", 0, True), (), [Reason.UNSEEN]),
        (ToldBy("docker (unix:///d)", 0, True), (IN_OWN_PID_NAMESPACE,), []),
        (ToldBy("docker (tcp://d:1)", None, True), (), [Reason.OTHER_HOST]),
        (ToldBy("docker (tcp://d:1)", None, True), (IN_OWN_PID_NAMESPACE,), [Reason.OTHER_HOST]),
    ],
)
def test_an_engine_of_whose_containers_no_process_is_seen_is_told(
    told_by: ToldBy, hidden: tuple[Gap, ...], reasons: list[Reason]
) -> None:
    """Over TCP it may be another host's, and none of its containers is listed."""
    ids = (ContainerId(digit * 64) for digit in "ab")
    known = tuple(Container(id_, "web", NameState.KNOWN, None, None, True, "docker", told_by=told_by) for id_ in ids)
    snapshot = attribute(facts([], [])._replace(containers=known, gaps=hidden))
    subject = Subject(Kind.CONTAINERS, told_by.subject)
    added = [alike(Gap(Stage.PROCESSES, subject, reason, count=2)) for reason in reasons]
    assert list(snapshot.coverage.gaps) == [*map(alike, hidden), *added]
    assert len(snapshot.containers) == (0 if Reason.OTHER_HOST in reasons else 2)
    assert not snapshot.coverage.complete


def test_a_row_that_stands_in_a_netns_twice_is_a_broken_check() -> None:
    snapshot = attribute(facts([], [netns(tcp_text(listen_row(80, 7)), tcp_text(listen_row(80, 7)))]))
    assert snapshot.coverage.gaps == (alike(Gap(Stage.CHECKS, Subject(Kind.NETNS, str(HOST_NETNS)), Reason.REPEATED)),)
    assert not snapshot.coverage.complete


def test_subflows_that_share_the_inode_of_their_connection_are_rows_of_their_own() -> None:
    rows = tcp_text(*(text_row(f"{LOOPBACK}:0050", f"{LOOPBACK}:C35{port}", 1, 7) for port in range(3)))
    snapshot = attribute(facts([reading(10, {3: 7})], [netns(rows)]))
    assert [len(socket.owners) for socket in snapshot.sockets] == [1, 1, 1]
    assert snapshot.coverage.gaps == ()


def test_a_socket_that_stands_in_two_netns_is_a_broken_check() -> None:
    both = [netns(tcp_text(listen_row(80, 7))), netns(tcp_text(listen_row(80, 7)), inode=WEB_NETNS)]
    snapshot = attribute(facts([], both))
    assert snapshot.coverage.gaps == (
        alike(Gap(Stage.CHECKS, Subject(Kind.NETNS, str(WEB_NETNS)), Reason.ELSEWHERE_TOO)),
    )


def test_processes_whose_counts_do_not_add_up_are_a_broken_check() -> None:
    snapshot = attribute(BARE._replace(process_counts=ProcessCounts(5, 4, 0, 0, 0)))
    assert snapshot.coverage.gaps == (alike(Gap(Stage.CHECKS, Subject(Kind.COUNTS, "processes"), Reason.MISMATCH)),)
    assert not snapshot.coverage.complete


def test_a_socket_with_the_container_of_nobody_who_holds_it_is_a_broken_check() -> None:
    (socket,) = attribute(facts([reading(10, {3: 7})], [netns(tcp_text(listen_row(80, 7)))])).sockets
    assert check_owners([socket], OwnersWanted.PID) == []
    assert check_owners([socket._replace(container_id=ContainerId("x"))], OwnersWanted.PID) == [
        Gap(Stage.CHECKS, Subject(Kind.OWNERS), Reason.MISMATCH)
    ]


def test_a_row_without_owner_and_without_verdict_is_a_broken_check() -> None:
    (socket,) = attribute(facts([], [netns(tcp_text(listen_row(80, 7)))])).sockets
    assert len(check_owners([socket._replace(verdict=None)], OwnersWanted.PID)) == 1


def test_how_far_the_pass_looked_is_part_of_the_coverage() -> None:
    rewalk = Rewalk(2, 30, 0, 1, 0.5)
    visibility = Visibility("invisible", "pid", init=False)
    given = BARE._replace(rewalk=rewalk, visibility=visibility, stale_names=("old",), protocols=(Protocol.RAW,))
    coverage = attribute(given).coverage
    assert (coverage.rewalk, coverage.visibility, coverage.stale_names) == (rewalk, visibility, ("old",))
    assert coverage.protocols == (Protocol.RAW,)
