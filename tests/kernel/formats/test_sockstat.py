"""Counters of /proc/PID/net/sockstat and sockstat6."""

import pytest

from nsagent.errors import FormatError
from nsagent.kernel.formats.sockstat import COUNTERS, TIME_WAIT, list_row_counters, parse_sockstat
from nsagent.model.net import Protocol

V4 = """sockets: used 290
TCP: inuse 12 orphan 0 tw 3 alloc 38 mem 2
UDP: inuse 4 mem 0
UDPLITE: inuse 0
RAW: inuse 0
FRAG: inuse 0 memory 0
"""
V6 = """TCP6: inuse 5
UDP6: inuse 1
UDPLITE6: inuse 0
RAW6: inuse 0
FRAG6: inuse 0 memory 0
"""


def test_both_files_one_after_the_other_give_all_counters() -> None:
    assert parse_sockstat(V4 + V6) == {
        ("sockets", "used"): 290,
        ("TCP", "inuse"): 12,
        ("TCP", "orphan"): 0,
        ("TCP", "tw"): 3,
        ("TCP", "alloc"): 38,
        ("TCP", "mem"): 2,
        ("UDP", "inuse"): 4,
        ("UDP", "mem"): 0,
        ("UDPLITE", "inuse"): 0,
        ("RAW", "inuse"): 0,
        ("FRAG", "inuse"): 0,
        ("FRAG", "memory"): 0,
        ("TCP6", "inuse"): 5,
        ("UDP6", "inuse"): 1,
        ("UDPLITE6", "inuse"): 0,
        ("RAW6", "inuse"): 0,
        ("FRAG6", "inuse"): 0,
        ("FRAG6", "memory"): 0,
    }


def test_a_counter_may_pass_below_zero_for_a_moment() -> None:
    assert parse_sockstat("TCP: inuse -1 tw 0") == {("TCP", "inuse"): -1, ("TCP", "tw"): 0}


def test_a_number_beyond_64_bits_is_kept_as_it_is() -> None:
    assert parse_sockstat("TCP: inuse 18446744073709551616") == {("TCP", "inuse"): 1 << 64}


def test_no_text_gives_no_counters() -> None:
    assert parse_sockstat("") == {}


@pytest.mark.parametrize(
    "line",
    [
        "TCP",
        "TCP:inuse 1",
        "TCP: inuse",
        "TCP: inuse 1 tw",
        "TCP: inuse x",
        "TCP: inuse --1",
        "TCP: inuse -",
        "TCP: inuse +1",
        "TCP: inuse 1_0",
        "TCP: inuse 0x1",
        "TCP: inuse \u00b2",
        "TCP: inuse \u0661",
        "TCP: inuse " + "1" * 5000,
        "",
    ],
)
def test_a_damaged_line_is_a_format_error(line: str) -> None:
    with pytest.raises(FormatError):
        parse_sockstat(f"sockets: used 1\n{line}\nUDP: inuse 1\n")


def test_every_counter_of_rows_is_one_that_the_kernel_has() -> None:
    assert {name for names in COUNTERS.values() for name in names} <= parse_sockstat(V4 + V6).keys()


def test_each_counter_counts_rows_of_one_kind() -> None:
    names = [name for names in COUNTERS.values() for name in names]
    assert len(set(names)) == len(names)


def test_all_kinds_stand_in_the_table_of_some_protocol() -> None:
    of_tables = [name for protocol in Protocol for name in list_row_counters(protocol)]
    assert sorted(of_tables) == sorted(name for names in COUNTERS.values() for name in names)
    assert set(COUNTERS[TIME_WAIT]) < set(list_row_counters(Protocol.TCP))
