"""Rows of passes one after the other: what is decoded once more, and what is not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsagent.model.facts import NetnsReading
from nsagent.model.ids import SocketInode
from nsagent.model.net import SocketRow
from nsagent.scan.attribute import attribute
from nsagent.scan.rows import KnownRows
from tests.scan.facts import diag_table, facts, listen_row, netns, reading, tcp_text
from tests.scan.test_charge import ESTABLISHED, listener, message

HOLDER = reading(10, {3: 7, 4: 8})
IDLE = netns(tcp_text(listen_row(80, 7)), inode=51)
READINGS = [
    IDLE,
    netns(tcp_text(listen_row(80, 7), listen_row(81, 8)), inode=51),
    netns(tcp_text(listen_row(80, 7), listen_row(81, 8)), inode=51, closed=[8]),
    replace(IDLE, mptcp_counted=0),
    replace(IDLE, interface_names=((1, "lo"),)),
    netns(tcp_text(listen_row(80, 7)), inode=52),
    netns(tcp_text("damage\n"), inode=52),
    netns(inode=None, key=51),
]


def rows_of(known: KnownRows, given: NetnsReading) -> list[SocketRow]:
    (one,) = known.decode([given], "little")
    assert one.reading is given
    return one.rows


def test_tables_that_have_not_changed_are_not_decoded_again() -> None:
    known = KnownRows()
    first = rows_of(known, IDLE)
    assert rows_of(known, replace(IDLE, interface_names=((1, "lo"),))) is first
    assert [row.inode for row in first] == [7]


@pytest.mark.parametrize(
    ("changed", "inodes"),
    [
        pytest.param(netns(tcp_text(listen_row(80, 9)), inode=51), [9], id="other bytes"),
        pytest.param(netns(inode=51), [], id="no table"),
        pytest.param(replace(IDLE, closed=frozenset({SocketInode(7)})), [], id="closed meanwhile"),
        pytest.param(replace(IDLE, mptcp_counted=0), [7], id="told that none is MPTCP"),
    ],
)
def test_whatever_rows_are_made_of_makes_them_anew(changed: NetnsReading, inodes: list[int]) -> None:
    known = KnownRows()
    first = rows_of(known, IDLE)
    again = rows_of(known, changed)
    assert [row.inode for row in again] == inodes
    assert again is not first


def test_what_was_known_two_passes_ago_is_let_go() -> None:
    known = KnownRows()
    first = rows_of(known, IDLE)
    rows_of(known, netns(inode=52))
    assert rows_of(known, IDLE) is not first


@given(st.lists(st.lists(st.sampled_from(READINGS), max_size=3, unique_by=lambda one: one.id), max_size=4))
def test_a_snapshot_is_the_same_whatever_was_known_before(passes: list[list[NetnsReading]]) -> None:
    known = KnownRows()
    for readings in passes:
        given = facts([HOLDER], readings)
        assert attribute(given, known=known) == attribute(given)


def test_a_charge_leaves_no_mark_on_rows_that_are_known() -> None:
    """A row without an inode loses a uid that no kernel before Linux 6.17 tells: in the snapshot alone."""
    closing = message(ESTABLISHED, ("10.0.0.1", 80), ("10.0.0.2", 9), inode=0, cookie=901)
    given = replace(facts([HOLDER], [netns(diag_table(listener(7) + closing))]), kernel_release="6.1.0")
    known = KnownRows()
    assert attribute(given, known=known) == attribute(given, known=known) == attribute(given)
