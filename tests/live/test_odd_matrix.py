"""Odd processes that hold sockets of other netns: each combination has exactly the rows of odd_matrix.py."""

from collections.abc import Callable

import pytest

from tests.live.closed_bed import ClosedBed
from tests.live.coverage import is_whole
from tests.live.odd_bed import OddOne
from tests.live.odd_matrix import CASES, EXPECTED, EXPECTED_DEEP, read_cell

OpenBed = Callable[..., ClosedBed]
Program = Callable[[str], str]

HIDDEN_FROM_SCAN = "unptraceable"


@pytest.fixture
def bed(open_bed: OpenBed, odd: str) -> ClosedBed:
    """A machine for one combination: what is in transit or cannot be read concerns a scan as a whole."""
    return open_bed(without=("sys_ptrace",)) if odd == HIDDEN_FROM_SCAN else open_bed()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("odd", EXPECTED)
def test_an_odd_process_has_exactly_these_rows(bed: ClosedBed, program: Program, odd: str, case: str) -> None:
    made = OddOne(bed, program("odd"), odd, case)
    scan = bed.scan()
    assert made.describe(scan) == read_cell(EXPECTED[odd], case)
    assert is_whole(scan.coverage) == (odd != HIDDEN_FROM_SCAN)
    assert {(row["attribution"], row["confidence"]) for row in scan.sockets if row["owners"]} <= {("fd", "exact")}
    for row in (row for row in scan.sockets if not row["owners"]):
        charged = row["verdict"]["charged_to"]
        assert (row["attribution"], row["confidence"]) == ("none", "inferred" if charged and charged["pid"] else "none")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("odd", EXPECTED_DEEP)
def test_a_deep_scan_asks_every_thread(bed: ClosedBed, program: Program, odd: str, case: str) -> None:
    made = OddOne(bed, program("odd"), odd, case)
    assert made.describe(bed.scan("--deep")) == read_cell(EXPECTED_DEEP[odd], case)
