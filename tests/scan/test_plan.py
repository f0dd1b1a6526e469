"""Which tables are worth reading, and when to look again."""

import pytest

from nsagent.kernel.formats.sockstat import parse_sockstat
from nsagent.model.net import Protocol
from nsagent.scan.plan import (
    MAX_ROUNDS,
    TablesWanted,
    list_counters,
    needs_counts,
    plan_counted,
    plan_next_round,
    plan_protocols,
    read_counters,
)

BOTH = (Protocol.TCP, Protocol.UDP)
ALL = TablesWanted(frozenset(Protocol))
COUNTS = {"PING": 0, "PINGv6": 0, "PACKET": 0, "NETLINK": 0, "AF_VSOCK": 0, "TCP": 5}


def sockstat(tcp: int = 0, tw: int = 0, udp: int = 0, tcp6: int | None = 0, udp6: int | None = 0) -> str:
    """The two files as a kernel writes them; host-wide counters are never zero."""
    text = f"sockets: used 5\nTCP: inuse {tcp} orphan 9 tw {tw} alloc 99 mem 9\nUDP: inuse {udp} mem 9\nRAW: inuse 7\n"
    if tcp6 is not None:
        text += f"TCP6: inuse {tcp6}\n"
    return text if udp6 is None else text + f"UDP6: inuse {udp6}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (sockstat(), ()),
        (sockstat(tcp=1), (Protocol.TCP,)),
        (sockstat(tcp6=1), (Protocol.TCP,)),
        (sockstat(tw=1), (Protocol.TCP,)),
        (sockstat(udp=1), (Protocol.UDP,)),
        (sockstat(udp6=1), (Protocol.UDP,)),
        (sockstat(tcp=1, udp=1), BOTH),
        (sockstat(tcp=-1), (Protocol.TCP,)),
        (sockstat(tcp6=None, udp6=None), ()),
        (sockstat(udp=1, tcp6=None, udp6=None), (Protocol.UDP,)),
    ],
)
def test_a_table_is_read_if_one_of_its_counters_is_not_zero(text: str, expected: tuple[Protocol, ...]) -> None:
    assert plan_protocols(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "sockets: used 5\n",
        "TCP: inuse 0 tw 0\n",
        "UDP: inuse 0\n",
        sockstat().replace("inuse 0", "inuse x"),
        sockstat() + "rubbish\n",
        "\ufffd" * 20,
    ],
    ids=["none", "empty", "neither", "no UDP", "no TCP", "no number", "a bad line", "no ASCII"],
)
def test_every_table_is_read_where_the_counters_do_not_say(text: str | None) -> None:
    assert plan_protocols(text) == BOTH


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("UDPLITE: inuse 0\nRAW: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\n", ()),
        ("UDPLITE: inuse 1\nRAW: inuse 0\n", (Protocol.UDPLITE,)),
        ("UDPLITE: inuse 0\nUDPLITE6: inuse 1\nRAW: inuse 0\n", (Protocol.UDPLITE,)),
        ("UDPLITE: inuse 0\nRAW: inuse 1\n", (Protocol.RAW,)),
        ("UDPLITE: inuse 0\nRAW: inuse 0\nRAW6: inuse 1\n", (Protocol.RAW,)),
        ("RAW: inuse 0\n", (Protocol.UDPLITE,)),
    ],
    ids=["none", "udplite", "udplite6", "raw", "raw6", "no counter"],
)
def test_udplite_and_raw_are_read_by_their_own_counters(lines: str, expected: tuple[Protocol, ...]) -> None:
    text = "TCP: inuse 0 tw 0\nUDP: inuse 0\n" + lines
    wanted = TablesWanted(frozenset((Protocol.UDPLITE, Protocol.RAW)))
    assert plan_protocols(text, wanted) == expected


def test_what_no_counter_of_sockstat_has_is_always_read() -> None:
    planned = plan_protocols(sockstat().replace("RAW: inuse 7", "UDPLITE: inuse 0\nRAW: inuse 0"), ALL)
    assert set(planned) == {Protocol.ICMP, Protocol.SCTP, Protocol.PACKET, Protocol.NETLINK, Protocol.VSOCK}


def test_what_is_not_wanted_is_not_read() -> None:
    assert plan_protocols(sockstat(tcp=1, udp=1), TablesWanted(frozenset((Protocol.UDP,)))) == (Protocol.UDP,)


def test_tcp_comes_first() -> None:
    assert plan_protocols(None, ALL)[0] is Protocol.TCP


def test_a_deep_pass_reads_tcp_whatever_is_counted() -> None:
    assert plan_protocols(sockstat(), TablesWanted(deep=True)) == (Protocol.TCP,)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (None, set(Protocol)),
        (COUNTS, set(Protocol) - {Protocol.ICMP, Protocol.PACKET, Protocol.SCTP}),
        (COUNTS | {"PINGv6": 1}, set(Protocol) - {Protocol.PACKET, Protocol.SCTP}),
        (COUNTS | {"PACKET": 1, "PING": -1}, set(Protocol) - {Protocol.SCTP}),
        (COUNTS | {"SCTPv6": 1}, set(Protocol) - {Protocol.ICMP, Protocol.PACKET}),
    ],
)
def test_ping_packet_and_sctp_sockets_are_read_by_their_counts(
    counts: dict[str, int] | None, expected: set[Protocol]
) -> None:
    assert set(plan_counted(tuple(Protocol), counts)) == expected


def test_counts_are_needed_for_what_they_decide_alone() -> None:
    needed = {protocol for protocol in Protocol if needs_counts([protocol])}
    assert needed == {Protocol.ICMP, Protocol.PACKET, Protocol.SCTP}


def test_the_least_rows_of_tcp_are_both_families_and_time_wait() -> None:
    counters = parse_sockstat(sockstat(tcp=3, tcp6=4, tw=5, udp=6, udp6=7))
    assert list_counters(Protocol.TCP, counters) == (3, 4, 5)
    assert list_counters(Protocol.UDP, counters) == (6, 7)


def test_without_counters_no_row_is_expected() -> None:
    assert sum(list_counters(Protocol.TCP, read_counters(None))) == 0


def test_there_is_no_round_for_nothing() -> None:
    assert not plan_next_round(set(), set(), 0)


def test_the_first_round_is_for_any_row_without_owner() -> None:
    assert plan_next_round({7}, set(), 0)


def test_a_round_that_found_an_owner_is_followed_by_another() -> None:
    assert plan_next_round({7}, {7, 8}, 1)


def test_a_round_that_changed_nothing_is_the_last() -> None:
    assert not plan_next_round({7}, {7}, 1)


def test_there_are_never_more_than_so_many_rounds() -> None:
    assert not plan_next_round({7}, {7, 8, 9}, MAX_ROUNDS)
