"""The ground truth: lines of the holders to rows, rows to JSON and back, counts that must be exact."""

import json

import pytest

from tests.bench.merge import check_counts
from tests.bench.score import Row
from tests.bench.states import State
from tests.bench.truth import parse_document, parse_makers, parse_truth, truth_document

LISTENER = "7 10 tcp ipv6 0 listen :: 80 :: 0 100 4"
SHARER = "7 10 tcp ipv6 0 listen :: 80 :: 0 101 4"
CLOSED = "7 0 tcp ipv4 0 time_wait 127.0.0.1 2001 127.0.0.1 2000 100 -1"
QUEUED = "7 0 tcp ipv4 0 established 127.0.0.1 80 127.0.0.1 5000 101 -1"


def test_lines_of_one_inode_are_one_socket_with_all_holders() -> None:
    assert parse_truth([LISTENER, SHARER]) == [
        Row(7, 10, "tcp", "ipv6", False, "listen", "::", 80, "::", 0, frozenset({100, 101}))
    ]


def test_rows_without_inode_stay_apart_and_have_no_holder() -> None:
    rows = parse_truth([CLOSED, QUEUED])
    assert [(row.state, row.pids) for row in rows] == [("time_wait", frozenset()), ("established", frozenset())]


def test_holders_that_see_a_socket_differently_are_an_error() -> None:
    with pytest.raises(ValueError, match="differently"):
        parse_truth([LISTENER, SHARER.replace("listen", "close")])


@pytest.mark.parametrize("line", ["", "7 10 tcp", LISTENER + " 5", LISTENER.replace("10", "x")])
def test_a_malformed_line_is_an_error(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is int's own
        parse_truth([line])


def test_only_makers_of_time_wait_rows_renew() -> None:
    assert parse_makers([LISTENER, CLOSED, QUEUED]) == [100]


def test_the_document_holds_all_that_the_rows_hold() -> None:
    rows = parse_truth([LISTENER, SHARER, CLOSED, QUEUED])
    assert parse_document(json.loads(json.dumps(truth_document("small", rows)))) == rows


def test_a_state_that_is_not_as_its_table_says_is_an_error() -> None:
    state = State("tiny", netns=1, processes=2, plain=0, sockets=1, waiting=0, time_wait=0)
    with pytest.raises(ValueError, match="tiny"):
        check_counts(state, parse_truth([LISTENER, SHARER, CLOSED]))
