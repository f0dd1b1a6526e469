"""The scorer tells right from wrong: missing, invented, altered and repeated rows, and wrong owners."""

import pytest

from tests.bench.score import Ratio, Row, Score, score_rows

WEB = Row(netns=1, inode=10, protocol="tcp", state="listen", local_port=80, pids=frozenset({100, 101}))
APP = Row(netns=1, inode=11, protocol="udp", state="close", local_port=53, pids=frozenset({102}))
GONE = Row(netns=2, protocol="tcp", state="time_wait", local_port=80)
TRUTH = [WEB, APP, GONE]
ALL_FIELDS = tuple(field for field in Row._fields if field != "pids")


def score(*told: Row) -> Score:
    return score_rows(TRUTH, told, ALL_FIELDS)


def test_the_truth_itself_is_all_right() -> None:
    assert score(*TRUTH) == Score(sockets=Ratio(3, 3, 3), owners=Ratio(3, 3, 3))


def test_a_missing_socket_costs_recall_of_sockets_and_of_its_owners() -> None:
    assert score(APP, GONE) == Score(sockets=Ratio(3, 2, 2), owners=Ratio(3, 1, 1))


def test_an_invented_socket_costs_precision() -> None:
    assert score(*TRUTH, APP._replace(inode=12)) == Score(sockets=Ratio(3, 4, 3), owners=Ratio(3, 4, 3))


def test_a_socket_told_twice_is_right_once() -> None:
    assert score(*TRUTH, APP) == Score(sockets=Ratio(3, 4, 3), owners=Ratio(3, 4, 3))


def test_a_row_without_inode_told_twice_is_right_once() -> None:
    assert score(*TRUTH, GONE).sockets == Ratio(3, 4, 3)


def test_a_missing_owner_costs_recall_of_owners_only() -> None:
    one_owner = WEB._replace(pids=frozenset({100}))
    assert score(one_owner, APP, GONE) == Score(sockets=Ratio(3, 3, 3), owners=Ratio(3, 2, 2))


def test_a_wrong_owner_costs_recall_and_precision_of_owners_only() -> None:
    stolen = APP._replace(pids=frozenset({999}))
    assert score(WEB, stolen, GONE) == Score(sockets=Ratio(3, 3, 3), owners=Ratio(3, 3, 2))


def test_an_owner_of_a_row_that_nobody_holds_costs_precision_of_owners() -> None:
    held = GONE._replace(pids=frozenset({100}))
    assert score(WEB, APP, held) == Score(sockets=Ratio(3, 3, 3), owners=Ratio(3, 4, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        APP._replace(netns=2),
        APP._replace(inode=0),
        APP._replace(protocol="tcp"),
        APP._replace(family="ipv6"),
        APP._replace(mapped=True),
        APP._replace(state="established"),
        APP._replace(local_address="::1"),
        APP._replace(local_port=54),
        APP._replace(remote_address="::1"),
        APP._replace(remote_port=1),
    ],
)
def test_a_row_with_one_wrong_field_is_wrong_and_so_are_its_owners(wrong: Row) -> None:
    assert score(WEB, wrong, GONE) == Score(sockets=Ratio(3, 3, 2), owners=Ratio(3, 3, 2))


def test_a_field_that_the_tool_does_not_tell_is_not_held_against_it() -> None:
    told = [row._replace(state="", local_port=0) for row in TRUTH]
    assert score_rows(TRUTH, told, ("netns", "inode", "protocol")).sockets == Ratio(3, 3, 3)


def test_no_answer_has_no_recall() -> None:
    assert score().sockets.recall == 0.0
    assert score().owners.recall == 0.0


def test_nothing_told_where_nothing_is_is_perfect() -> None:
    nothing = score_rows([], [], ALL_FIELDS)
    assert (nothing.sockets.recall, nothing.sockets.precision) == (1.0, 1.0)


def test_recall_and_precision_are_shares_of_the_right_things() -> None:
    ratio = Ratio(expected=8, found=4, right=2)
    assert (ratio.recall, ratio.precision) == (0.25, 0.5)
